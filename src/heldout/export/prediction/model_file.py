"""An exported file with what its heldout.json says of it: found by name, kind or place, loaded, and tried once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.export import files
from heldout.networks import tokenizer

EXPORT = "export"
# Of a folder: those that give the measured probabilities first, and of these those that do without TensorFlow.
PREFERENCE = (
    *("tflite", "onnx", "openvino", "keras", "saved_model", "h5"),
    *("tflite_float16", "tflite_dynamic", "tflite_int8"),
)
SUFFIXES = {".tflite": "tflite", ".onnx": "onnx", ".keras": "keras", ".h5": "h5", ".hdf5": "h5"}
INSIDE = {"saved_model.pb": "saved_model", "model.xml": "openvino"}


class ModelFile(NamedTuple):
    """A model that predicts: its file, the function from its inputs to probabilities (n, num_classes), its class names
    by number, the section `preprocess`, the confidence below which it is unsure, and the section `text` of one that
    sees texts, None of others."""

    path: Path
    run: Callable[[Any], np.ndarray]
    class_names: list[str]
    preprocess: dict[str, Any]
    threshold: float
    text: dict[str, Any] | None

    def inputs(self, pixels: np.ndarray, text: str = "") -> Any:
        """What `run` takes, of images uint8 (n, height, width, channels) and one text of them all."""
        if self.text is None:
            return pixels
        return [pixels, np.repeat(_tokens([text], self.text), len(pixels), axis=0)]


def load(model: str | Path | None = None, export: str | Path | None = None) -> ModelFile:
    """A model file, in any format of `export.formats`.

    Args:
        model: a file or folder of one of the formats; the name of a format, of which `export` has the file; a folder
            of several, as the stage `export` writes it. None: `export` itself.
        export: the folder that holds heldout.json, and the model unless that is elsewhere. None: where the model is,
            or the folder `export`.

    Raises:
        ValueError: where a file is missing or damaged, no runtime is installed, or model and description do not
            belong together; one line.
    """
    name, path, folder = _find(None if model is None else str(model), None if export is None else Path(export))
    values = _description(folder, path)
    path, run = (path, files.load(name, path)) if name else _first(folder)
    found = ModelFile(path, run, *(values[key] for key in ("class_names", "preprocess", "threshold", "text")))
    _try(found, folder)
    if found.text is not None:
        _check_tokenizer(found.text, values["examples"], folder)
    return found


def _find(model: str | None, export: Path | None) -> tuple[str, Path, Path]:
    """The format, '' where it is to be chosen; the file or folder; and the folder of the description."""
    folder = export or Path(EXPORT)
    if model is None:
        return "", folder, folder
    path = Path(model)
    if model in files.FILES and not path.exists():
        return model, _existing(folder / files.FILES[model]), folder
    path = _existing(path)
    if path.name == "model.xml":
        path = path.parent
    name = _format(path)
    if not name and (path / files.DESCRIPTION).is_file():
        return "", path, path
    if not name:
        raise ValueError(
            f"{path} is no model: expected a .tflite, .onnx, .keras or .h5 file, a SavedModel or OpenVINO folder, a "
            f"folder with {files.DESCRIPTION}, or one of {', '.join(files.FILES)}"
        )
    return name, path, export or path.absolute().parent


def _format(path: Path) -> str:
    if path.is_dir():
        return next((name for file, name in INSIDE.items() if (path / file).is_file()), "")
    return SUFFIXES.get(path.suffix.lower(), "")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    return path


def _description(folder: Path, model: Path) -> dict[str, Any]:
    """What heldout.json says, its threshold a number: 0 where it is from before there was one."""
    path = folder / files.DESCRIPTION
    if not path.is_file():
        if model != folder:
            raise ValueError(
                f"{path} is missing, which says the classes of {model} and how it takes its pixels: name the folder "
                "that has it (--export)"
            )
        raise ValueError(f"{path} is missing: run `dvc repro export` or `dvc pull export` first")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["threshold"] = float(values.get("threshold", 0))
        if not all(isinstance(name, str) for name in values["class_names"]):
            raise ValueError("class_names are not text")
        text = dict(values["text"]) if "text" in values else None
        examples = [] if text is None else [(item["text"], item["ids"]) for item in text.pop("examples")]
        return values | {"preprocess": dict(values["preprocess"]), "text": text, "examples": examples}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, error) from error


def _first(folder: Path) -> tuple[Path, Callable[[Any], np.ndarray]]:
    """The first model of a folder whose runtime is installed."""
    missing = ""
    for name in PREFERENCE:
        path = folder / files.FILES[name]
        if path.exists():
            try:
                return path, files.load(name, path)
            except files.MissingRuntime as error:
                missing = missing or str(error)
    raise ValueError(missing or f"{folder} has no model: add tflite to export.formats and run `dvc repro`")


def _try(model: ModelFile, folder: Path) -> None:
    """Predict a black image: what does not belong together shows now, and not with the first photo."""
    try:
        pixels = np.zeros((1, *model.preprocess["image_size"], model.preprocess["channels"]), np.uint8)
        shape = model.run(model.inputs(pixels)).shape
    except MemoryError:
        raise
    except Exception as error:  # every runtime has kinds of its own
        raise _damaged(folder, error, f" or not of {model.path}") from error
    if shape != (1, len(model.class_names)):
        raise ValueError(
            f"{model.path} gives {shape[-1]} probabilities, {folder / files.DESCRIPTION} names "
            f"{len(model.class_names)} classes: run `dvc checkout --force {folder}`"
        )


def _check_tokenizer(text: dict[str, Any], examples: list[tuple[str, list[int]]], folder: Path) -> None:
    tokens = _tokens([words for words, _ in examples], text)
    if [row[row != tokenizer.PADDING].tolist() for row in tokens] != [ids for _, ids in examples]:
        raise ValueError(f"{folder} was made by another tokenizer: use the version that made it, or run `dvc repro`")


def _tokens(texts: list[str], text: dict[str, Any]) -> np.ndarray:
    return tokenizer.hashed(texts, text["buckets"], text["length"])


def _damaged(folder: Path, error: Exception, reason: str = "") -> ValueError:
    text = " ".join(str(error).split())[:100]
    return ValueError(f"{folder} is damaged{reason} ({text}): run `dvc checkout --force {folder}`")
