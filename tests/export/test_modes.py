"""The exported files have the modes that the umask says, so that a group shares them as it shares all else."""

import os
import stat

import numpy as np
import pytest
from small_models import sources
from test_export_formats import INSTALLED

from heldout.core import atomic
from heldout.core.process import suppress_native_stderr
from heldout.export import files

with suppress_native_stderr():
    import keras

pytestmark = pytest.mark.slow
PIXELS = np.zeros((2, 4, 4, 3), np.uint8)


def test_every_format_follows_the_umask(tmp_path):
    inputs = keras.Input((4, 4, 3), dtype="uint8")
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(keras.layers.Rescaling(1.0)(inputs)))
    before = os.umask(0o002)
    try:
        with atomic.replacing_folder(tmp_path / "export") as partial:
            for name in INSTALLED:
                files.FORMATS[name].write(keras.Model(inputs, outputs), partial / files.FILES[name], sources(PIXELS))
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "export").rglob("*")}
    assert len(modes) >= 13 and modes == {path: 0o775 if path.is_dir() else 0o664 for path in modes}
