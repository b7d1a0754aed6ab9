"""The files of an image folder: which are images, which are hidden, and which are something else."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from heldout.data.decoding import formats

# What is called an image; some of them cannot be read, and are told to be converted.
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif"),
    *(".avif", ".jxl", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".exr", ".psd", ".dcm", ".dng", ".cr2", ".nef", ".arw"),
}
# And every name that starts with a dot: what file managers and archives leave behind.
HIDDEN = ("Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")


class ImageFile(NamedTuple):
    """An image file: its path (from the repository's root), class, split, group and text, each '' for none; without a
    class it is for pretraining alone."""

    path: str
    label: str
    split: str = ""
    group: str = ""
    text: str = ""


class Problem(NamedTuple):
    """A file that is not in the index, or should be looked at: what kind it is, why, and what to do.

    Kinds: `unusable`, `stray` (in a folder of copies), `conflict` (one image, two classes), `copy` (identical bytes),
    `hidden`, `unlisted` (an image that the CSV does not name), `other` (no image by name or content).
    """

    path: str
    kind: str
    reason: str
    remedy: str


class Listing(NamedTuple):
    """What a folder of images holds.

    files: those to read, sorted by path. problems: the others. layout: which it is. columns: the names of the CSV's
    columns that are none of ImageFile's. extra: their values by path. notes: lines for a person to read.
    """

    files: list[ImageFile]
    problems: list[Problem]
    layout: str
    columns: list[str]
    extra: dict[str, tuple[str, ...]]
    notes: list[str]


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and not is_hidden(child.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over by its name."""
    return name.startswith(".") or name in HIDDEN


def walk(folder: Path, deep: bool = True, without: str = "") -> tuple[list[str], list[Problem]]:
    """All visible files below a folder; and what is skipped: hidden files and folders, and symlinks to folders. The
    folder `without` is passed over."""
    paths: list[str] = []
    problems: list[Problem] = []
    for current, children, names in os.walk(folder):
        parent = Path(current).as_posix()
        for name in (name for name in children + names if is_hidden(name)):
            problems.append(Problem(f"{parent}/{name}", "hidden", "is hidden", "nothing"))
        visible = sorted(name for name in children if not is_hidden(name) and f"{parent}/{name}" != without)
        links = [name for name in visible if Path(parent, name).is_symlink()]
        problems += [
            Problem(f"{parent}/{name}", "unusable", "is a symlink to a folder", "copy its images here")
            for name in links
        ]
        children[:] = [name for name in visible if name not in links] if deep else []
        paths += [f"{parent}/{name}" for name in names if not is_hidden(name)]
    return paths, problems


def is_image(path: str) -> bool:
    """Whether a file is called an image or begins like one; one that cannot be opened counts, and reading says why."""
    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False  # opening a pipe would wait for ever
        with Path(path).open("rb") as file:
            return formats.image_format(file.read(formats.HEAD)) is not None
    except OSError:
        return True


def other(path: str) -> Problem:
    """The entry of a file that is no image: it is counted and listed, no more."""
    return Problem(path, "other", "is neither called an image nor one by its content", "nothing")
