"""Kills of `dvc repro`, at a moment or at one file operation, and what `make` does after them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from conftest import execute

HOOK = Path(__file__).resolve().with_name("kill_hook")
# The files that `dvc` opens, by its absolute paths: an entry of the run-cache has another name at first.
RWLOCK, LOCK = r"/\.dvc/tmp/rwlock$", r"/dvc\.lock$"
RUN = r"/runs/../\w+/\.[\w-]{22}\.tmp$"
OBJECT = r"/files/md5/../\w{30}(\.dir)?$"


class Operation(NamedTuple):
    """A file operation of a program (`dvc` or a stage), as kill_hook/sitecustomize.py takes it."""

    program: str
    path: str
    event: str = "open"
    number: int = 1
    size: int = 0
    group: bool = False

    def __str__(self) -> str:
        after = "" if self.size == 0 else f" after {self.size} bytes" if self.size > 0 else " before it is made"
        return f"{self.program} {self.event} {self.number} of {self.path}{after}{', with its group' * self.group}"


def environment(repository: Path, **more: str) -> dict[str, str]:
    """For a `dvc` that keeps its databases in the repository, as `make setup` sets it."""
    folders = [str(repository / "src"), *([str(HOOK)] if more else [])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(folders),
        "DVC_SITE_CACHE_DIR": str(repository / ".dvc/site"),
        **more,
    }


def start(repository: Path, *targets: str, **more: str) -> subprocess.Popen:
    """`dvc repro`, in a process group of its own; its output is a pipe."""
    return subprocess.Popen(
        ["dvc", "repro", *targets], cwd=repository, env=environment(repository, **more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def kill_at_operation(repository: Path, operation: Operation) -> str:
    """Run `dvc repro` until the operation kills it; what it printed."""
    dvc = start(repository, KILL_AT=json.dumps(operation._asdict()))
    output = dvc.communicate()[0]
    wait_for_group(dvc.pid)
    killed = -signal.SIGXFSZ if operation.size > 0 else -signal.SIGKILL
    expected = [killed] if operation.program == "dvc" or operation.group else [255]
    assert dvc.returncode in expected, f"{operation}: dvc ended with {dvc.returncode}:\n{output}"
    return output


def kill_at_moment(dvc: subprocess.Popen, is_moment: Callable[[str], bool], group: bool) -> str | None:
    """Kill a `dvc repro`, alone or with all that it started, once its output so far says so; None where it was over."""
    assert dvc.stdout
    output = ""
    os.set_blocking(dvc.stdout.fileno(), False)
    while dvc.poll() is None and not is_moment(output):
        with suppress(BlockingIOError):
            output += os.read(dvc.stdout.fileno(), 65536).decode(errors="replace")
        time.sleep(0.02)
    over = dvc.poll() is not None
    if not over:
        os.killpg(dvc.pid, signal.SIGKILL) if group else dvc.kill()
    dvc.wait()
    dvc.stdout.close()
    wait_for_group(dvc.pid)
    return None if over else output


def wait_for_group(group: int) -> None:
    """Wait for the stage that outlives its `dvc`, for a second at most as it should."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process group {group} outlived the dvc that started it by a minute")


def make(repository: Path) -> tuple[int, str]:
    """What `make` runs once .venv is there: the exit code, and all that it printed."""
    command = ["make", "-s", "-o", ".venv/.ready-requirements.lock", "repro"]
    done = subprocess.run(
        command, cwd=repository, env=environment(repository), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=900,
    )  # fmt: skip
    return done.returncode, done.stdout


def copy_repository(source: Path, target: Path) -> None:
    """A copy with the times of its files, in place of what `target` is."""
    execute("rm", "-rf", str(target), cwd=source.parent)
    execute("cp", "-a", str(source), str(target), cwd=source.parent)
