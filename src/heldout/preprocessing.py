"""Preprocessing: the images that a manifest names, decoded and resized by all cores, in order and in bounded memory."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from heldout import images

AHEAD = 256  # images decoded before the one that is asked for, at most


def pixels(rows: pd.DataFrame, **preprocess) -> Iterator[np.ndarray]:
    """The images of the manifest's rows (id, path), each a uint8 array (height, width, 3), in their order.

    Args:
        rows: the manifest.
        preprocess: the keyword arguments of `images.resize`.

    Raises:
        ValueError: where an image is missing, has changed since the index, or cannot be decoded.
    """
    one = partial(_pixels, preprocess=preprocess)
    cv2.setNumThreads(1)  # the pool's threads are enough
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(total=len(rows), desc="preprocess", unit=" images", delay=2, mininterval=1)
        for start in range(0, len(rows), AHEAD):
            part = rows[start : start + AHEAD]
            for image in pool.map(one, part["path"], part["id"]):
                yield image
                bar.update()
        bar.close()


def _pixels(path: str, identity: str, preprocess: dict) -> np.ndarray:
    return images.resize(images.decode(images.read(path, identity), path), **preprocess)
