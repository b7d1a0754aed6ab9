"""Where in an image the evidence for a class lies: Grad-CAM (Selvaraju et al. 2017), for every network of `build`."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
from pydantic import Field

from heldout.core.process import suppress_native_stderr
from heldout.data import manifest
from heldout.evaluation import gallery, predictions

with suppress_native_stderr():
    import keras
    import tensorflow as tf

BATCH = 32
ROWS, HEATMAPS = "images.csv", "heatmaps.npy"  # of the explained images on disk


def choose(predictions_csv: str, suspects_csv: str, *, images: Annotated[int, Field(ge=0, le=1000)]) -> pd.DataFrame:
    """The images to explain: id, label, predicted and reason.

    Args:
        predictions_csv: metrics/predictions.csv.
        suspects_csv: metrics/suspects.csv.
        images: how many; 0 for none.
    """
    table = manifest.read(predictions_csv).astype({"confidence": float})
    return gallery.select(table, manifest.read(suspects_csv), images)


def write(chosen: pd.DataFrame, shard_folder: str, model_folder: str, folder: Path) -> None:
    """Write the rows, and of each image the heat map of its predicted class, uint8 (n, height, width), 255 where most
    of the evidence lies.

    Raises:
        ValueError: where the model or the shards are damaged, or lack an image.
    """
    manifest.write(chosen, folder / ROWS)
    loaded = predictions.load_split(model_folder, shard_folder)
    row_of = {identity: row for row, identity in enumerate(loaded.images.ids.tolist())}
    if missing := [identity for identity in chosen["id"] if identity not in row_of]:
        raise ValueError(
            f"{shard_folder} has no image {missing[0]}, which metrics/predictions.csv names: run `dvc repro`"
        )
    rows = [row_of[identity] for identity in chosen["id"]]
    classes = pd.Index(loaded.class_names).get_indexer(chosen["predicted"])
    heatmaps = grad_cam(loaded.model, loaded.images[np.array(rows, int)], classes)
    np.save(folder / HEATMAPS, np.round(255 * heatmaps).astype(np.uint8), allow_pickle=False)


def grad_cam(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The last feature maps, each weighted by how much the class's logit would rise with it, above zero.

    Args:
        model: of `build.build`, trained.
        images: uint8 (n, height, width, channels).
        classes: the class number explained in each image, (n,).

    Returns:
        float32 (n, height, width), each from 0 to 1, its largest value 1; zeros where nothing speaks for the class.
    """
    maps = np.zeros(images.shape[:3], np.float32)
    parts = _parts(model)
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        for row, coarse in enumerate(_class_maps(*parts, images[rows], classes[rows]), start):
            largest = coarse.max()
            if largest > 0:
                fine = cv2.resize(coarse / largest, images.shape[2:0:-1], interpolation=cv2.INTER_LINEAR)
                maps[row] = fine / fine.max()
    return maps


def _parts(model: keras.Model) -> tuple[keras.Model, keras.layers.Dense]:
    """A model that gives the last feature maps and what the classifier reads, and the classifier."""
    pooling = next(layer for layer in model.layers if layer.name in ("average", "flatten"))
    classifier = model.get_layer("probabilities")
    return keras.Model(model.inputs, [pooling.input, classifier.input]), classifier


def _class_maps(
    part: keras.Model, classifier: keras.layers.Dense, images: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Float32 (n, height, width) at the size of the feature maps.

    The gradient is that of the logit: a confident probability has none.
    """
    with tf.GradientTape() as tape:
        features, embedding = part(tf.cast(images, tf.float32), training=False)
        logits = tf.cast(embedding, tf.float32) @ classifier.kernel + classifier.bias
        score = tf.reduce_sum(tf.gather(logits, classes, batch_dims=1))
    weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * features, axis=-1)).numpy().astype(np.float32)
