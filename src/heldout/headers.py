"""What a file of the image folder is: read once, in threads, into a row of facts and a thumbnail, or into a problem."""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from heldout import contents, duplicates, images
from heldout.folders import Found, Problem

CHUNK = 64  # files that a thread reads before it hands them on
THUMBNAIL = (duplicates.SIDE, duplicates.SIDE, 3)
ORIENTATION = 0x0112  # the EXIF tag
BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}  # of a channel, by Pillow's mode; 8 for all others
PNG_START = b"\x89PNG\r\n\x1a\n"


class Header(NamedTuple):
    """What an image file says of itself: pixels as stored, bytes, the real format, EXIF orientation, channels, bits."""

    width: int
    height: int
    bytes: int
    format: str
    orientation: int
    channels: int
    bits: int


class Seen(NamedTuple):
    """A file that can be used: md5, where it was found, its header, its thumbnail (uint8) and perceptual hash."""

    id: str
    found: Found
    header: Header
    thumbnail: np.ndarray
    hash: int = 0


def read(files: list[Found], folder: str, max_megapixels: float) -> Iterator[Seen | Problem]:
    """Each file of the image folder as a row or as a problem, in the order of the files.

    Args:
        files: from `folders.find`.
        folder: the image folder, out of which no link may lead.
        max_megapixels: more is a problem.
    """
    images.for_threads()
    one = partial(_chunk, root=Path(folder).resolve(), max_megapixels=max_megapixels)
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(total=len(files), desc="index", unit=" images", delay=2, mininterval=1)
        for start in range(0, len(chunks), CHUNK):
            for rows in pool.map(one, chunks[start : start + CHUNK]):
                yield from rows
                bar.update(len(rows))
        bar.close()


def printable(path: str) -> str:
    """A path as text that can be written: bytes that are no UTF-8 become escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def _chunk(files: list[Found], root: Path, max_megapixels: float) -> list[Seen | Problem]:
    rows = [_row(file, root, max_megapixels) for file in files]
    hashes = iter(duplicates.hashes([row.thumbnail for row in rows if isinstance(row, Seen)]).tolist())
    return [row._replace(hash=next(hashes)) if isinstance(row, Seen) else row for row in rows]


def _row(file: Found, root: Path, max_megapixels: float) -> Seen | Problem:
    fault = _name_fault(file.path) or _link_fault(file.path, root)
    if fault:
        return Problem(printable(file.path), "unusable", *fault)
    try:
        content = contents.content_of(file.path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        return Problem(file.path, "unusable", reason, "give yourself the right to, or fetch it again")
    seen = _header(content)
    if seen is None:
        return Problem(file.path, "unusable", *images.unreadable(content))
    header, transparent = seen
    if header.width * header.height > max_megapixels * 1e6:
        reason = f"has {header.width} x {header.height} pixels, more than data.max_megapixels ({max_megapixels:g})"
        return Problem(file.path, "unusable", reason, "shrink it, or raise the limit")
    thumbnail = images.thumbnail(content, min(header.width, header.height), duplicates.SIDE, transparent)
    fault = images.damage(content, thumbnail)
    if thumbnail is None or fault:
        return Problem(file.path, "unusable", *(fault or images.unreadable(content)))
    identity = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Seen(identity, file, header, thumbnail)


def _name_fault(path: str) -> tuple[str, str] | None:
    if path != printable(path):
        return "has a name that is not UTF-8", "rename it"
    return ("has a line break in its name", "rename it") if len(path.splitlines()) > 1 else None


def _link_fault(path: str, root: Path) -> tuple[str, str] | None:
    """A link may lead to a file inside the folder, or into the DVC cache, which links files when it is told to."""
    try:
        mode = Path(path).lstat().st_mode
    except OSError:
        return None  # reading it will say why
    if stat.S_ISREG(mode):
        return None
    if not stat.S_ISLNK(mode):
        return "is no file but a pipe, socket or device", "remove it"
    target = Path(path).resolve()
    if not target.exists():
        return "is a link that leads nowhere", "replace it by the image"
    if not target.is_file():
        return "is a link to something else than a file", "replace it by the image"
    inside = target.is_relative_to(root) or target.parts[-4:-2] == ("files", "md5")
    return None if inside else ("is a link that leads out of the image folder", "replace it by the image")


def _header(content: bytes) -> tuple[Header, bool] | None:
    """The header, and whether there may be transparency."""
    if frame := images.jpeg_frame(content):
        bits, height, width, channels = frame
        return Header(width, height, len(content), "JPEG", 1, channels, bits), False
    png = content.startswith(PNG_START)
    try:
        with Image.open(io.BytesIO(content)) as image:
            # Pillow decodes a PNG to look for EXIF at its end.
            orientation = 1 if png and b"eXIf" not in content else image.getexif().get(ORIENTATION, 1)
            channels, bits = len(image.getbands()), BITS.get(image.mode, 8)
            width, height = image.size
            kind = "JPEG" if image.format == "MPO" else str(image.format)  # a phone's JPEG with a preview at its end
            transparent = images.is_transparent(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
    if png:
        bits = content[24]  # Pillow opens 16-bit colour as 8
    return Header(width, height, len(content), kind, orientation, channels, bits), transparent
