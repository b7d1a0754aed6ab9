"""Preprocessing: the images that a manifest names, decoded and resized by all cores, in order and in bounded memory."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from heldout import decoded, images, shards

CHUNK_BYTES = 4 * 2**20  # of images that a thread makes before it hands them on
CHUNK = 32  # images, at most
AHEAD = 2  # chunks a thread that may wait to be taken


def write(rows: pd.DataFrame, folder: str, cache: decoded.Decoded, threads: int | None = None, **preprocess) -> None:
    """Write the images of the manifest's rows (id, path, label; sorted by id) into shards.

    Args:
        rows: the manifest.
        folder: of the shards.
        cache: where an image decoded before is found, and one decoded now is kept.
        threads: as many as there are cores, unless it is said.
        preprocess: the keyword arguments of `images.prepare`.

    Raises:
        ValueError: where an image is missing, has changed since the index, or cannot be decoded.
    """
    ids = rows["id"].to_numpy(str)
    checksums, new = np.zeros(len(rows), np.uint32), np.zeros(len(rows), bool)

    def blocks() -> Iterator[np.ndarray]:
        for start, pixels, sums, decoded_now in _blocks(rows, cache, threads or os.cpu_count() or 1, preprocess):
            checksums[start : start + len(sums)], new[start : start + len(sums)] = sums, decoded_now
            cache.reused += len(sums) - sum(decoded_now)
            yield pixels

    def keep(shard: Path, start: int, stop: int) -> None:
        if new[start:stop].any():
            cache.keep(shard, ids[start:stop], checksums[start:stop])

    shards.write(rows, blocks(), cache.shape, folder, keep)


def _blocks(rows: pd.DataFrame, cache: decoded.Decoded, threads: int, preprocess: dict) -> Iterator[tuple]:
    """The rows in order, chunk by chunk, from a few threads that work ahead."""
    images.for_threads()
    one = partial(_chunk, cache=cache, preprocess=preprocess)
    bar = tqdm(total=len(rows), desc="preprocess", unit=" images", delay=2, mininterval=1)
    chunks = _chunks(rows, cache)
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting = deque(pool.submit(one, *chunk) for chunk in islice(chunks, threads * AHEAD))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(one, *chunk) for chunk in islice(chunks, 1))
                yield done
                bar.update(len(done[1]))
        finally:
            pool.shutdown(cancel_futures=True)
            bar.close()


def _chunks(rows: pd.DataFrame, cache: decoded.Decoded) -> Iterator[tuple[int, list[tuple[str, str, int]]]]:
    """Where a chunk starts, and the id, path and cache entry of each of its images; none crosses a shard's end."""
    size = max(1, min(CHUNK, CHUNK_BYTES // int(np.prod(cache.shape))))
    table = list(zip(rows["id"], rows["path"], cache.find(rows["id"].to_numpy(str)).tolist(), strict=True))
    for start, stop in shards.parts(rows["id"], cache.shape):
        for first in range(start, stop, size):
            yield first, table[first : min(first + size, stop)]


def _chunk(start: int, chunk: list[tuple[str, str, int]], cache: decoded.Decoded, preprocess: dict) -> tuple:
    """The start, the pixels (n, height, width, 3), their checksums, and which were decoded now."""
    pixels = np.empty((len(chunk), *cache.shape), np.uint8)
    checksums, decoded_now = [], []
    for row, (identity, path, entry) in enumerate(chunk):
        found = cache.get(entry)
        decoded_now.append(found is None)
        if found is None:
            images.prepare(images.read(path, identity), path, out=pixels[row], **preprocess)
        else:
            pixels[row] = found
        checksums.append(decoded.checksum(pixels[row]))  # at once, while it is in the processor's cache
    return start, pixels, checksums, decoded_now
