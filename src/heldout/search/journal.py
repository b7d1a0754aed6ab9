"""The file of a search, in git: a line of what it is, then a line a trial; what a kill leaves of a line is cut off."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heldout.core.process import dvc_folder


@dataclass
class Trial:
    """A run of the training with other values.

    Args:
        method, repeat, number: of the search, which of its repeats, and which of the repeat's trials, all from 0.
        params: {"SECTION.KEY": value}.
        seed: of the training.
        cost: epochs' worth of training images that it is charged with.
        val_accuracy, val_loss: of the search part of val, at the epoch of the lowest val_loss.
        val_accuracies: of each epoch.
        epochs, best_epoch: how many it ran, and which is the best (from 1).
        pruned_at: the epoch after which halving ended it; None where it did not.
        parameters, multiply_adds: of its network, the latter for an image.
        failed: why there is no result; empty where there is one.
    """

    method: str
    repeat: int
    number: int
    params: dict[str, Any]
    seed: int
    cost: float
    val_accuracy: float = 0.0
    val_loss: float = 0.0
    val_accuracies: list[float] = field(default_factory=list)
    epochs: int = 0
    best_epoch: int = 0
    pruned_at: int | None = None
    parameters: int = 0
    multiply_adds: int = 0
    failed: str = ""

    @property
    def name(self) -> str:
        """Such as tpe/0/3."""
        return f"{self.method}/{self.repeat}/{self.number}"


@dataclass
class Confirmation:
    """A run of a candidate with a new seed, scored on the part of val that the search never saw.

    Args:
        candidate: the trial's name, or `params.yaml` for what it holds.
        params, seed: as in `Trial`.
        val_accuracy, val_loss: of the search part, which stops the training.
        accuracy, log_loss: of the confirmation part.
        correct: whether each of its images is right, as `parts.pack` writes it.
        epochs: how many it ran.
        failed: why there is no result; empty where there is one.
    """

    candidate: str
    params: dict[str, Any]
    seed: int
    val_accuracy: float = 0.0
    val_loss: float = 0.0
    accuracy: float = 0.0
    log_loss: float = 0.0
    correct: str = ""
    epochs: int = 0
    failed: str = ""


class Journal:
    """The lines of a file, read when it is opened, and the file, which grows by a line at a time.

    Args:
        path: of the file; it need not exist.
        header: what the search is, as JSON holds it. It is the first line.

    Raises:
        ValueError: where the file is of another search, or damaged other than by a kill.
    """

    def __init__(self, path: str | Path, header: dict[str, Any]):
        self.path, self.header = Path(path), header
        self.trials: list[Trial] = []
        self.confirmations: list[Confirmation] = []
        lines = list(_complete_lines(self.path))
        if not lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(header)
            return
        _check_header(self.path, lines[0], header)
        for line in lines[1:]:
            self._add(line)

    def of(self, method: str, repeat: int) -> list[Trial]:
        """The trials of one repeat of a method, in order."""
        return [trial for trial in self.trials if (trial.method, trial.repeat) == (method, repeat)]

    def append(self, record: Trial | Confirmation) -> Trial | Confirmation:
        """Write a line; the record comes back as the file has it, which is what all that follows is computed from."""
        values = _rounded(asdict(record))
        self._append(values)
        return self._add(values)

    def _add(self, values: dict[str, Any]) -> Trial | Confirmation:
        if "candidate" in values:
            self.confirmations.append(Confirmation(**values))
            return self.confirmations[-1]
        self.trials.append(Trial(**values))
        return self.trials[-1]

    def _append(self, values: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())  # hours of training


def load(path: str | Path) -> Journal:
    """A search that was done.

    Raises:
        ValueError: where there is none, or it is damaged.
    """
    first = next(_complete_lines(Path(path)), None)
    if first is None:
        raise ValueError(f"{path} holds no search: run `heldout search SPACE.yaml --budget N` first")
    return Journal(path, first)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep a second search off the file.

    Raises:
        ValueError: where one is at work on it.
    """
    from zc.lockfile import LockError, LockFile

    name = hashlib.md5(str(path.resolve()).encode(), usedforsecurity=False).hexdigest()
    folder = dvc_folder("tmp")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = LockFile(str(folder / f"search-{name}.lock"))
    except LockError:
        raise ValueError(f"another search holds {path}: wait for it, or give this one a --file of its own") from None
    try:
        yield
    finally:
        lock.close()


def _complete_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines, once a torn last one is cut off the file: a kill came while it was written."""
    if not path.is_file():
        return
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
    for number, line in enumerate(content[:end].splitlines(), 1):
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("no object")
        except ValueError as error:
            raise ValueError(f"{path} is damaged in line {number}: `git checkout {path}` or remove it") from error
        yield values


def _check_header(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if found.get(key) != value:
            raise ValueError(
                f"{path} is a search with another {key} ({_short(found.get(key))}, now {_short(value)}): "
                "give this one a --file of its own, or remove the old one"
            )


def _short(value: Any) -> str:
    words = json.dumps(value, sort_keys=True)
    return words if len(words) <= 40 else f"{words[:40]}…"


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Real numbers of a result to six places; params as they are."""
    result: dict[str, Any] = {
        key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()
    }
    if "val_accuracies" in result:
        result["val_accuracies"] = [round(value, 6) for value in values["val_accuracies"]]
    return result
