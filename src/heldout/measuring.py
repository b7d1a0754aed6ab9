"""The trained model's answers for a split's images: what `evaluate` scores and `export` compares its files with."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from heldout import devices, models
from heldout.process import quiet
from heldout.shards import Images

with quiet():
    import keras


class Measured(NamedTuple):
    """The trained model, its classes, the images that it is measured on, their class numbers, and its answers."""

    model: keras.Model
    class_names: list[str]
    images: Images
    labels: np.ndarray
    probabilities: np.ndarray


def measure(model_folder: str, folder: str) -> Measured:
    """Load what `train` wrote, and let it answer for the images of a folder of shards."""
    description = json.loads(Path(model_folder, "model.json").read_text(encoding="utf-8"))
    ran = description["trained_on"]
    devices.prepare(0, **devices.same_again(ran))
    model = models.load(description, f"{model_folder}/model.weights.h5")
    images = Images(folder)
    labels = images.numbers(description["class_names"])
    probabilities = np.concatenate([model.predict_on_batch(batch) for batch in images.batches()])
    return Measured(model, description["class_names"], images, labels, probabilities)
