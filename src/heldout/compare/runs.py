"""Runs of a revision under other params, in a copy beside the clone, whose work tree and dvc.lock stay as they are.

The copy uses the clone's DVC cache, so the run-cache answers for what ran before, and what is interrupted goes on.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from heldout.compare import revisions
from heldout.compare.revisions import Revision


@contextmanager
def copy(revision: Revision, root: str | Path = ".") -> Iterator[Path]:
    """A copy of a revision, which goes when the block ends.

    Raises:
        ValueError: where git or DVC cannot make it.
    """
    root = Path(root).resolve()
    parent = root / ".dvc" / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="heldout-run-", dir=parent) as folder:
        target = Path(folder, "copy")
        _execute(root, "git", "clone", "--quiet", "--no-checkout", str(root), str(target))
        _execute(target, "git", "fetch", "--quiet", "origin", revision.commit or "HEAD")
        _execute(target, "git", "checkout", "--quiet", "--detach", "FETCH_HEAD")
        if not revision.commit:
            _copy_work_tree(root, target)
        for key, path in (("cache.dir", _cache(root)), ("core.site_cache_dir", root / ".dvc" / "site")):
            _execute(target, "dvc", "config", "--local", key, str(path))
        # What another stage needs comes from the cache; what is missing there is `dvc repro`'s to make.
        _execute(target, "dvc", "checkout", "--quiet", "--force", check=False)
        yield target


def predict(folder: Path, params: dict[str, Any], name: str) -> Revision:
    """Run a copy up to `evaluate` with other values of params.yaml, and read what it says.

    Args:
        folder: of `copy`.
        params: new values at the top level of params.yaml, such as {"seed": 3}, or {"train": {"epochs": 5}}.
        name: how a message calls the run.

    Raises:
        ValueError: where a stage fails, with the last line that it printed.
    """
    set_params(folder / "params.yaml", params)
    _execute(folder, "dvc", "repro", "--allow-missing", "evaluate", what=name)
    return revisions.read(None, folder, revisions.SCORED)._replace(name=name)


def set_params(path: Path, params: dict[str, Any]) -> None:
    """Give params.yaml other values, with its comments kept: {"seed": 3}, or {"train": {"epochs": 5}}."""
    round_trip = YAML()
    round_trip.preserve_quotes, round_trip.width = True, 4096
    values = round_trip.load(path.read_text(encoding="utf-8"))
    for name, value in params.items():
        if isinstance(value, dict):
            values.setdefault(name, {}).update(value)
        else:
            values[name] = value
    with path.open("w", encoding="utf-8") as file:
        round_trip.dump(values, file)


def files(folder: Path, commit: str) -> list[str]:
    """The files of a commit."""
    return _execute(folder, "git", "ls-tree", "-r", "--name-only", "-z", commit).split("\0")[:-1]


def take_files(folder: Path, commit: str, paths: list[str]) -> None:
    """Put files and folders of a commit in the place of a copy's own, which go where the commit lacks them."""
    for path in paths:
        _execute(folder, "git", "rm", "-r", "--quiet", "--force", "--ignore-unmatch", "--", path)
        _execute(folder, "git", "checkout", "--quiet", commit, "--", path)
    _execute(folder, "dvc", "checkout", "--quiet", "--force", check=False)


def params_of(folder: Path, commit: str) -> dict[str, Any]:
    """params.yaml of a commit, whose numbers are written as they stand there (PyYAML reads 1e-05 as text)."""
    return YAML().load(_execute(folder, "git", "show", f"{commit}:params.yaml"))


def _copy_work_tree(root: Path, target: Path) -> None:
    listed = _execute(root, "git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in filter(None, listed):
        source, copied = root / name, target / name
        if source.is_file() and not source.is_symlink():
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copied)
        elif not source.exists():
            copied.unlink(missing_ok=True)


def _cache(root: Path) -> str:
    path = Path(_execute(root, "dvc", "cache", "dir").strip())
    return str(path if path.is_absolute() else root / path)


def _execute(folder: Path, *words: str, check: bool = True, what: str = "") -> str:
    """Run a command in a folder, with the code that lies there; its standard output."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if check and done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        cause = next(
            (line for line in lines if ": " in line and not line.startswith("ERROR")), lines[-1] if lines else ""
        )
        raise ValueError(f"{what or 'the copy'} failed: `{' '.join(words)}`: {cause.strip()[:300]}")
    return done.stdout
