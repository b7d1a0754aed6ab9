"""An image file's bytes, from the work tree or from DVC's cache, and never others than the index saw."""

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path


def read(path: str, identity: str) -> bytes:
    """The bytes of an image that a manifest names, from its path or, where that is absent, from the DVC cache.

    DVC files an image under the md5 that is the manifest's identity, so that `dvc exp run --temp`, queues and partial
    checkouts, which lack the folder, find it all the same.

    Raises:
        ValueError: where the image is in neither place, or its bytes are not those that the index saw.
    """
    try:
        content = content_of(path)
    except FileNotFoundError:
        place = _dvc_cache() / identity[:2] / identity[2:]
        if not place.exists():
            raise ValueError(
                f"{path} is neither in the work tree nor in the DVC cache: run `dvc pull` or restore it"
            ) from None
        content = place.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != identity:
        raise ValueError(f"{path} is not the image that the index saw: run `dvc repro` to index it again")
    return content


def content_of(path: str) -> bytes:
    """The whole file, by one read of its size: in half the time of Path.read_bytes."""
    number = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(number).st_size
        content = os.read(number, size)
        while len(content) < size and (more := os.read(number, size - len(content))):
            content += more
        return content
    finally:
        os.close(number)


@cache
def _dvc_cache() -> Path:
    found = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "files" / "md5"
