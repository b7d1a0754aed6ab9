"""Preprocessing: the images that a manifest names, decoded and resized by all cores, in order and in bounded memory."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from heldout import contents, decoded, images, shards
from heldout.atomic import replacing_folder

CHUNK_BYTES = 8 * 2**20  # of images that a thread prepares and writes at once
CHUNK = 128  # images, at most
AHEAD = 2  # chunks a thread that may wait to be taken


class Chunk(NamedTuple):
    """Rows of one shard, which a thread prepares one after another."""

    shard: shards.Shard
    start: int
    images: list[tuple[str, str, int]]  # id, path and cache entry


class Done(NamedTuple):
    """What a thread says of a chunk that it has written: each row's checksum, and whether it was decoded now."""

    chunk: Chunk
    checksums: list[int]
    decoded_now: list[bool]


def write(rows: pd.DataFrame, folder: str, cache: decoded.Decoded, threads: int | None = None, **preprocess) -> None:
    """Write the images of the manifest's rows (id, path, label; sorted by id) into shards.

    Args:
        rows: the manifest.
        folder: of the shards, replaced as a whole.
        cache: where an image decoded before is found, and one decoded now is kept.
        threads: as many as there are cores, unless it is said.
        preprocess: the keyword arguments of `images.prepare`.

    Raises:
        ValueError: where an image is missing, has changed since the index, or cannot be decoded.
    """
    ids = rows["id"].to_numpy(str)
    checksums, new = np.zeros(len(rows), np.uint32), np.zeros(len(rows), bool)
    with replacing_folder(folder) as unfinished:
        chunks = _chunks(rows, shards.lay_out(rows, cache.shape, unfinished), cache)
        for (shard, start, *_), sums, decoded_now in _done(chunks, len(rows), threads, cache, preprocess):
            stop = start + len(sums)
            checksums[start:stop], new[start:stop] = sums, decoded_now
            cache.reused += len(sums) - sum(decoded_now)
            if stop == shard.stop and new[shard.start : stop].any():
                cache.keep(shard.path, ids[shard.start : stop], checksums[shard.start : stop])


def _chunks(rows: pd.DataFrame, laid_out: list[shards.Shard], cache: decoded.Decoded) -> Iterator[Chunk]:
    table = list(zip(rows["id"], rows["path"], cache.find(rows["id"].to_numpy(str)).tolist(), strict=True))
    size = _chunk_size(cache)
    for shard in laid_out:
        for start in range(shard.start, shard.stop, size):
            yield Chunk(shard, start, table[start : min(start + size, shard.stop)])


def _done(
    chunks: Iterator[Chunk], images_in_all: int, threads: int | None, cache: decoded.Decoded, preprocess: dict
) -> Iterator[Done]:
    """The chunks in order, written, by a few threads that work ahead."""
    images.for_threads()
    threads = threads or os.cpu_count() or 1
    one = partial(_write_chunk, cache=cache, preprocess=preprocess)
    bar = tqdm(total=images_in_all, desc="preprocess", unit=" images", delay=2, mininterval=1)
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting = deque(pool.submit(one, chunk) for chunk in islice(chunks, threads * AHEAD))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(one, chunk) for chunk in islice(chunks, 1))
                yield done
                bar.update(len(done.checksums))
        finally:
            pool.shutdown(cancel_futures=True)
            bar.close()


def _write_chunk(chunk: Chunk, cache: decoded.Decoded, preprocess: dict) -> Done:
    """Prepare images one after another and write them in one piece, which costs the kernel half of what many do."""
    done = Done(chunk, [], [])
    pixels = _buffer((_chunk_size(cache), *cache.shape))[: len(chunk.images)]
    for out, (identity, path, entry) in zip(pixels, chunk.images, strict=True):
        found = cache.get(entry)
        done.decoded_now.append(found is None)
        if found is None:
            images.prepare(contents.read(path, identity), path, out=out, **preprocess)
        else:
            out[:] = found
        done.checksums.append(decoded.checksum(out))  # at once, while it is in the processor's cache
    with chunk.shard.path.open("r+b") as file:
        file.seek(chunk.shard.head + (chunk.start - chunk.shard.start) * pixels[0].nbytes)
        file.write(pixels.data)
    return done


def _chunk_size(cache: decoded.Decoded) -> int:
    return max(1, min(CHUNK, CHUNK_BYTES // int(np.prod(cache.shape))))


def _buffer(shape: tuple[int, ...]) -> np.ndarray:
    """Memory of the thread's own, for one chunk after another: fresh memory would cost 3 % of the whole."""
    kept = getattr(_thread, "buffer", None)
    if kept is None or kept.shape != shape:
        kept = _thread.buffer = np.empty(shape, np.uint8)
    return kept


_thread = threading.local()
