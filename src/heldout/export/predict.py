"""Prediction from the exported files alone: no TensorFlow, no training data."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heldout.data import images
from heldout.data.decoding import formats
from heldout.data.listing import files as listing
from heldout.export.formats import tflite
from heldout.networks import tokenizer

DESCRIPTION = "heldout.json"
BATCH = 64
THRESHOLD_DIGITS = 6  # decimals of a threshold in metrics/calibration.json
MAX_MEGAPIXELS = 100  # as data.max_megapixels has it by default


def predict(
    paths: list[str],
    export: str | Path = "export",
    top: int = 1,
    max_megapixels: float = MAX_MEGAPIXELS,
    text: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Predictions for image files, and for every image in folders, in the order given.

    What `index` passes over in a folder is passed over here: hidden files, and files that are no images.

    Args:
        paths: files or folders.
        export: the folder that the stage `export` wrote.
        top: how many classes a prediction names, the most probable first.
        max_megapixels: an image with more gets an error, by its header, before it is decoded.
        text: of all of the images; None where none is known.

    Yields:
        A dict an image: path, predictions, a list of {class, confidence}, and unsure, whether the highest confidence is
        below the threshold of the export (one from before there was a threshold is never unsure); or path and error,
        one line, also for a path that does not exist or a folder without images.

    Raises:
        ValueError: where the export is missing or damaged, or takes no text though there is one.
    """
    description, model = _load(Path(export))
    if text is not None and "text" not in description:
        raise ValueError(f"{export} predicts by pixels alone: leave out the text, or train with text.method: hashed")
    description["tokens"] = _tokens([text or ""], description)
    files = [item for path in paths for item in _files(path)]
    for start in range(0, len(files), BATCH):
        yield from _predict_batch(files[start : start + BATCH], model, description, top, max_megapixels)


def _load(export: Path) -> tuple[dict[str, Any], Callable]:
    """The description and the model, which takes uint8 images and gives probabilities."""
    description_path, model_path = export / DESCRIPTION, export / "model.tflite"
    if not description_path.is_file():
        raise ValueError(f"{description_path} is missing: run `dvc repro export` or `dvc pull export` first")
    if not model_path.is_file():
        raise ValueError(f"{export} has no model.tflite: add tflite to export.formats and run `dvc repro`")
    try:
        description = json.loads(description_path.read_text(encoding="utf-8"))
        num_classes, preprocess = len(description["class_names"]), description["preprocess"]
        description["threshold"] = float(description.get("threshold", 0))
        model = tflite.load(model_path)
        pixels = np.zeros((1, *preprocess["image_size"], preprocess["channels"]), np.uint8)
        examples = description["text"].pop("examples") if "text" in description else []
        tokens = _tokens([example["text"] for example in examples], description)
        expected = [example["ids"] for example in examples]
        probabilities = model(pixels if tokens is None else [pixels, tokens[:1]])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{export} is damaged ({_shortened(error)}): run `dvc checkout --force {export}`") from error
    if probabilities.shape != (1, num_classes):
        raise ValueError(
            f"{model_path} gives {probabilities.shape[-1]} probabilities, {description_path} names {num_classes} "
            f"classes: run `dvc checkout --force {export}`"
        )
    if [row[row != tokenizer.PADDING].tolist() for row in (() if tokens is None else tokens)] != expected:
        raise ValueError(f"{export} was made by another tokenizer: use the version that made it, or run `dvc repro`")
    return description, model


def _tokens(texts: list[str], description: dict[str, Any]) -> np.ndarray | None:
    """The tokens of some texts, int32 (n, length), as the export takes them; None where it takes none."""
    return tokenizer.tokenize(texts, **description["text"]) if "text" in description else None


def _predict_batch(
    files: list[tuple[str, str]], model: Callable, description: dict[str, Any], top: int, max_megapixels: float
) -> Iterator[dict[str, Any]]:
    pixels: dict[int, np.ndarray] = {}
    errors: dict[int, str] = {}
    for number, (path, error) in enumerate(files):
        try:
            if error:
                raise ValueError(error)
            content, preprocess = _content(path), description["preprocess"]
            pixels[number] = images.decode_and_resize(content, path, max_megapixels=max_megapixels, **preprocess)
        except ValueError as caught:
            errors[number] = str(caught)
    probabilities: dict[int, np.ndarray] = {}
    if pixels:
        batch, tokens = np.stack(list(pixels.values())), description["tokens"]
        inputs = batch if tokens is None else [batch, np.repeat(tokens, len(batch), axis=0)]
        probabilities = dict(zip(pixels, model(inputs), strict=True))
    for number, (path, _) in enumerate(files):
        if number in errors:
            yield {"path": path, "error": errors[number]}
            continue
        best = np.argsort(-probabilities[number], kind="stable")[:top]
        ranked = [
            {"class": description["class_names"][index], "confidence": float(probabilities[number][index])}
            for index in best
        ]
        unsure = round(ranked[0]["confidence"], THRESHOLD_DIGITS) < description["threshold"]
        yield {"path": path, "predictions": ranked, "unsure": unsure}


def _files(path: str) -> list[tuple[str, str]]:
    """A file, or the images of a folder, each with what is wrong with it, if anything."""
    if Path(path).is_dir():
        image_paths = sorted(file for file in listing.walk(Path(path))[0] if listing.is_image(file))
        return [(file, "") for file in image_paths] or [(path, f"{path} holds no images")]
    if not Path(path).exists():
        return [(path, f"{path}: no such file or folder")]
    return [(path, "" if Path(path).is_file() else f"{path} is a pipe, socket or device, not a file")]


def _content(path: str) -> bytes:
    """The bytes of an image file; of another one, which may be as large as a disk, the first alone."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(formats.HEAD)
            return head + file.read() if formats.image_format(head) else head
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
