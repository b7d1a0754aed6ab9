"""Images at rest: a few uint8 .npy files that open by mmap, and the manifest of their rows."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from heldout import images, manifest
from heldout.atomic import replacing_folder

SHARD_BYTES = 64 * 2**20  # one is being written at a time; a million 224 px images make 2,300
ROWS = "images.csv"


def write(rows: pd.DataFrame, folder: str | Path, **preprocess) -> None:
    """Decode and resize the images of a manifest into shards, in the order of their identities.

    The order does not depend on names, so that renaming a file changes no byte of the shards.

    Args:
        rows: the manifest, with the columns id, path and label.
        folder: is replaced as a whole; holds images-NNNNN.npy, uint8 arrays (n, height, width, 3), and images.csv.
        preprocess: the keyword arguments of `images.resize`.
    """
    rows = rows.sort_values("id", ignore_index=True)
    height, width = preprocess["image_size"]
    size = max(1, SHARD_BYTES // (height * width * 3))
    pixels_of = partial(_pixels, preprocess=preprocess)
    cv2.setNumThreads(1)  # the pool's threads are enough
    with (
        replacing_folder(folder) as temporary,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(rows), desc=f"preprocess {Path(folder).name}", unit=" images", delay=2, mininterval=1) as bar,
    ):
        manifest.write(rows[["id", "label"]], temporary / ROWS)
        for number, start in enumerate(range(0, len(rows), size)):
            part = rows[start : start + size]
            shard = np.empty((len(part), height, width, 3), np.uint8)
            results = pool.map(pixels_of, part["path"], part["id"])
            for position, pixels in enumerate(results):
                shard[position] = pixels
                bar.update()
            np.save(temporary / f"images-{number:05}.npy", shard)


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


def _pixels(path: str, identity: str, preprocess: dict) -> np.ndarray:
    return images.resize(images.decode(images.read(path, identity), path), **preprocess)
