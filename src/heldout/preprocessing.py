"""Preprocessing: the images that a manifest names, decoded and resized by all cores, in order and in bounded memory."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from heldout import images
from heldout.decoded import Decoded

CHUNK = 16  # images that a thread makes before it hands them on
AHEAD = 8  # chunks a thread that may wait to be taken


def pixels(rows: pd.DataFrame, cache: Decoded, threads: int | None = None, **preprocess) -> Iterator[np.ndarray]:
    """The images of the manifest's rows (id, path), each a uint8 array (height, width, 3), in their order.

    Args:
        rows: the manifest.
        cache: where an image decoded before is found, and one decoded now is kept.
        threads: as many as there are cores, unless it is said.
        preprocess: the keyword arguments of `images.prepare`.

    Raises:
        ValueError: where an image is missing, has changed since the index, or cannot be decoded.
    """
    cv2.setNumThreads(1)  # the pool's threads are enough
    threads = threads or os.cpu_count() or 1
    chunks = _chunks(rows, cache.find(rows["id"].to_numpy(str)))
    one = partial(_chunk, cache=cache, preprocess=preprocess)
    bar = tqdm(total=len(rows), desc="preprocess", unit=" images", delay=2, mininterval=1)
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting = deque(pool.submit(one, chunk) for chunk in islice(chunks, threads * AHEAD))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(one, chunk) for chunk in islice(chunks, 1))
                for identity, image, reused in done:
                    if reused:
                        cache.reused += 1
                    else:
                        cache.put(identity, image)
                    yield image
                bar.update(len(done))
        finally:
            pool.shutdown(cancel_futures=True)
            bar.close()


def _chunks(rows: pd.DataFrame, entries: np.ndarray) -> Iterator[list[tuple[str, str, int]]]:
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        yield list(zip(part["id"], part["path"], entries[start : start + CHUNK].tolist(), strict=True))


def _chunk(chunk: list[tuple[str, str, int]], cache: Decoded, preprocess: dict) -> list[tuple[str, np.ndarray, bool]]:
    """Each image's identity and pixels, and whether they come from the cache."""
    done = []
    for identity, path, entry in chunk:
        image = cache.get(entry)
        reused = image is not None
        if image is None:
            image = images.prepare(images.read(path, identity), path, **preprocess)
        done.append((identity, image, reused))
    return done
