"""Training state outside the graph: a killed run that is started again ends in the weights of one never killed."""

import hashlib
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from heldout.atomic import replacing
from heldout.process import quiet

with quiet():
    import keras


def place(*inputs: Any) -> Path:
    """The file for the state of a run: .dvc/state in the repository, named by the run's inputs (what JSON can hold),
    the code and Keras's version, so that another run never finds it."""
    name = hashlib.md5(json.dumps([keras.__version__, *inputs], sort_keys=True).encode(), usedforsecurity=False)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        name.update(path.read_bytes())
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "state" / f"{name.hexdigest()}.npz"


class State(keras.callbacks.Callback):
    """Saves all that training depends on after every so many epochs, and takes it up again when training begins.

    `BackupAndRestore` loses seeds, the plateau and early stopping (Keras 3.15). Here: every variable of the model, the
    seeds of dropout among them, and of the optimizer; every number, and list of arrays, that the other callbacks hold;
    and the history. The order and augmentation of images come from (seed, epoch, row), so they need no state.

    Put it last: the others reset themselves when training begins.

    Args:
        path: the file.
        every: epochs.
        callbacks: the others.
    """

    def __init__(self, path: Path, every: int, callbacks: list[keras.callbacks.Callback]):
        super().__init__()
        self.path, self.every, self.callbacks = path, every, callbacks
        self.rows: list[dict[str, float]] = []
        self._saved = self._load()

    @property
    def epoch(self) -> int:
        """The first epoch (from 0) that is still to be run."""
        return len(self._saved["rows"]) if self._saved else 0

    def on_train_begin(self, logs=None):
        if not self._saved:
            return
        self.rows = list(self._saved["rows"])
        self.model.optimizer.build(self.model.trainable_variables)
        for name, variables in self._variables().items():
            for number, variable in enumerate(variables):
                variable.assign(self._saved[f"{name}/{number}"])
        for callback, fields in zip(self.callbacks, self._saved["fields"], strict=True):
            for name, value in fields.items():
                if isinstance(value, dict):
                    value = [self._saved[key] for key in value["arrays"]]
                setattr(callback, name, value)

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({name: float(value) for name, value in (logs or {}).items()})
        # Not where training ends: what is left then is to write the result, and a state would ask for one epoch more.
        ends = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if (epoch + 1) % self.every == 0 and not ends and all(map(math.isfinite, self.rows[-1].values())):
            self._save()

    def _variables(self) -> dict[str, list]:
        return {"model": self.model.variables, "optimizer": self.model.optimizer.variables}

    def _save(self) -> None:
        arrays = {
            f"{name}/{number}": np.asarray(keras.ops.convert_to_numpy(variable))
            for name, variables in self._variables().items()
            for number, variable in enumerate(variables)
        }
        fields: list[dict[str, Any]] = []
        for position, callback in enumerate(self.callbacks):
            found: dict[str, Any] = {}
            fields.append(found)
            for name, value in vars(callback).items():
                if value is None or isinstance(value, bool | int | float):
                    found[name] = value
                elif isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
                    keys = [f"callback/{position}/{name}/{number}" for number in range(len(value))]
                    arrays |= dict(zip(keys, value, strict=True))
                    found[name] = {"arrays": keys}
        said = np.array(json.dumps({"fields": fields, "rows": self.rows}))
        with replacing(self.path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, said=said, **arrays)

    def _load(self) -> dict[str, Any] | None:
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return arrays | json.loads(str(arrays.pop("said")))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            print(f"train: {self.path} is damaged, so training begins again")
            return None
