"""Training state outside the graph: a killed run that is started again ends in the weights of one never killed."""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heldout.atomic import replacing
from heldout.process import local, quiet

with quiet():
    import keras


def place(*inputs: Any) -> Path:
    """The file for the state of a run: .dvc/state in the repository, named by the run's inputs (what JSON can hold),
    the code and Keras's version, so that another run never finds it."""
    name = hashlib.md5(json.dumps([keras.__version__, *inputs], sort_keys=True).encode(), usedforsecurity=False)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        name.update(path.read_bytes())
    return local("state") / f"{name.hexdigest()}.npz"


@dataclass
class Progress:
    """How far training is: what a killed run needs beside variables and callbacks.

    Args:
        phase: of training, from 0.
        first: the epoch, from 0, with which the phase began.
        epoch, step: done so many, and so many steps of the next.
        sums: of that next epoch so far: loss, right answers, images.
        rows: the logs of the epochs done.
    """

    phase: int = 0
    first: int = 0
    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    rows: list[dict[str, float]] = field(default_factory=list)


class State:
    """All that training depends on, saved now and then and taken up again by the same command.

    `BackupAndRestore` loses seeds, the plateau and early stopping (Keras 3.15). Here: every variable of the model, the
    seeds of dropout among them, and of the optimizer; every number, and list of arrays, that the callbacks hold; and
    how far training is. The order and augmentation of images come from (seed, epoch, row), so they need no state.
    """

    def __init__(self, path: Path):
        self.path = path

    def progress(self) -> Progress | None:
        """How far training was; None where there is no state."""
        saved = self._load("said")
        return Progress(**saved["progress"]) if saved else None

    def restore(self, model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> Progress:
        """Put everything back that `save` took, and say how far it was. The optimizer is built, and the callbacks have
        been told that training begins, at which they reset themselves.

        Raises:
            ValueError: where the state is damaged after its first bytes.
        """
        saved = self._load()
        if saved is None:
            raise ValueError(f"{self.path} was damaged: start it again, and training begins anew")
        for name, variables in _variables(model).items():
            for number, variable in enumerate(variables):
                variable.assign(saved[f"{name}/{number}"])
        for callback, fields in zip(callbacks, saved["fields"], strict=True):
            for name, value in fields.items():
                if isinstance(value, dict):
                    value = [saved[key] for key in value["arrays"]]
                setattr(callback, name, value)
        return Progress(**saved["progress"])

    def save(
        self,
        model: keras.Model,
        callbacks: list[keras.callbacks.Callback],
        progress: Progress,
        write: bool = True,
    ) -> None:
        """Replace the state, whole or not at all; every worker calls it, because reading may add up, one writes."""
        arrays = {
            f"{name}/{number}": np.asarray(keras.ops.convert_to_numpy(variable))
            for name, variables in _variables(model).items()
            for number, variable in enumerate(variables)
        }
        if not write:
            return
        fields: list[dict[str, Any]] = []
        for position, callback in enumerate(callbacks):
            found: dict[str, Any] = {}
            fields.append(found)
            for name, value in vars(callback).items():
                if value is None or isinstance(value, bool | int | float):
                    found[name] = value
                elif isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
                    keys = [f"callback/{position}/{name}/{number}" for number in range(len(value))]
                    arrays |= dict(zip(keys, value, strict=True))
                    found[name] = {"arrays": keys}
        said = np.array(json.dumps({"fields": fields, "progress": asdict(progress)}))
        with replacing(self.path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, said=said, **arrays)

    def _load(self, *names: str) -> dict[str, Any] | None:
        """The arrays of these names, or all, and what is said beside them."""
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in names or stored.files}
            return arrays | json.loads(str(arrays.pop("said")))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            print(f"train: {self.path} is damaged, so training begins again")
            self.path.unlink()
            return None


def _variables(model: keras.Model) -> dict[str, list]:
    return {"model": model.variables, "optimizer": model.optimizer.variables}
