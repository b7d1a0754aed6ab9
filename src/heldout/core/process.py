"""What a process owes to whoever started it: one clear line on an error, and an end when they are gone."""

import errno
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import psutil

PACKAGE = Path(__file__).resolve().parents[1]
STAGES = PACKAGE.parents[1] / "stages"
# They would change the digits that a CPU computes, or the backend, where no param and no file says so.
UNTRACKED = ("KERAS_BACKEND", "ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS")


def setup() -> None:
    """Report input errors of this process in one line, end it when the `dvc` above it is gone, and take from its
    environment what would change results unseen. Call it before TensorFlow is imported.

    `python -X dev -m stages.NAME ...` keeps the whole traceback.
    """
    if not sys.flags.dev_mode:
        sys.excepthook = _excepthook
    for name in UNTRACKED:
        os.environ.pop(name, None)
    if dvc := _parent_dvc():
        threading.Thread(target=_end_with, args=(dvc,), daemon=True).start()


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Keep what native libraries write to stderr while they load off the screen; show it where they fail.

    `TF_CPP_MIN_LOG_LEVEL=3` alone leaves the lines that TensorFlow writes before it reads the variable.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(stderr, captured.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def dvc_folder(name: str) -> Path:
    """The folder .dvc/NAME, which DVC leaves alone and git ignores; an experiment's copy uses the repository's own."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / name


def user_message(error: BaseException) -> str | None:
    """The line that a user needs to read about `error`, or None where it is a fault of the program."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted: run the same command again; no half-written file counts as an output"
    if isinstance(error, MemoryError):
        return f"out of memory: {error}; a smaller preprocess.image_size or train.batch_size needs less"
    if isinstance(error, OSError) and error.strerror:
        path = f": {error.filename}" if error.filename else ""
        remedy = "; free some space and run it again, nothing was lost" if error.errno == errno.ENOSPC else ""
        return f"{error.strerror}{path}{remedy}"
    if isinstance(error, ValueError) and _raised_here(error):
        return str(error)
    return None


def _raised_here(error: BaseException) -> bool:
    """Only our own checks speak to the user: a ValueError from within numpy or keras is a fault to be seen whole."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    file = Path(frames[-1].filename).resolve()
    return file.is_relative_to(PACKAGE) or file.is_relative_to(STAGES)


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    line = user_message(error)
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        program = Path(sys.argv[0])
        name = program.parent.name if program.stem == "__main__" else program.stem
        print(f"{name}: {line}", file=sys.stderr, flush=True)


def _parent_dvc() -> psutil.Process | None:
    """The `dvc` that runs this stage: a parent or, where a shell stands between, a grandparent."""
    if "DVC_STAGE" not in os.environ:
        return None
    for ancestor in psutil.Process().parents():
        try:
            if any(Path(word).stem == "dvc" for word in ancestor.cmdline()):
                return ancestor
        except psutil.Error:
            continue
    return None


def _end_with(dvc: psutil.Process) -> None:
    # A child outlives a `kill -9` of `dvc repro`, and would write over what a second repro has restored.
    while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.5)
    os._exit(1)
