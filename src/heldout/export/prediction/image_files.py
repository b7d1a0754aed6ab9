"""The images that names from a command line stand for: files, folders, patterns, and names on standard input."""

import glob
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from heldout.data.decoding import formats
from heldout.data.listing import files as listing

STDIN = "-"
REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class ImageFile(NamedTuple):
    """A path as a person may open it, and, in one line, why it is not read; '' where it is."""

    path: str
    error: str = ""


def find(name: str) -> list[ImageFile]:
    """A file; the images of a folder, at any depth, by path; or those that a pattern matches that is no file itself.

    What `index` passes over in a folder is passed over here: hidden files, symlinks to folders, and files that are no
    images. `**` in a pattern stands for folders at any depth.
    """
    try:
        if glob.has_magic(name) and not REMOTE.match(name) and not Path(name).exists():
            return _matching(name)
    except OSError:  # such as a name that is too long; `literal` says so
        pass
    return literal(name)


def literal(name: str) -> list[ImageFile]:
    """As `find`, of a name in which `*`, `?` and `[` stand for themselves."""
    try:
        return _literal(name)
    except OSError as error:
        return [ImageFile(name, f"{name} cannot be read ({error.strerror})")]


def read_names(null: bool = False) -> list[str]:
    """The names on standard input, to its end, one a line, or, with `null`, as `find -print0` writes them.

    They may be any bytes, as file names are; an empty line is none.

    Raises:
        ValueError: where there is no standard input.
    """
    if sys.stdin is None:
        raise ValueError("standard input is closed: expected names of images on it")
    content = sys.stdin.buffer.read()
    names = content.split(b"\0") if null else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]


def read(path: str) -> bytes:
    """The bytes of an image file; of another one, which may be as large as a disk, the first alone.

    Raises:
        ValueError: where it cannot be read; one line.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(formats.HEAD)
            return head + file.read() if formats.image_format(head) else head
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error


def _literal(name: str) -> list[ImageFile]:
    path = Path(name)
    if not name:
        return [ImageFile(name, "an empty name: expected a file or folder")]
    if path.is_dir():
        images = sorted(file for file in listing.walk(path)[0] if listing.is_image(file))
        return [ImageFile(image) for image in images] or [ImageFile(name, f"{name} holds no images")]
    if path.is_file():
        return [ImageFile(name)]
    if REMOTE.match(name):
        return [ImageFile(name, f"{name} is not on this machine: fetch it first (`dvc get-url`, `dvc pull`)")]
    if path.exists():
        return [ImageFile(name, f"{name} is a pipe, socket or device, not a file")]
    broken = "a broken symlink" if path.is_symlink() else "no such file or folder"
    return [ImageFile(name, f"{name}: {broken}")]


def _matching(pattern: str) -> list[ImageFile]:
    parts = Path(pattern).parts
    start = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base, rest = Path(*parts[:start]), list(parts[start:])
    while rest and rest[-1] == "**":  # a folder with all below it
        rest.pop()
    try:
        matches = sorted(base.glob("/".join(rest))) if rest else [base]
    except ValueError as error:
        return [ImageFile(pattern, f"{pattern} is no pattern ({error})")]
    visible = [path for path in matches if not any(map(listing.is_hidden, path.relative_to(base).parts))]
    paths = dict.fromkeys(image for path in visible for image in _images(path))  # a folder, and a file in it: once
    return [ImageFile(path) for path in paths] or [ImageFile(pattern, f"{pattern} matches no images")]


def _images(path: Path) -> Iterator[str]:
    if path.is_dir():
        if not path.is_symlink():  # which may lead back up
            yield from (item.path for item in literal(str(path)) if not item.error)
    elif listing.is_image(str(path)):
        yield str(path)
