"""Prediction from the exported files alone: no TensorFlow, no training data."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heldout import images
from heldout.process import quiet

DESCRIPTION = "heldout.json"
BATCH = 64


def tflite_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, height, width, channels) to probabilities (n, num_classes), run by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(batch: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(source["index"], batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], batch)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run


def predict(paths: list[str], export: str | Path = "export", top: int = 1) -> Iterator[dict[str, Any]]:
    """Answers for image files, and for every file in folders, in the order given.

    Args:
        paths: files or folders.
        export: the folder that the stage `export` wrote.
        top: how many classes an answer names, the most probable first.

    Yields:
        A dict an image: path and answers, a list of {class, confidence}; or path and error, one line.

    Raises:
        ValueError: where the export is not there, or a path is not.
    """
    description_path = Path(export) / DESCRIPTION
    if not description_path.is_file():
        raise ValueError(f"{description_path} is not there: run `dvc repro export` or `dvc pull export` first")
    if not (Path(export) / "model.tflite").is_file():
        raise ValueError(f"{export} has no model.tflite: add tflite to export.formats and run `dvc repro`")
    description = json.loads(description_path.read_text(encoding="utf-8"))
    model = tflite_model(Path(export) / "model.tflite")
    files = list(_files(paths))
    for start in range(0, len(files), BATCH):
        yield from _answers(files[start : start + BATCH], model, description, top)


def _answers(files: list[str], model: Callable, description: dict, top: int) -> Iterator[dict[str, Any]]:
    pixels, errors = {}, {}
    for file in files:
        try:
            pixels[file] = images.prepare(Path(file).read_bytes(), file, **description["preprocess"])
        except (OSError, ValueError) as error:
            errors[file] = str(error)
    probabilities = dict(zip(pixels, model(np.stack(list(pixels.values()))), strict=True)) if pixels else {}
    for file in files:
        if file in errors:
            yield {"path": file, "error": errors[file]}
            continue
        best = np.argsort(-probabilities[file], kind="stable")[:top]
        named = [{"class": description["class_names"][n], "confidence": float(probabilities[file][n])} for n in best]
        yield {"path": file, "answers": named}


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
