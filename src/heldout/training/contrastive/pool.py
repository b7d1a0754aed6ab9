"""The pool: the images that pretraining learns from, of one or more folders of shards, as one array."""

import hashlib
from collections.abc import Sequence

import numpy as np

from heldout.data.shards import Images


class Pool:
    """The images of several folders, one after another; labels are not looked at.

    Args:
        parts: all of one image shape.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self.image_shape = parts[0].image_shape

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        batch = np.empty((len(rows), *self.image_shape), np.uint8)
        part_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for number, part in enumerate(self._parts):
            chosen = part_of_row == number
            if chosen.any():
                batch[chosen] = part[rows[chosen] - self._starts[number]]
        return batch

    def digest(self) -> str:
        """The md5 of what distinguishes the images, the labels of `shards.Images.digest` included."""
        text = "\n".join(part.digest() for part in self._parts)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
