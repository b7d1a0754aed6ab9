"""A `.keras` file without the date and the memory addresses that Keras puts in."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold


def write(model: keras.Model, path: Path) -> None:
    """Write the model as Keras's own file."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
    parts["metadata.json"] = json.dumps(metadata).encode()
    parts["config.json"] = json.dumps(_renumber_shared(json.loads(parts["config.json"]), {})).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), content)


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of them and of int32 tokens (n, length), to
    probabilities (n, num_classes)."""
    model = keras.saving.load_model(path)
    return lambda inputs: model.predict_on_batch(inputs)


def _renumber_shared(config: Any, numbers: dict[int, int]) -> Any:
    """The configuration with its shared objects numbered in the order of their appearance, not by address."""
    if isinstance(config, list):
        return [_renumber_shared(item, numbers) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: numbers.setdefault(value, len(numbers)) if key == "shared_object_id" else _renumber_shared(value, numbers)
        for key, value in config.items()
    }
