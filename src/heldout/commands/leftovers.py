"""What a killed `dvc` leaves: files that end every later `dvc repro`, each with the remedy that loses nothing."""

import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from heldout.commands import conflicts, processes, storage
from heldout.core import atomic

LOCK = Path("dvc.lock")
# dvc_objects.fs.utils.tmp_fname, by which DVC copies: `.TOKEN.tmp` or `NAME.TOKEN.tmp`, renamed when whole.
COPY = re.compile(r"\.[\w-]{22}\.tmp$")
# A copy under way in a cache that other repositories use, too: DVC writes an entry of the run-cache in milliseconds.
MINUTES = 10


class Leftover(NamedTuple):
    """A file that a killed `dvc` left.

    Attributes:
        line: what is wrong with it, and the remedy.
        fix: applies the remedy, and says what it did.
        blocks: whether `dvc repro` stops at it; else it takes space alone.
    """

    line: str
    fix: Callable[[], str]
    blocks: bool = True


def leftovers() -> Iterator[Leftover]:
    """Find what to remove or restore in the current repository, where no `dvc` runs (`processes.exclusive`)."""
    yield from _broken_rwlock()
    yield from _cut_lock()
    yield from _half_runs()
    yield from _damaged_databases()
    yield from _half_copies()


def _broken_rwlock() -> Iterator[Leftover]:
    from dvc import rwlock

    try:
        rwlock.SCHEMA(json.loads(processes.RWLOCK.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return
    except (ValueError, rwlock.Invalid):
        yield Leftover(
            f"{processes.RWLOCK} is broken, left by a killed dvc: remove it", partial(_remove, processes.RWLOCK)
        )
        return
    except OSError:
        return  # storage.findings names it
    # DVC waits for such a process for ever, though it has nothing to do with DVC: common where containers restart.
    taken = sorted(pid for pid in processes.rwlock_owners() if psutil.pid_exists(pid))
    if taken:
        yield Leftover(
            f"{processes.RWLOCK} waits for process {taken[0]}, which is not the dvc that wrote it: remove it",
            partial(_remove, processes.RWLOCK),
        )


def _cut_lock() -> Iterator[Leftover]:
    try:
        text = LOCK.read_bytes()
    except OSError:
        return
    if conflicts.has_marks(text) or _is_lock(text):
        return
    committed = _committed(LOCK)
    state = "is cut" if text.strip() else "is empty"
    if committed is not None and _is_lock(committed):
        yield Leftover(
            f"{LOCK} {state}, left by a killed dvc or a full disk: `git restore --source=HEAD {LOCK}`, "
            "then `dvc repro` takes later results from the run-cache",
            partial(_write, LOCK, committed),
        )
    else:
        yield Leftover(
            f"{LOCK} {state}, left by a killed dvc or a full disk: remove it, then `dvc repro` takes results from the "
            "run-cache",
            partial(_remove, LOCK),
        )


def _is_lock(content: bytes) -> bool:
    """Whether DVC reads it; it ends what it writes with a line end, so that a number cut short is seen as well."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    return content.endswith(b"\n") and _parse(content, COMPILED_LOCKFILE_SCHEMA) is not None


def _committed(path: Path) -> bytes | None:
    """The content in HEAD, or None."""
    try:
        done = subprocess.run(["git", "show", f"HEAD:./{path}"], capture_output=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _half_runs() -> Iterator[Leftover]:
    """DVC reads the newest file of a run-cache entry, whatever its name, and takes it that there is one."""
    for folder in sorted(storage.cache_folder().glob("runs/*/*")):
        halves = [path for path in _copies([folder]) if not _is_run(path)]
        if halves:
            line = f"{storage.shown(halves[0])} is half an entry of the run-cache"
        elif _is_settled(folder) and _is_empty(folder):
            line = f"{storage.shown(folder)} is an empty entry of the run-cache"
        else:
            continue
        yield Leftover(f"{line}, left by a killed dvc: remove it", partial(_remove_run, folder, halves))


def _is_run(path: Path) -> bool:
    """Whether it is whole: the folder is named by a hash of what ran and the names of all that it wrote."""
    from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
    from dvc.utils import dict_sha256

    try:
        content = path.read_bytes()
    except OSError:
        return True  # another user's, which DVC cannot read either
    run = _parse(content, COMPILED_LOCK_FILE_STAGE_SCHEMA)
    if run is None or not content.endswith(b"\n") or not run.get("outs"):
        return False
    key = run | {"outs": [out["path"] for out in run["outs"]]}
    return dict_sha256(key, exclude=["size", "nfiles"]) == path.parent.name


def _parse(content: bytes, schema: Any) -> Any:
    """What DVC's parser reads, or None where it ends in an error."""
    from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
    from voluptuous import Invalid

    try:
        return schema(parse_yaml(content.decode(), LOCK))
    except (UnicodeDecodeError, YAMLFileCorruptedError, Invalid):
        return None


def _damaged_databases() -> Iterator[Leftover]:
    """DVC's notes of hashes; outside of the repository they are other repositories' as well."""
    folder = storage.site_folder()
    if not folder.is_relative_to(Path.cwd().resolve()):
        return
    for path in sorted(folder.glob("repo/**/*.db")):
        if _is_damaged(path):
            yield Leftover(
                f"{storage.shown(path)} is damaged: remove it, DVC then hashes all files again",
                partial(_remove, path, *path.parent.glob(f"{path.name}-*")),
            )


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
    except sqlite3.OperationalError:
        return False  # it cannot be opened for another reason, which storage.findings names
    except sqlite3.DatabaseError:
        return True


def _half_copies() -> Iterator[Leftover]:
    """Copies to and from the cache. Nothing reads them; beside metrics and plots git would take them in."""
    objects = storage.cache_folder() / "files/md5"
    paths = list(_copies([objects, *objects.glob("*"), *storage.output_folders()]))
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield Leftover(
            f"{storage.shown(paths[0])}{more}: copies that a killed dvc or a full disk left, "
            f"{sum(path.stat().st_size for path in paths) / 1e6:.1f} MB that nothing reads: remove them",
            partial(_remove, *paths),
            blocks=False,
        )


def _copies(folders: Iterable[Path]) -> Iterator[Path]:
    for path in (path for folder in sorted(folders) for path in sorted(folder.glob("*.tmp"))):
        if COPY.search(path.name) and path.is_file() and _is_settled(path):
            yield path


def _is_settled(path: Path) -> bool:
    """Whether no other repository's `dvc` can be about to write it."""
    return path.resolve().is_relative_to(Path.cwd().resolve()) or time.time() - path.stat().st_mtime > 60 * MINUTES


def _is_empty(folder: Path) -> bool:
    try:
        return folder.is_dir() and not any(folder.iterdir())
    except PermissionError:
        return False


def _remove_run(folder: Path, halves: list[Path]) -> str:
    done = _remove(*(halves or [folder]))
    with suppress(OSError):  # it holds a whole entry as well
        folder.rmdir()
    return done


def _remove(*paths: Path) -> str:
    for path in paths:
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    return f"removed {storage.shown(paths[0])}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _write(path: Path, content: bytes) -> str:
    atomic.write_text(path, content.decode())
    return f"restored {path} as HEAD has it"
