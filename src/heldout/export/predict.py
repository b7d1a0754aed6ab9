"""Prediction from the exported files alone: no TensorFlow, no training data."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heldout.data import images
from heldout.export.formats import tflite

DESCRIPTION = "heldout.json"
BATCH = 64


def predict(paths: list[str], export: str | Path = "export", top: int = 1) -> Iterator[dict[str, Any]]:
    """Predictions for image files, and for every file in folders, in the order given.

    Args:
        paths: files or folders.
        export: the folder that the stage `export` wrote.
        top: how many classes a prediction names, the most probable first.

    Yields:
        A dict an image: path and predictions, a list of {class, confidence}; or path and error, one line.

    Raises:
        ValueError: where the export is missing, or a path is.
    """
    description_path = Path(export) / DESCRIPTION
    if not description_path.is_file():
        raise ValueError(f"{description_path} is missing: run `dvc repro export` or `dvc pull export` first")
    if not (Path(export) / "model.tflite").is_file():
        raise ValueError(f"{export} has no model.tflite: add tflite to export.formats and run `dvc repro`")
    description = json.loads(description_path.read_text(encoding="utf-8"))
    model = tflite.load(Path(export) / "model.tflite")
    files = list(_files(paths))
    for start in range(0, len(files), BATCH):
        yield from _predict_batch(files[start : start + BATCH], model, description, top)


def _predict_batch(files: list[str], model: Callable, description: dict, top: int) -> Iterator[dict[str, Any]]:
    pixels, errors = {}, {}
    for file in files:
        try:
            pixels[file] = images.decode_and_resize(Path(file).read_bytes(), file, **description["preprocess"])
        except (OSError, ValueError) as error:
            errors[file] = str(error)
    probabilities = dict(zip(pixels, model(np.stack(list(pixels.values()))), strict=True)) if pixels else {}
    for file in files:
        if file in errors:
            yield {"path": file, "error": errors[file]}
            continue
        best = np.argsort(-probabilities[file], kind="stable")[:top]
        names = description["class_names"]
        ranked = [{"class": names[number], "confidence": float(probabilities[file][number])} for number in best]
        yield {"path": file, "predictions": ranked}


def _files(paths: list[str]) -> Iterator[str]:
    for path in paths:
        if Path(path).is_dir():
            for folder, children, names in os.walk(path):
                children.sort()
                yield from (str(Path(folder, name)) for name in sorted(names) if not name.startswith("."))
        elif Path(path).exists():
            yield path
        else:
            raise ValueError(f"{path}: no such file or folder")
