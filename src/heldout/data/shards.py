"""Preprocessed images on disk: a few uint8 .npy files that open by mmap, and the manifest of their rows."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from heldout.data import manifest

SHARD_BYTES = 32 * 2**20  # of a shard on average, at most; one added image makes one of them new to push and pull
MAX_SHARDS = 256  # unless they would hold more than MAX_SHARD_BYTES on average; a power of two, as each number is
MAX_SHARD_BYTES = 2**30
ROWS = "images.csv"
BATCH = 64  # images at a time, where a network only predicts


class Shard(NamedTuple):
    """A shard to be filled: its file, its rows (from `start` to before `stop`), and the size of the .npy header."""

    path: Path
    start: int
    stop: int
    header_bytes: int


def create_shards(
    rows: pd.DataFrame, image_shape: tuple[int, int, int], folder: Path, texts: bool = False
) -> list[Shard]:
    """Write the manifest of the rows and the header of each shard; the caller writes the pixels behind the headers.

    The first bits of an image's identity name its shard, so that an image more or less changes one shard alone.

    Args:
        rows: with the columns id (md5) and label, sorted by id.
        image_shape: (height, width, channels) of every image.
        folder: gets images-NNNNN.npy, uint8 arrays (n, *image_shape), and images.csv.
        texts: whether images.csv has the column text: where it has not, an edited one changes no byte.
    """
    manifest.write(rows[["id", "label", *(["text"] if texts else [])]], folder / ROWS)
    count = shard_count(len(rows) * int(np.prod(image_shape)))
    shard_of_row = [int(identity[:8], 16) * count >> 32 for identity in rows["id"]]
    stops = np.cumsum(np.unique(shard_of_row, return_counts=True)[1]).tolist()
    created: list[Shard] = []
    for start, stop in zip([0, *stops], stops, strict=False):
        path = folder / f"images-{len(created):05}.npy"
        with path.open("wb") as file:
            shape = (stop - start, *image_shape)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            created.append(Shard(path, start, stop, file.tell()))
            if hasattr(os, "posix_fallocate"):  # a full disk is noticed before hours of work, and writing is cheaper
                os.posix_fallocate(file.fileno(), 0, file.tell() + int(np.prod(shape)))
    return created


def shard_count(size: int) -> int:
    """How many shards hold `size` bytes: a power of two, so that a growing data set splits shards and mixes none."""
    count = 1
    while size > count * (SHARD_BYTES if count < MAX_SHARDS else MAX_SHARD_BYTES):
        count *= 2
    return count


class Images:
    """The images of a folder of shards, by mmap: nothing is read before it is used.

    `images[indices]` is a uint8 array (len(indices), height, width, channels); `labels` holds the class name of every
    row and `ids` its identity, both arrays of text in the shards' order; `texts` its text, None in shards without.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = folder
        paths = sorted(Path(folder).glob("images-*.npy"))
        rows = manifest.read(Path(folder) / ROWS)
        self.ids, self.labels = rows["id"].to_numpy(object), rows["label"].to_numpy(object)
        self.texts = rows["text"].to_numpy(object) if "text" in rows else None
        self._shards = [_open(path) for path in paths]
        sizes = [len(shard) for shard in self._shards]
        if not sizes or sum(sizes) != len(rows):
            raise ValueError(
                f"{folder} is incomplete: expected the {len(rows)} images of {ROWS}, got {sum(sizes)}: "
                f"run `dvc checkout {folder}` or `dvc repro`"
            )
        self._shard_of_image = np.repeat(np.arange(len(sizes)), sizes)
        self._row_of_image = np.concatenate([np.arange(size) for size in sizes])
        self.image_shape = self._shards[0].shape[1:]
        for path, shard in zip(paths, self._shards, strict=True):
            if shard.shape[1:] != self.image_shape:
                raise ValueError(
                    f"{path} holds images of {shard.shape[1:]}, the first shard of {self.image_shape}: {_restore(path)}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, indices: ArrayLike) -> np.ndarray:
        indices = np.atleast_1d(indices)
        batch = np.empty((len(indices), *self.image_shape), np.uint8)
        for position, (shard, row) in enumerate(
            zip(self._shard_of_image[indices].tolist(), self._row_of_image[indices].tolist(), strict=True)
        ):
            batch[position] = self._shards[shard][row]
        return batch

    def batches(self, size: int = BATCH) -> Iterator[np.ndarray]:
        """All images in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[np.arange(start, min(start + size, len(self)))]

    def digest(self) -> str:
        """The md5 of what distinguishes these images: ids, labels, shape, texts, and a few pixels, which depend on how
        they were preprocessed."""
        text = "\n".join([*self.ids, *self.labels, str(self.image_shape), *([] if self.texts is None else self.texts)])
        digest = hashlib.md5(text.encode(), usedforsecurity=False)
        for shard in self._shards:
            digest.update(shard[0].tobytes())
        return digest.hexdigest()

    def class_numbers(self, class_names: list[str]) -> np.ndarray:
        """The labels as class numbers, int32 of shape (n,).

        Raises:
            ValueError: where a label is none of the classes.
        """
        numbers = pd.Index(class_names).get_indexer(self.labels).astype(np.int32)
        if (numbers < 0).any():
            raise ValueError(
                f"{self._folder}/{ROWS} has the label {self.labels[numbers.argmin()]!r}, which is none of the "
                f"{len(class_names)} classes: run `dvc repro`"
            )
        return numbers


def _open(path: Path) -> np.ndarray:
    """A shard by mmap: nothing else is taken for one, least of all what would run code when it is read."""
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())[:100]}): {_restore(path)}") from error
    if not isinstance(shard, np.ndarray) or shard.dtype != np.uint8 or shard.ndim != 4:
        received = f"{shard.dtype} of shape {shard.shape}" if isinstance(shard, np.ndarray) else "an archive"
        raise ValueError(
            f"{path} is no shard: expected uint8 of shape (n, height, width, channels), got {received}: "
            f"{_restore(path)}"
        )
    return shard


def _restore(path: Path) -> str:
    return f"run `dvc checkout --force {path.parent}` or `dvc repro`"
