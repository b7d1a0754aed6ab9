"""The files to ship by format: write one, load it where that is safe, and say what is missing to do so."""

import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from heldout.export.formats import (
    h5,
    keras,
    onnx,
    openvino,
    saved_model,
    tflite,
    tflite_dynamic,
    tflite_float16,
    tflite_int8,
)


class MissingRuntime(ValueError):
    """A library that runs a format is not installed."""


FORMATS: dict[str, Any] = {
    "keras": keras,
    "h5": h5,
    "saved_model": saved_model,
    "tflite": tflite,
    "tflite_float16": tflite_float16,
    "tflite_dynamic": tflite_dynamic,
    "tflite_int8": tflite_int8,
    "onnx": onnx,
    "openvino": openvino,
}
DESCRIPTION = "heldout.json"  # beside the files: classes, preprocessing, threshold, lineage
FILES: dict[str, str] = {name: module.FILE for name, module in FORMATS.items()}


def check_runtimes(formats: Sequence[str]) -> None:
    """Check that what the formats need is installed, before anything is written.

    Raises:
        ValueError: where it is not.
    """
    for name in formats:
        for distribution in FORMATS[name].RUNTIME:
            try:
                version(distribution)
            except PackageNotFoundError:
                raise ValueError(
                    f"export.formats has {name}, which needs {distribution}: install the extra {name} (`uv pip install "
                    f"--constraint requirements.lock {' '.join(FORMATS[name].RUNTIME)}`), or remove {name}"
                ) from None


def write(name: str, model: Any, path: Path, sources: Any) -> None:
    """Write the calibrated Keras model as a file or folder, which does not exist yet.

    Raises:
        ValueError: where the format cannot hold the model; one line.
    """
    try:
        FORMATS[name].write(model, path, sources)
    except MemoryError:
        raise
    except Exception as error:  # every converter has kinds of its own
        raise ValueError(
            f"{path.name} is not written ({_shortened(error)}): remove {name} from export.formats"
        ) from error


def load(name: str, path: Path) -> Callable[[Any], np.ndarray]:
    """A function from the model's inputs to probabilities (n, num_classes), which the format's own runtime runs.

    Raises:
        MissingRuntime: where that is not installed.
        ValueError: where the file is missing or damaged, or holds what could run code; one line.
    """
    try:
        return FORMATS[name].load(path)
    except MemoryError:
        raise
    except ModuleNotFoundError as error:
        runtime = " ".join(FORMATS[name].RUNTIME)
        raise MissingRuntime(
            f"{path} needs {error.name}, which is not installed: run `uv pip install --constraint requirements.lock "
            f"{runtime}`, or predict with another format"
        ) from error
    except Exception as error:  # every runtime has kinds of its own
        remedy = f"run `dvc checkout --force {path.parent}`, or `dvc repro`"
        raise ValueError(f"{path} is not loaded ({_shortened(error)}): {remedy}") from error


def size(path: Path) -> int:
    """The bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
    return sum(file.stat().st_size for file in files)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that it holds."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__
