"""What a process owes to whoever started it: one clear line on an error, and an end when they are gone."""

import errno
import io
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a class name that the terminal lacks is no error
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


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """End the block after so much of the process's own CPU time, from within a call that never comes back to Python.

    A regular expression that backtracks holds the interpreter, so that no other thread runs, not even the one that
    ends the process with its `dvc`; the signal reaches it. Outside the main thread, and on Windows, there is no limit.

    Raises:
        TimeoutError: where it was not enough.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def expire(*_: object) -> NoReturn:
        raise TimeoutError(f"{seconds:g} s of CPU time were not enough")

    previous = signal.signal(signal.SIGVTALRM, expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def dvc_folder(name: str) -> Path:
    """The folder .dvc/NAME, which DVC leaves alone and git ignores; an experiment's copy uses the repository's own."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / name


def user_message(error: BaseException) -> str | None:
    """The line that a user needs to read about `error`, or None where it is a fault of the program."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted: run the same command again; no half-written file counts as an output"
    if disk := _full_disk(error):
        restored = "; `git checkout metrics plots` brings back what DVC removed before it ran this stage"
        return f"{disk}; free some space and run it again{restored if 'DVC_STAGE' in os.environ else ''}"
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        text = " ".join(str(error).split())[:200]
        return f"out of memory: {text}; a smaller preprocess.image_size or train.batch_size needs less"
    if isinstance(error, OSError) and error.strerror:
        path = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{path}"
    if isinstance(error, ValueError) and _raised_here(error):
        return str(error)
    return None


def _full_disk(error: BaseException | None) -> str | None:
    """What to say where a disk is full, which every library says in its own way; None where it is not."""
    while error is not None:
        for number in (errno.ENOSPC, errno.EDQUOT):
            text = os.strerror(number)
            if getattr(error, "errno", None) == number or text in str(error):
                filename = getattr(error, "filename", None)
                return f"{text}: {filename}" if filename else text
        error = error.__cause__ or error.__context__
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
        return
    program = Path(sys.argv[0])
    name = program.parent.name if program.stem == "__main__" else program.stem
    print(f"{name}: {line}", file=sys.stderr, flush=True)
    if _full_disk(error):
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(1)  # h5py would try to close its file: tracebacks, then a segmentation fault (h5py 3.14)


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
