"""The trained model, and its predictions for a split's images."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.data.shards import Images
from heldout.networks import build, devices

with suppress_native_stderr():
    import keras


class SplitPredictions(NamedTuple):
    """The trained model, its classes, a split's images, int labels (n,), and float32 probabilities (n, num_classes)."""

    model: keras.Model
    class_names: list[str]
    images: Images
    labels: np.ndarray
    probabilities: np.ndarray


def predict_split(model_folder: str, shard_folder: str) -> SplitPredictions:
    """Load what `train` wrote, and predict the images of a folder of shards, in float32.

    Raises:
        ValueError: where the model, its description or the shards are damaged, or do not fit each other.
    """
    model, class_names = load_model(model_folder)
    images = Images(shard_folder)
    labels = images.class_numbers(class_names)
    return SplitPredictions(model, class_names, images, labels, predict(model, images))


def load_model(model_folder: str) -> tuple[keras.Model, list[str]]:
    """What `train` wrote, to compute in float32 whatever the precision of training was; and the class names.

    Raises:
        ValueError: where the model or its description is damaged, or they do not fit each other.
    """
    description_path = Path(model_folder, "model.json")
    try:
        description = json.loads(description_path.read_text(encoding="utf-8"))
        settings = devices.determinism_settings(description["environment"])
    except (ValueError, KeyError, TypeError) as error:
        remedy = f"run `dvc checkout --force {description_path}` or `dvc repro`"
        raise ValueError(f"{description_path} is damaged ({error}): {remedy}") from error
    devices.configure_tensorflow(0, strategy="single", precision="float32", **settings)
    return build.load(description, f"{model_folder}/model.weights.h5"), description["class_names"]


def predict(model: keras.Model, images: Images) -> np.ndarray:
    """The probabilities of images, float32 (n, num_classes)."""
    return np.concatenate([model.predict_on_batch(batch) for batch in images.batches()])
