"""Grad-CAM: which parts of an image spoke for a class."""

from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from pydantic import Field

from heldout.core.process import suppress_native_stderr
from heldout.data.shards import BATCH, Images
from heldout.evaluation import gallery
from heldout.networks import tokenizer

with suppress_native_stderr():
    import keras
    import tensorflow as tf
    from keras import layers


class Explanations(NamedTuple):
    """Why these images: id, label, predicted, explained (the class), reason; and uint8 heat maps (n, height, width)."""

    table: pd.DataFrame
    heatmaps: np.ndarray


def explain(
    model: keras.Model,
    test: Images,
    class_names: list[str],
    predictions: pd.DataFrame,
    suspects: pd.DataFrame,
    text: dict[str, Any] | None = None,
    *,
    images: Annotated[int, Field(ge=0, le=1000)],
) -> Explanations:
    """Explain the predicted class of the test images that a reader should see.

    Args:
        model: of `build.build`, trained.
        test: the test images.
        class_names: by number.
        predictions: of metrics/predictions.csv.
        suspects: of metrics/suspects.csv.
        text: of `predictions.load_text`; what is shown is what the pixels said beside the text.
        images: how many, at most.

    Raises:
        ValueError: where the tables are not of these images.
    """
    chosen = gallery.select(predictions, suspects, images)
    chosen = chosen.assign(explained=chosen["predicted"])[["id", "label", "predicted", "explained", "reason"]]
    index = pd.MultiIndex.from_arrays([test.ids, test.labels])
    rows = index.get_indexer(pd.MultiIndex.from_frame(chosen[["id", "label"]]))
    classes = pd.Index(class_names).get_indexer(chosen["explained"])
    if (rows < 0).any() or (classes < 0).any():
        raise ValueError("metrics/predictions.csv is not of these test images and this model: run `dvc repro`")
    tokens = tokenizer.tokens_of(test, text)
    heatmaps = grad_cam(model, test[rows], classes, None if tokens is None else tokens[rows])
    return Explanations(chosen, np.rint(255 * heatmaps).astype(np.uint8))


def grad_cam(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, tokens: np.ndarray | None = None
) -> np.ndarray:
    """How much each part of an image raises the logit of a class above the mean logit, which softmax does not see.

    It is Grad-CAM (Selvaraju et al., 2017): the last feature map times the gradient, summed over the channels, without
    what is negative. The gradient is that of each position, not the mean over them (HiResCAM: Draelos and Carin, 2020):
    with average pooling the two are as good as the same; before `flatten`, where positions have weights of their own,
    the mean shows parts that the network did not use (docs/evaluation.md).

    Args:
        model: of `build.build`.
        images: uint8 (n, height, width, channels).
        classes: the number of the class to explain, for each image (n,).
        tokens: the tokens of their texts, int32 (n, length), where the model takes them.

    Returns:
        float32 (n, height, width), from 0 to 1, the highest of each image; all 0 where nothing speaks for the class.
    """
    classifier = model.get_layer("probabilities")
    network = keras.Model(model.input, [_last_feature_map(model), classifier.input])
    kernel = classifier.kernel.value - tf.reduce_mean(classifier.kernel.value, axis=1, keepdims=True)
    maps = [np.zeros((0, *images.shape[1:3]), np.float32)]
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        pixels = tf.constant(images[rows], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(pixels)  # a frozen network has no weights that are watched
            inputs = pixels if tokens is None else [pixels, tf.constant(tokens[rows])]
            features, hidden = network(inputs, training=False)
            logits = tf.reduce_sum(hidden * tf.gather(tf.transpose(kernel), classes[rows]), axis=1)
        evidence = tf.nn.relu(tf.reduce_sum(tape.gradient(logits, features) * features, axis=-1))
        maps.append(_resize(evidence.numpy(), images.shape[1:3]))
    return np.concatenate(maps)


def _last_feature_map(model: keras.Model) -> keras.KerasTensor:
    """What the last max-pooling of a cnn takes; of other networks, what average pooling or `flatten` takes."""
    pools = [layer for layer in model.layers if isinstance(layer, layers.MaxPooling2D)]
    ends = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling2D | layers.Flatten)]
    return (pools or ends)[-1].input


def _resize(evidence: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (n, any height, any width) at `size` (height, width), divided by the highest value of each."""
    maps = np.stack([cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR) for values in evidence])
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)
