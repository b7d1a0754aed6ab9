"""What an image file is: read once, in threads, into a row of the index and a thumbnail, or into a problem."""

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from heldout.core import names
from heldout.data import images, perceptual_hash, raw_files
from heldout.data.decoding import formats, headers, problems
from heldout.data.listing.files import ImageFile, Problem

CHUNK = 64  # files that a thread reads before it hands them on


class ImageInfo(NamedTuple):
    """What an image file's header says: pixels as stored, bytes, the real format, EXIF orientation, channels, bits."""

    width: int
    height: int
    bytes: int
    format: str
    orientation: int
    channels: int
    bits: int


class IndexedImage(NamedTuple):
    """An image that can be used: md5, file, header, thumbnail (uint8) and what near-duplicates are told by."""

    id: str
    file: ImageFile
    info: ImageInfo
    thumbnail: np.ndarray
    signature: bytes = b""


def read(files: list[ImageFile], folder: str, max_megapixels: float) -> Iterator[IndexedImage | Problem]:
    """Each file of the image folder as an indexed image or as a problem, in the order of the files.

    Args:
        files: from `image_folder.list_images`.
        folder: the image folder; a symlink to a file outside it is a problem.
        max_megapixels: an image with more is a problem.
    """
    images.configure_opencv()
    read_chunk = partial(_read_chunk, root=Path(folder).resolve(), max_megapixels=max_megapixels)
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(total=len(files), desc="index", unit=" images", delay=2, mininterval=1)
        for start in range(0, len(chunks), CHUNK):
            for rows in pool.map(read_chunk, chunks[start : start + CHUNK]):
                yield from rows
                bar.update(len(rows))
        bar.close()


def _read_chunk(files: list[ImageFile], root: Path, max_megapixels: float) -> list[IndexedImage | Problem]:
    rows = [_read_file(file, root, max_megapixels) for file in files]
    signatures = iter(perceptual_hash.signatures([row.thumbnail for row in rows if isinstance(row, IndexedImage)]))
    return [
        row._replace(signature=next(signatures).tobytes()) if isinstance(row, IndexedImage) else row for row in rows
    ]


def _read_file(file: ImageFile, root: Path, max_megapixels: float) -> IndexedImage | Problem:
    if name_problem := names.problem(file.path):
        return Problem(names.printable(file.path), "unusable", name_problem, "rename it")
    if problem := _file_type_problem(file.path, root):
        return Problem(file.path, "unusable", *problem)
    try:
        content = raw_files.read_bytes(file.path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        return Problem(file.path, "unusable", reason, "give yourself read permission, or fetch it again")
    try:
        encoded = headers.read(content, max_megapixels)
        thumbnail = images.thumbnail(encoded, perceptual_hash.SIDE)
    except problems.UnreadableImage as error:
        return Problem(file.path, "unusable", *error.problem)
    identity = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return IndexedImage(identity, file, _info(encoded), thumbnail)


def _file_type_problem(path: str, root: Path) -> tuple[str, str] | None:
    """A symlink may point to a file inside the folder, or into the DVC cache, since DVC can be set to use symlinks."""
    try:
        mode = Path(path).lstat().st_mode
    except OSError:
        return None  # reading it will say why
    if stat.S_ISREG(mode):
        return None
    if not stat.S_ISLNK(mode):
        return "is a pipe, socket or device, not a file", "remove it"
    try:
        target = Path(path).resolve()
    except RuntimeError:  # Python 3.13 resolves it to a path that does not exist
        return "is a symlink that leads to itself", "replace it with the image"
    if not target.exists():
        return "is a broken symlink", "replace it with the image"
    if not target.is_file():
        return "is a symlink to something that is not a file", "replace it with the image"
    inside = target.is_relative_to(root) or target.parts[-4:-2] == ("files", "md5")
    return None if inside else ("is a symlink to a file outside the image folder", "replace it with the image")


def _info(encoded: headers.Encoded) -> ImageInfo:
    image_format, width, height, *rest = encoded.header
    return ImageInfo(width, height, len(encoded.content), formats.READ[image_format], *rest)
