"""Merges that are not finished: conflict marks, which DVC and YAML report as errors of their own, and their remedy."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

# What `dvc repro` writes and git keeps: neither side of a merge is right, so nobody resolves it by hand.
GENERATED = ("dvc.lock", "code.yaml", "metrics", "plots")
WRITTEN = ("params.yaml", "dvc.yaml", "env.yaml")
MARKS = re.compile(rb"^<{7} .*?^={7}\r?$.*?^>{7} ", re.MULTILINE | re.DOTALL)


def findings() -> Iterator[str]:
    """A line for the generated files that a merge left in conflict, and one for each file that a person resolves."""
    generated = sorted({*_marked(GENERATED), *_unmerged()})
    if generated:
        yield (
            f"{', '.join(generated)}: in conflict after a merge: "
            f"`git restore --source=HEAD --staged --worktree -- {' '.join(GENERATED)}`, then `dvc repro`, "
            "then `git add -A && git commit` (docs/updating.md)"
        )
    for name in _marked(WRITTEN):
        yield f"{name} holds conflict marks of a merge: keep one side between <<<<<<< and >>>>>>> (docs/updating.md)"


def has_marks(content: bytes) -> bool:
    """Whether a file holds both sides of a merge."""
    return bool(MARKS.search(content))


def _marked(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        path = Path(name)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            try:
                if file.is_file() and has_marks(file.read_bytes()):
                    yield file.as_posix()
            except OSError:
                continue  # storage.findings names it


def _unmerged() -> Iterator[str]:
    """Where .gitattributes lets git merge nothing, one side is in the work tree and the conflict in the index alone."""
    try:
        command = ["git", "diff", "--name-only", "--diff-filter=U", "--relative", "-z", "--", *GENERATED]
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return
    if done.returncode == 0:
        yield from filter(None, done.stdout.split("\0"))
