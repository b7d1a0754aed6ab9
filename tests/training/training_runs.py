"""What the tests of training share: the params of a small network, and one run of the real training function."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from heldout.augmentation import augment
from heldout.data.shards import Images
from heldout.networks import build
from heldout.networks.batch_norm import BatchNormalization
from heldout.training import fit, optimization
from heldout.training.checkpoint import Checkpoint

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ARCHITECTURE = PARAMS["model"] | {"filters": [8, 16], "dense_units": 32, "dropout": 0.0, "batch_norm": False}
# Adam at a constant rate, two epochs, nothing augmented.
BASE = {
    "augment": augment.OFF,
    "optimizer": PARAMS["optimizer"] | {"name": "adam", "weight_decay": 0},
    "schedule": PARAMS["schedule"] | {"name": "constant", "learning_rate": 0.003, "warmup_epochs": 0},
    "fine_tune": PARAMS["fine_tune"],
    "hardware": PARAMS["hardware"],
    "model": PARAMS["model"],
    "train": PARAMS["train"] | {"epochs": 2, "batch_size": 8, "patience": 5, "label_smoothing": 0},
}
CLASS_NAMES = ["cat", "dog", "wolf"]
CHECKPOINT = Path(".dvc/state/run.npz")  # in a temporary folder
Sections = dict[str, dict[str, Any]]


def merged(*changes: Sections) -> Sections:
    """BASE with some values changed, section by section."""
    result = dict(BASE)
    for change in changes:
        for name, values in change.items():
            result[name] = result[name] | values
    return result


def untrained(images: Images, seed: int = 0, **changed: Any) -> keras.Model:
    """A model as the stage `train` builds it."""
    keras.utils.set_random_seed(seed)
    return build.build(images.image_shape, 3, BatchNormalization, **(ARCHITECTURE | changed))


def train(model: keras.Model, images: Images, *changes: Sections) -> pd.DataFrame:
    """The history of a training run on the images, which are its validation images as well."""
    sections = merged(*changes)
    settings = sections.pop("train")
    strategy = fit.tf.distribute.get_strategy()
    return fit.fit(model, images, images, CLASS_NAMES, sections, 0, strategy, Checkpoint(CHECKPOINT), **settings)


def mean_loss(model: keras.Model, images: Images, name: str = "cross_entropy") -> float:
    """The mean loss of all images, by Keras's own prediction."""
    probabilities = model.predict(images[np.arange(len(images))], verbose=0)
    targets = np.eye(len(CLASS_NAMES), dtype=np.float32)[images.class_numbers(CLASS_NAMES)]
    return float(np.mean(optimization.make_loss(name, 0)(targets, probabilities)))


class Interrupted(Exception):
    """What stands for a kill in the middle of an epoch."""


def interrupt_after_step(last: int, steps: int, run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run, and be killed after the step of this number, from 0 and the first epoch, of so many an epoch; how many
    steps it took before."""
    passed = 0

    def interrupt(self, batch, logs=None):
        nonlocal passed
        if self.epoch * steps + batch == last:
            raise Interrupted
        passed += 1

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(optimization.LearningRate, "on_train_batch_end", interrupt)
        run()
    return passed


def two_workers() -> list[dict[str, Any]]:
    """TF_CONFIG of each of two processes on this machine, at ports that are free."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("localhost", 0))
        second.bind(("localhost", 0))
        addresses = [f"localhost:{held.getsockname()[1]}" for held in (first, second)]
    return [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}} for number in range(2)]


def finish(*processes: subprocess.Popen) -> list[str]:
    """Wait for processes that must end well; what each printed."""
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [stdout for stdout, _ in outputs]


def result(name: str) -> dict[str, np.ndarray]:
    """What a process wrote into NAME.npz: weights and history, and the number of replicas."""
    with np.load(f"{name}.npz") as stored:
        return dict(stored)


def largest_difference(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> float:
    """Of two results, whatever the number of replicas."""
    assert first.keys() == second.keys()
    return max(float(np.abs(first[key] - second[key]).max()) for key in first if key != "replicas")


def same_weights(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
