"""Export: the files to ship, byte-stable, taking raw pixels, each compared with the model that was measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Len
from pydantic import Field

from heldout.data.shards import Images
from heldout.export.formats import keras, saved_model, tflite
from heldout.networks import tokenizer

Format = Literal["keras", "saved_model", "tflite"]
FILES = {"keras": "model.keras", "saved_model": "saved_model", "tflite": "model.tflite"}
FORMATS: dict[str, Any] = {"keras": keras, "saved_model": saved_model, "tflite": tflite}


class Parity(NamedTuple):
    """How a shipped file differs from the model: the largest difference of a probability, how many images have another
    predicted class, of how many; and the file's bytes."""

    max_abs_difference: float
    changed_predictions: int
    images: int
    bytes: int


def export(
    model: Any,
    folder: Path,
    images: Images,
    tokens: np.ndarray | None = None,
    *,
    formats: Annotated[list[Format], Len(1)],
    tolerance: Annotated[float, Field(gt=0, le=1)],
) -> dict[str, Parity]:
    """Write the model in each format, load it again, and compare its predictions with the model's.

    Args:
        model: the Keras model, calibrated.
        folder: where the files go.
        images: the test images.
        tokens: the tokens of their texts, int32 (n, length), where the model takes them.
        formats: keras (model.keras), saved_model (a folder; signature `serve`: uint8 images -> probabilities), tflite
            (float32, uint8 input); with a text each has a second input, `tokens`.
        tolerance: the largest difference of a probability that is accepted.

    Raises:
        ValueError: where a file differs by more than `tolerance`.
    """
    report: dict[str, Parity] = {}
    probabilities = _predict(model.predict_on_batch, images, tokens)
    for name in formats:
        path = folder / FILES[name]
        FORMATS[name].write(model, path)
        shipped = _predict(FORMATS[name].load(path), images, tokens)
        difference = float(np.abs(shipped - probabilities).max())
        changed = int((shipped.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
        if not difference <= tolerance:
            raise ValueError(
                f"{path.name} does not predict what the model does: max difference {difference:.2g}, expected "
                f"{tolerance:g} at most (export.tolerance), {changed} of {len(shipped)} predictions changed"
            )
        report[name] = Parity(float(f"{difference:.1e}"), changed, len(shipped), _size(path))
    return report


def metrics(report: dict[str, Parity]) -> dict[str, float | int]:
    """The figures of metrics/export.json, flat: the format's name in front."""
    return {
        f"{name}_{key}": value
        for name, parity in report.items()
        for key, value in parity._asdict().items()
        if key != "images"
    }


def _predict(predict: Callable[[Any], np.ndarray], images: Images, tokens: np.ndarray | None) -> np.ndarray:
    return np.concatenate([predict(inputs) for inputs in tokenizer.model_inputs(images.batches(), tokens)])


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
    return sum(file.stat().st_size for file in files)
