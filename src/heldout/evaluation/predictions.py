"""The trained model's predictions for a split's images: what `evaluate` scores and `export` compares its files with."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from heldout.augmentation.corruptions import STRENGTHS, corrupt
from heldout.core.process import suppress_native_stderr
from heldout.data.shards import Images
from heldout.evaluation import probabilities
from heldout.networks import build, devices, tokenizer

with suppress_native_stderr():
    import keras

Corruption = Literal["gaussian_noise", "blur", "jpeg", "brightness", "contrast", "fog", "pixelate"]
CROP = 7 / 8  # of a side
SHUFFLE_SEED = 0


def predict(
    model: keras.Model,
    class_names: list[str],
    processed: str,
    folder: Path,
    text: dict[str, Any] | None = None,
    *,
    test_time_augmentation: Literal["none", "flip", "crops"],
    corruptions: list[Corruption],
) -> dict[str, int]:
    """Predict the images of val and test, those of test once they are corrupted, and without their text or pixels.

    Args:
        model, class_names: of `load_model`.
        processed: has the folders of shards val and test.
        folder: gets val and test (probabilities.write), and corrupted/NAME.npy, the predicted classes of the test
            images at each strength: int32 (5, n); with a text ablated/NAME.npy, those by the `image_alone`, the
            `text_alone`, and with a `shuffled_text`, that of another image: int32 (n,).
        text: of `load_text`.
        test_time_augmentation: `none`; `flip`, the mean of an image's probabilities and its mirror image's (wrong for
            digits); or `crops`, the mean of those of its center and four corners, each 7/8 of a side, enlarged
            (Krizhevsky et al. 2012). What is exported averages nothing.
        corruptions: of the test images, [] for none.

    Returns:
        How many images of each split.

    Raises:
        ValueError: where the shards are damaged, or a label is none of the classes.
    """
    counts = {}
    for split in ("val", "test"):
        images = Images(f"{processed}/{split}")
        images.class_numbers(class_names)  # or an error
        tokens = tokenizer.tokens_of(images, text)
        values = _predict(model, images.batches(), tokens, test_time_augmentation)
        probabilities.write(probabilities.Probabilities(images.ids, images.labels, values), folder / split)
        counts[split] = len(images)
    for name in corruptions:
        path = folder / probabilities.CORRUPTED / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, _corrupted_classes(model, images, tokens, name, test_time_augmentation), allow_pickle=False)
    if tokens is not None:
        (folder / probabilities.ABLATED).mkdir()
        for part, classes in _ablated_classes(model, images, tokens, test_time_augmentation).items():
            np.save(folder / probabilities.ABLATED / f"{part}.npy", classes, allow_pickle=False)
    return counts


def load_model(model_folder: str) -> tuple[keras.Model, list[str]]:
    """The trained model, in float32, and its class names.

    Raises:
        ValueError: where its description is damaged.
    """
    description, settings = _description(model_folder)
    devices.configure_tensorflow(0, strategy="single", precision="float32", **settings)
    return build.load(description, f"{model_folder}/model.weights.h5"), description["class_names"]


def load_text(model_folder: str) -> dict[str, Any] | None:
    """The section `text` that the model was trained with, the keyword arguments of `tokenizer.tokenize`; None where it
    takes pixels alone."""
    return _description(model_folder)[0].get("text")


def _description(model_folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What model.json holds, and the settings of determinism that follow from it."""
    path = Path(model_folder, "model.json")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        return description, devices.determinism_settings(description["environment"])
    except (ValueError, KeyError, TypeError) as error:
        remedy = f"run `dvc checkout --force {path}` or `dvc repro`"
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error


def views(batch: np.ndarray, test_time_augmentation: str) -> list[np.ndarray]:
    """What is predicted of a batch, uint8 (n, height, width, channels): arrays of its shape."""
    if test_time_augmentation == "none":
        return [batch]
    if test_time_augmentation == "flip":
        return [batch, batch[:, :, ::-1]]
    height, width = batch.shape[1:3]
    rows, columns = (max(1, round(side * CROP)) for side in (height, width))
    middle = ((height - rows) // 2, (width - columns) // 2)
    corners = [(top, left) for top in (0, height - rows) for left in (0, width - columns)]
    return [
        _enlarged(batch[:, top : top + rows, left : left + columns], batch.shape) for top, left in (middle, *corners)
    ]


def _enlarged(crops: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    size = (shape[2], shape[1])
    return np.stack([cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR) for crop in crops]).reshape(shape)


def _predict(
    model: keras.Model, batches: Iterable[np.ndarray], tokens: np.ndarray | None, test_time_augmentation: str
) -> np.ndarray:
    """The mean probabilities of all images' views, float32 (n, num_classes).

    Args:
        batches: of pixels, uint8 (n, height, width, channels), one after another.
        tokens: the tokens of all of them, or None.
    """
    predicted, start = [], 0
    for batch in batches:
        predicted.append(
            _average(
                model, batch, None if tokens is None else tokens[start : start + len(batch)], test_time_augmentation
            )
        )
        start += len(batch)
    return np.concatenate(predicted)


def _average(
    model: keras.Model, batch: np.ndarray, tokens: np.ndarray | None, test_time_augmentation: str
) -> np.ndarray:
    """The mean probabilities of a batch's views, float32 (n, num_classes)."""
    predicted = [
        model.predict_on_batch(view if tokens is None else [view, tokens])
        for view in views(batch, test_time_augmentation)
    ]
    return predicted[0] if len(predicted) == 1 else np.asarray(np.mean(predicted, axis=0, dtype=float), np.float32)


def _corrupted_classes(
    model: keras.Model, images: Images, tokens: np.ndarray | None, name: str, test_time_augmentation: str
) -> np.ndarray:
    """The predicted classes at each strength, int32 (5, n)."""
    result = np.empty((STRENGTHS, len(images)), np.int32)
    start = 0
    for batch in images.batches():
        rows = slice(start, start + len(batch))
        for strength in range(1, STRENGTHS + 1):
            corrupted = corrupt(batch, images.ids[rows], name, strength)
            predicted = _average(model, corrupted, None if tokens is None else tokens[rows], test_time_augmentation)
            result[strength - 1, rows] = predicted.argmax(axis=1)
        start = rows.stop
    return result


def _ablated_classes(
    model: keras.Model, images: Images, tokens: np.ndarray, test_time_augmentation: str
) -> dict[str, np.ndarray]:
    """The predicted classes, int32 (n,), of pixels without a text, of texts without pixels (black, as training had
    them), and of pixels with the text of another image."""
    black = (np.zeros_like(batch) for batch in images.batches())
    shuffled = tokens[np.random.default_rng(SHUFFLE_SEED).permutation(len(tokens))]
    inputs = {
        "image_alone": (images.batches(), tokenizer.without_text(*tokens.shape)),
        "text_alone": (black, tokens),
        "shuffled_text": (images.batches(), shuffled),
    }
    return {
        name: _predict(model, *pair, test_time_augmentation).argmax(axis=1).astype(np.int32)
        for name, pair in inputs.items()
    }
