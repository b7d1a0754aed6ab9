"""Checkpoints outside the graph: a killed run that is started again ends in the weights of one never killed."""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.atomic import replacing
from heldout.core.process import dvc_folder, suppress_native_stderr

with suppress_native_stderr():
    import keras


def checkpoint_path(*inputs: Any) -> Path:
    """The file of a run's checkpoint: .dvc/state in the repository, named by all that the run depends on.

    Args:
        inputs: what JSON can hold: the digest of the stage's code, params, images, environment. Keras's version is
            added. Another run never finds the checkpoint.
    """
    key = json.dumps([keras.__version__, *inputs], sort_keys=True).encode()
    return dvc_folder("state") / f"{hashlib.md5(key, usedforsecurity=False).hexdigest()}.npz"


@dataclass
class Progress:
    """How far training is: what a killed run needs beside variables and callbacks.

    Args:
        phase: of training, from 0.
        first: the epoch, from 0, with which the phase began.
        epoch, step: so many are done, and so many steps of the next.
        sums: of that next epoch so far: loss, correct predictions, images.
        rows: the logs of the epochs done.
    """

    phase: int = 0
    first: int = 0
    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    rows: list[dict[str, float]] = field(default_factory=list)


class Checkpoint:
    """All that training depends on, saved now and then and restored by the same command.

    `BackupAndRestore` loses seeds, the plateau and early stopping (Keras 3.15). Here: every variable of the model, the
    seeds of dropout among them, and of the optimizer; every number, and list of arrays, that the callbacks hold; and
    how far training is. The order and augmentation of images come from (seed, epoch, row), so they need no state.

    Args:
        path: of the file.
        stage: whose training it is, for what is printed.
    """

    def __init__(self, path: Path, stage: str = "train"):
        self.path, self.stage = path, stage

    def progress(self) -> Progress | None:
        """How far training was; None where there is no checkpoint."""
        saved = self._load("metadata")
        return Progress(**saved["progress"]) if saved else None

    def restore(self, model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> Progress:
        """Put everything back that `save` took, and say how far it was. The optimizer is built, and the callbacks have
        been told that training begins, at which they reset themselves.

        Raises:
            ValueError: where the checkpoint is corrupt after its first bytes.
        """
        saved = self._load()
        if saved is None:
            raise ValueError(f"{self.path} was corrupt and is removed: run the same command again, from epoch 1")
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
        """Replace the checkpoint, atomically; every worker calls it, because reading may add up, one writes."""
        arrays = {
            f"{name}/{number}": np.asarray(keras.ops.convert_to_numpy(variable))
            for name, variables in _variables(model).items()
            for number, variable in enumerate(variables)
        }
        if not write:
            return
        all_fields: list[dict[str, Any]] = []
        for position, callback in enumerate(callbacks):
            fields: dict[str, Any] = {}
            all_fields.append(fields)
            for name, value in vars(callback).items():
                if value is None or isinstance(value, bool | int | float):
                    fields[name] = value
                elif isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
                    keys = [f"callback/{position}/{name}/{number}" for number in range(len(value))]
                    arrays |= dict(zip(keys, value, strict=True))
                    fields[name] = {"arrays": keys}
        metadata = np.array(json.dumps({"fields": all_fields, "progress": asdict(progress)}))
        with replacing(self.path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, metadata=metadata, **arrays)

    def _load(self, *names: str) -> dict[str, Any] | None:
        """The arrays of these names, or all, and the metadata beside them."""
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in names or stored.files}
            return arrays | json.loads(str(arrays.pop("metadata")))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            print(f"{self.stage}: {self.path} is corrupt: starting from epoch 1")
            self.path.unlink()
            return None


def _variables(model: keras.Model) -> dict[str, list]:
    return {"model": model.variables, "optimizer": model.optimizer.variables}
