"""Images at rest: a few uint8 .npy files that open by mmap, and the manifest of their rows."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from heldout import manifest

SHARD_BYTES = 32 * 2**20  # of a shard on average, at most; one added image makes one of them new to push and pull
SHARDS = 256  # at most, unless they would hold more than LARGE bytes on average; a power of two, as each number is
LARGE = 2**30
ROWS = "images.csv"
BATCH = 64  # images at a time, where a network only answers


class Shard(NamedTuple):
    """A shard that is being written: its file, its first row among all, their end, and the bytes before the pixels."""

    path: Path
    start: int
    stop: int
    head: int


def lay_out(rows: pd.DataFrame, image_shape: tuple[int, int, int], folder: Path) -> list[Shard]:
    """Write the manifest of the rows and the head of each shard, by the first bits of the images' identities: an image
    more or less changes its shard alone. The caller writes the pixels behind the heads.

    Args:
        rows: with the columns id (md5) and label, sorted by id.
        image_shape: (height, width, channels) of every image.
        folder: gets images-NNNNN.npy, uint8 arrays (n, *image_shape), and images.csv.
    """
    manifest.write(rows[["id", "label"]], folder / ROWS)
    count = shard_count(len(rows) * int(np.prod(image_shape)))
    number = [int(identity[:8], 16) * count >> 32 for identity in rows["id"]]
    ends = np.cumsum(np.unique(number, return_counts=True)[1]).tolist()
    laid_out: list[Shard] = []
    for start, stop in zip([0, *ends], ends, strict=False):
        path = folder / f"images-{len(laid_out):05}.npy"
        with path.open("wb") as file:
            shape = (stop - start, *image_shape)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            laid_out.append(Shard(path, start, stop, file.tell()))
            if hasattr(os, "posix_fallocate"):  # a full disk says so before hours of work; writing is cheaper, too
                os.posix_fallocate(file.fileno(), 0, file.tell() + int(np.prod(shape)))
    return laid_out


def shard_count(size: int) -> int:
    """How many shards hold `size` bytes: a power of two, so that a growing data set splits shards and mixes none."""
    count = 1
    while size > count * (SHARD_BYTES if count < SHARDS else LARGE):
        count *= 2
    return count


class Images:
    """The images of a folder of shards, by mmap: nothing is read before it is asked for.

    `images[indices]` is a uint8 array (len(indices), height, width, channels); `labels` the class name of every row and
    `ids` its identity, both arrays of text in the shards' order.
    """

    def __init__(self, folder: str | Path):
        paths = sorted(Path(folder).glob("images-*.npy"))
        rows = manifest.read(Path(folder) / ROWS)
        self.ids, self.labels = rows["id"].to_numpy(object), rows["label"].to_numpy(object)
        self._shards = [np.load(path, mmap_mode="r") for path in paths]
        sizes = [len(shard) for shard in self._shards]
        if not sizes or sum(sizes) != len(rows):
            raise ValueError(f"{folder} is not whole: run `dvc checkout {folder}` or `dvc repro`")
        self._shard = np.repeat(np.arange(len(sizes)), sizes)
        self._row = np.concatenate([np.arange(size) for size in sizes])
        self.image_shape = self._shards[0].shape[1:]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, indices) -> np.ndarray:
        indices = np.atleast_1d(indices)
        batch = np.empty((len(indices), *self.image_shape), np.uint8)
        for position, (shard, row) in enumerate(
            zip(self._shard[indices].tolist(), self._row[indices].tolist(), strict=True)
        ):
            batch[position] = self._shards[shard][row]
        return batch

    def batches(self, size: int = BATCH) -> Iterator[np.ndarray]:
        """All images in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[np.arange(start, min(start + size, len(self)))]

    def digest(self) -> str:
        """The md5 of what tells these images from others: ids, labels and shape, and a few pixels, which tell how they
        were prepared."""
        said = "\n".join([*self.ids, *self.labels, str(self.image_shape)])
        digest = hashlib.md5(said.encode(), usedforsecurity=False)
        for shard in self._shards:
            digest.update(shard[0].tobytes())
        return digest.hexdigest()

    def numbers(self, class_names: list[str]) -> np.ndarray:
        """The labels as class numbers, int32 of shape (n,)."""
        return pd.Categorical(self.labels, categories=class_names).codes.astype(np.int32)
