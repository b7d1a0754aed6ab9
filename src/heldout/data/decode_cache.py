"""The cache of decoded images, keyed by an image's bytes: what `preprocess` has decoded is not decoded again."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core import code
from heldout.core.array_cache import ArrayCache
from heldout.data import images

LIBRARIES = ("opencv-python-headless", "pillow", "numpy")


class DecodeCache(ArrayCache):
    """The decoded images of preprocess's params, the versions of its libraries, and the code.

    Args:
        settings: the keyword arguments of `images.decode_and_resize`.
    """

    shape: tuple[int, int, int]

    def __init__(self, settings: dict[str, Any]) -> None:
        self.num_reused = 0
        super().__init__(
            "decoded images",
            settings | {name: version(name) for name in LIBRARIES},
            code.stage_digest(Path(images.__file__)),
            (*settings["image_size"], settings["channels"]),
            np.dtype(np.uint8),
        )
