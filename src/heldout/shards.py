"""Images at rest: a few uint8 .npy files that open by mmap, and the manifest of their rows."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from heldout import manifest
from heldout.atomic import replacing_folder

SHARD_BYTES = 64 * 2**20  # one is in memory at a time; a million 224 px images make 2,300
ROWS = "images.csv"


def write(rows: pd.DataFrame, pixels: Iterable[np.ndarray], image_shape: tuple[int, int, int], folder: str) -> None:
    """Write images into shards.

    Args:
        rows: the images' manifest, with the columns id and label.
        pixels: a uint8 array of `image_shape` (height, width, channels) for every row, in their order.
        image_shape: of every image.
        folder: is replaced as a whole; holds images-NNNNN.npy, uint8 arrays (n, *image_shape), and images.csv.
    """
    size = max(1, SHARD_BYTES // int(np.prod(image_shape)))
    pixels = iter(pixels)
    with replacing_folder(folder) as partial:
        manifest.write(rows[["id", "label"]], partial / ROWS)
        for number, start in enumerate(range(0, len(rows), size)):
            shard = np.empty((min(size, len(rows) - start), *image_shape), np.uint8)
            for position in range(len(shard)):
                shard[position] = next(pixels)
            np.save(partial / f"images-{number:05}.npy", shard)


class Images:
    """The images of a folder of shards, by mmap: nothing is read before it is asked for.

    `images[indices]` is a uint8 array (len(indices), height, width, 3); `labels` the class name of every row and
    `ids` its identity, both arrays of text in the shards' order.
    """

    def __init__(self, folder: str | Path):
        paths = sorted(Path(folder).glob("images-*.npy"))
        rows = manifest.read(Path(folder) / ROWS)
        self.ids, self.labels = rows["id"].to_numpy(object), rows["label"].to_numpy(object)
        self._shards = [np.load(path, mmap_mode="r") for path in paths]
        if sum(map(len, self._shards)) != len(rows):
            raise ValueError(f"{folder} is not whole: run `dvc checkout {folder}` or `dvc repro`")
        self._size = len(self._shards[0])
        self.image_shape = self._shards[0].shape[1:]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, indices) -> np.ndarray:
        indices = np.atleast_1d(indices)
        batch = np.empty((len(indices), *self.image_shape), np.uint8)
        for position, index in enumerate(indices):
            batch[position] = self._shards[index // self._size][index % self._size]
        return batch

    def numbers(self, class_names: list[str]) -> np.ndarray:
        """The labels as class numbers, int32 of shape (n,)."""
        return pd.Categorical(self.labels, categories=class_names).codes.astype(np.int32)
