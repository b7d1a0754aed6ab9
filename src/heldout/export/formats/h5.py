"""Keras's legacy HDF5 file, for consumers from before `.keras`, without the memory addresses that Keras puts in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.export.formats.keras import predict_function, renumber_shared

FILE = "model.h5"
IS_QUANTIZED = False
RUNTIME = ("keras",)


def write(model: Any, path: Path, sources: Any) -> None:
    """Write the file; what Keras saves is copied, since an attribute that is replaced leaves its bytes behind."""
    import h5py

    raw = path.with_name(f"partial.{path.name}")
    with suppress_native_stderr():  # Keras warns that the format is a legacy, which is why it was asked for
        model.save(raw)
    with h5py.File(raw) as source, h5py.File(path, "w") as target:
        for name in source:
            source.copy(name, target)
        for name, value in source.attrs.items():
            target.attrs[name] = _config(value) if name == "model_config" else value
    raw.unlink()


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """As `keras.load`, from HDF5: Keras before 3.11.3 ran a Lambda from such a file, whatever its safe mode was.

    Raises:
        ValueError: where the file holds code, or refers to another file.
    """
    import h5py

    from heldout.core import untrusted

    with h5py.File(path) as file:
        untrusted.check_hdf5(file)
        untrusted.check_config(json.loads(file.attrs["model_config"]))
    return predict_function(path)


def _config(text: str) -> str:
    return json.dumps(renumber_shared(json.loads(text), {}))
