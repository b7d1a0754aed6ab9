"""Preprocessing: the images that a manifest names, decoded and resized by all cores, in order and in bounded memory."""

import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from heldout.core.array_cache import checksum
from heldout.core.atomic import replacing_folder
from heldout.data import images, manifest, raw_files, shards
from heldout.data.decode_cache import DecodeCache

CHUNK_BYTES = 8 * 2**20  # of images that a thread decodes and writes at once
CHUNK = 128  # images, at most
AHEAD = 2  # chunks a thread that may wait to be taken


class Chunk(NamedTuple):
    """Rows of one shard, which a thread decodes one after another."""

    shard: shards.Shard
    start: int
    images: list[tuple[str, str, int]]  # id, path and cache entry


class WrittenChunk(NamedTuple):
    """A chunk that a thread has written: each row's checksum, and whether it was decoded now."""

    chunk: Chunk
    checksums: list[int]
    decoded_now: list[bool]


def write_shards(
    rows: pd.DataFrame,
    folder: str,
    cache: DecodeCache,
    threads: int | None = None,
    texts: bool = False,
    **preprocess: Any,
) -> None:
    """Write the images of the manifest's rows (id, path, label, perhaps text; sorted by id) into shards.

    Args:
        rows: the manifest.
        folder: of the shards; an existing one is replaced.
        cache: gives the images that were decoded before, and gets those that are decoded now.
        threads: by default as many as there are cores.
        texts: whether the shards hold them.
        preprocess: the keyword arguments of `images.decode_and_resize`.

    Raises:
        ValueError: where an image is missing, has changed since the index, or cannot be decoded.
    """
    ids = rows["id"].to_numpy(str)
    checksums, decoded = np.zeros(len(rows), np.uint32), np.zeros(len(rows), bool)
    with replacing_folder(folder) as partial_folder:
        chunks = _chunks(rows, shards.create_shards(rows, cache.shape, partial_folder, texts), cache)
        for (shard, start, _), chunk_checksums, decoded_now in _written(chunks, len(rows), threads, cache, preprocess):
            stop = start + len(chunk_checksums)
            checksums[start:stop], decoded[start:stop] = chunk_checksums, decoded_now
            cache.num_reused += len(decoded_now) - sum(decoded_now)
            if stop == shard.stop and decoded[shard.start : stop].any():
                cache.add(shard.path, ids[shard.start : stop], checksums[shard.start : stop])


@contextmanager
def temporary_shards(rows: pd.DataFrame, settings: dict[str, Any]) -> Iterator[str]:
    """The folder of shards of a manifest's images while the block runs, '' where it has none.

    They are no output of the graph: the cache of decoded images makes the next time cheap.

    Args:
        rows: id, path and label.
        settings: the keyword arguments of `images.decode_and_resize`.
    """
    if rows.empty:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="heldout-shards-") as parent:
        folder = f"{parent}/shards"
        rows = manifest.in_order(rows)
        write_shards(rows, folder, DecodeCache(settings), **settings)
        yield folder


def _chunks(rows: pd.DataFrame, created: list[shards.Shard], cache: DecodeCache) -> Iterator[Chunk]:
    table = list(zip(rows["id"], rows["path"], cache.lookup(rows["id"].to_numpy(str)).tolist(), strict=True))
    size = _chunk_size(cache)
    for shard in created:
        for start in range(shard.start, shard.stop, size):
            yield Chunk(shard, start, table[start : min(start + size, shard.stop)])


def _written(
    chunks: Iterator[Chunk],
    num_images: int,
    threads: int | None,
    cache: DecodeCache,
    preprocess: dict[str, Any],
) -> Iterator[WrittenChunk]:
    """The chunks in order, written, by a few threads that work ahead."""
    images.configure_opencv()
    threads = threads or os.cpu_count() or 1
    write_chunk = partial(_write_chunk, cache=cache, preprocess=preprocess)
    bar = tqdm(total=num_images, desc="preprocess", unit=" images", delay=2, mininterval=1)
    with ThreadPoolExecutor(threads) as pool:
        try:
            pending = deque(pool.submit(write_chunk, chunk) for chunk in islice(chunks, threads * AHEAD))
            while pending:
                written = pending.popleft().result()
                pending.extend(pool.submit(write_chunk, chunk) for chunk in islice(chunks, 1))
                yield written
                bar.update(len(written.checksums))
        finally:
            pool.shutdown(cancel_futures=True)
            bar.close()


def _write_chunk(chunk: Chunk, cache: DecodeCache, preprocess: dict[str, Any]) -> WrittenChunk:
    """Decode images one after another and write them at once, which costs the kernel half of what many writes do."""
    written = WrittenChunk(chunk, [], [])
    pixels = _buffer((_chunk_size(cache), *cache.shape))[: len(chunk.images)]
    for out, (identity, path, entry) in zip(pixels, chunk.images, strict=True):
        cached = cache.get(entry)
        written.decoded_now.append(cached is None)
        if cached is None:
            images.decode_and_resize(raw_files.read(path, identity), path, out=out, **preprocess)
        else:
            out[:] = cached
        written.checksums.append(checksum(out))  # at once, while it is in the processor's cache
    with chunk.shard.path.open("r+b") as file:
        file.seek(chunk.shard.header_bytes + (chunk.start - chunk.shard.start) * pixels[0].nbytes)
        file.write(pixels.data)
    return written


def _chunk_size(cache: DecodeCache) -> int:
    return max(1, min(CHUNK, CHUNK_BYTES // int(np.prod(cache.shape))))


def _buffer(shape: tuple[int, ...]) -> np.ndarray:
    """The thread's own memory for one chunk after another: allocating it anew would cost 3 % of all the time."""
    buffer = getattr(_thread, "buffer", None)
    if buffer is None or buffer.shape != shape:
        buffer = _thread.buffer = np.empty(shape, np.uint8)
    return buffer


_thread = threading.local()
