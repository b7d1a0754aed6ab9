"""Which `dvc` works in the current repository: what it is writing looks like what a killed one has left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from heldout.commands import storage

TMP = Path(".dvc/tmp")
RWLOCK = TMP / "rwlock"


@contextmanager
def exclusive() -> Iterator[list[str]]:
    """Hold DVC's own lock, so that a `dvc` that starts now waits, and yield the `running` ones: none, or keep off.

    DVC gives its lock back while a stage runs, so a free lock does not say that no `dvc` is there.
    """
    from dvc.lock import LockError, make_lock

    if not TMP.is_dir():  # no dvc has run here yet
        yield []
        return
    lock = make_lock(str(TMP / "lock"), tmp_dir=str(TMP), hardlink_lock=storage.has_hardlink_lock())
    try:
        lock.lock()
    except LockError:
        yield running() or ["another user's or machine's, which holds .dvc/tmp/lock"]
        return
    except OSError:  # not ours to write, which storage.findings names
        yield running()
        return
    try:
        yield running()
    finally:
        with suppress(OSError):
            lock.unlock()


def running() -> list[str]:
    """Every `dvc` that runs in the current folder or below it (an experiment's copy): its process id and command.

    A process of another user hides its folder; such a one is in the list where DVC's rwlock names it.
    """
    root, owners = Path.cwd().resolve(), rwlock_owners()
    return [_describe(process) for process in psutil.process_iter() if _is_here(process, root, owners)]


def rwlock_owners() -> set[int]:
    """The process ids in DVC's rwlock; none where it is broken."""
    try:
        locks = json.loads(RWLOCK.read_text(encoding="utf-8"))
        readers = [info for infos in locks.get("read", {}).values() for info in infos]
        return {int(info["pid"]) for info in [*locks.get("write", {}).values(), *readers]}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return set()


def _is_here(process: psutil.Process, root: Path, owners: set[int]) -> bool:
    with suppress(psutil.Error, OSError):
        program, *words = [Path(word).name for word in process.cmdline()[:3]] or [""]
        # A process that is younger than the file cannot have written it: it has the number of one that is gone.
        is_python, is_owner = program.startswith("python"), process.pid in owners
        if is_python and is_owner and process.create_time() <= RWLOCK.stat().st_mtime + 1:
            return True
        if program == "dvc" or (is_python and "dvc" in words):
            return Path(process.cwd()).is_relative_to(root)
    return False


def _describe(process: psutil.Process) -> str:
    words: list[str] = []
    with suppress(psutil.Error):
        words = process.cmdline()
    names = [Path(word).name for word in words]
    return f"process {process.pid}: {' '.join(names[names.index('dvc') :] if 'dvc' in names else names[:3])}"
