"""A `.keras` file without the date and the memory addresses that Keras puts in."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr

FILE = "model.keras"
IS_QUANTIZED = False
RUNTIME = ("keras",)
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold
PARTS = ["config.json", "metadata.json", "model.weights.h5"]


def write(model: Any, path: Path, sources: Any) -> None:
    """Write the model as Keras's own file."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
    parts["metadata.json"] = json.dumps(metadata).encode()
    parts["config.json"] = json.dumps(renumber_shared(json.loads(parts["config.json"]), {})).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), content)


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of all of the model's inputs, to
    probabilities (n, num_classes).

    Raises:
        ValueError: where the file holds more than configuration and weights, or code.
    """
    import h5py

    from heldout.core import untrusted

    with zipfile.ZipFile(path) as archive:
        if sorted(archive.namelist()) != PARTS:
            extra = sorted(set(archive.namelist()) - set(PARTS))
            raise ValueError(f"expected {', '.join(PARTS)}, it holds {', '.join(extra) or 'less or more of them'}")
        untrusted.check_config(json.loads(archive.read("config.json")))
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            untrusted.check_hdf5(weights)
    return predict_function(path)


def predict_function(path: Path) -> Callable[[Any], np.ndarray]:
    """What `load` returns, of a file that was checked."""
    with suppress_native_stderr():
        import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda inputs: model.predict_on_batch(inputs)


def renumber_shared(config: Any, numbers: dict[int, int]) -> Any:
    """The configuration with its shared objects numbered in the order of their appearance, not by address."""
    if isinstance(config, list):
        return [renumber_shared(item, numbers) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: numbers.setdefault(value, len(numbers)) if key == "shared_object_id" else renumber_shared(value, numbers)
        for key, value in config.items()
    }
