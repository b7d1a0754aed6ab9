"""Prediction from the exported files alone: no training data, and no TensorFlow where the format does without."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.data import images as image_data
from heldout.export.prediction import image_files, model_file
from heldout.export.prediction.image_files import ImageFile
from heldout.export.prediction.model_file import ModelFile

BATCH = 64  # at most; the first batches are smaller, so that the first answer comes at once
AHEAD = 2 * BATCH  # images that are decoded before they are asked for, at most
MAX_THREADS = 8  # that decode
THRESHOLD_DIGITS = 6  # decimals of a threshold in metrics/calibration.json
MAX_MEGAPIXELS = 100  # as data.max_megapixels has it by default


class Prediction(NamedTuple):
    """What the model says of one image.

    path: as found; '' of an array. predicted: the most probable class. confidence: its calibrated probability. unsure:
    whether that is below the threshold of the export. error: why there is no prediction, one line; then predicted is
    '', confidence NaN and ranked empty. ranked: the `top` most probable classes and their probabilities.
    """

    path: str
    predicted: str
    confidence: float
    unsure: bool
    error: str
    ranked: list[tuple[str, float]]


def predict(
    images: Any,
    model: str | Path | None = None,
    *,
    export: str | Path | None = None,
    top: int = 1,
    text: str | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> list[Prediction]:
    """Predictions for image files, images in folders, or arrays; a NamedTuple each, so `pandas.DataFrame` takes them.

    Args:
        images: a path, a pattern such as `photos/**/*.jpg`, or an array, uint8 (height, width, channels) or (n, height,
            width, channels), RGB or gray (3 or 1 channels) of any size; or any number of them.
        model: a file or folder in any format of `export.formats`, or a format's name. None: the first of the export
            whose runtime is installed, those without TensorFlow first.
        export: the folder that holds heldout.json, with classes, preprocessing and threshold. None: where the model is,
            or `export`.
        top: how many classes `ranked` has, the most probable first.
        text: of all of the images, for a model that sees texts; None where none is known.
        max_megapixels: a larger file gets an error, by its header, before it is decoded.

    Returns:
        One for each image, in the order given. A file that cannot be read, and a path or pattern without images, has
        its `error`.

    Raises:
        ValueError: where the model is missing or damaged, takes no text though there is one, or an array is none of
            the above.
    """
    items = [images] if isinstance(images, str | os.PathLike | np.ndarray) else images
    sources = [source for item in items for source in _sources(item)]
    return list(stream(sources, model_file.load(model, export), top, text, max_megapixels))


def stream(
    sources: Sequence[ImageFile | np.ndarray],
    model: ModelFile,
    top: int = 1,
    text: str | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Iterator[Prediction]:
    """Predictions as they are made, in the order given: threads decode at most AHEAD images before they are asked for.

    Args:
        sources: files of `image_files.find`, or arrays as `predict` takes one image.
        model: of `model_file.load`.
        top, text, max_megapixels: of `predict`.

    Raises:
        ValueError: where the model takes no text though there is one.
    """
    if text is not None and model.text is None:
        raise ValueError(
            f"{model.path} predicts by pixels alone: leave out the text, or train with text.method: hashed"
        )
    made, size, start = decoded(sources, model, max_megapixels), 1, 0
    while batch := list(islice(made, size)):
        yield from _predict_batch(sources[start : start + size], batch, model, top, text or "")
        start, size = start + size, min(2 * size, BATCH)


def decoded(
    sources: Sequence[ImageFile | np.ndarray], model: ModelFile, max_megapixels: float
) -> Iterator[np.ndarray | str]:
    """The pixels of each image as the model takes them, uint8 (height, width, channels), or why there are none, by
    threads that are AHEAD images ahead at most; where nobody asks on, what has not begun does not."""
    image_data.configure_opencv()

    def pixels(source: ImageFile | np.ndarray) -> np.ndarray | str:
        try:
            return _pixels(source, model.preprocess, max_megapixels)
        except ValueError as error:
            return str(error)

    pending: deque[Future[np.ndarray | str]] = deque()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        try:
            for source in sources:
                pending.append(pool.submit(pixels, source))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _sources(item: Any) -> list[Any]:
    if isinstance(item, str | os.PathLike):
        return image_files.find(os.fspath(item))
    array = np.asarray(item)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] not in (1, 3) or 0 in array.shape[-3:]:
        raise ValueError(
            "expected paths, or arrays uint8 (height, width, channels) or (n, height, width, channels) with 1 or 3 "
            f"channels, got {type(item).__name__} of {array.dtype} {array.shape}"
        )
    return list(array) if array.ndim == 4 else [array]


def _pixels(source: ImageFile | np.ndarray, preprocess: dict[str, Any], max_megapixels: float) -> np.ndarray:
    if isinstance(source, ImageFile):
        if source.error:
            raise ValueError(source.error)
        content = image_files.read(source.path)
        return image_data.decode_and_resize(content, source.path, max_megapixels=max_megapixels, **preprocess)
    settings = {key: value for key, value in preprocess.items() if key != "fast_decode"}
    rgb = np.ascontiguousarray(np.broadcast_to(source, (*source.shape[:2], 3)))
    return image_data.resize_pixels(rgb, None, **settings)


def _predict_batch(
    sources: Sequence[ImageFile | np.ndarray], made: list[np.ndarray | str], model: ModelFile, top: int, text: str
) -> Iterator[Prediction]:
    """Predictions of what was made of some images: their pixels, or an error."""
    batch = [pixels for pixels in made if isinstance(pixels, np.ndarray)]
    rows = iter(model.run(model.inputs(np.stack(batch), text)) if batch else ())
    for source, pixels in zip(sources, made, strict=True):
        path = source.path if isinstance(source, ImageFile) else ""
        if isinstance(pixels, str):
            yield Prediction(path, "", float("nan"), False, pixels, [])
            continue
        probabilities = next(rows)
        best = np.argsort(-probabilities, kind="stable")[:top]
        ranked = [(model.class_names[index], float(probabilities[index])) for index in best]
        unsure = round(ranked[0][1], THRESHOLD_DIGITS) < model.threshold
        yield Prediction(path, *ranked[0], unsure, "", ranked)
