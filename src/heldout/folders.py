"""Which image belongs to which class and split, told by the folders that it lies in."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

Layout = Literal["auto", "classes", "splits"]
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif"}
EXPECTED = "expected one folder a class (cat/, dog/), or train/, val/ and test/ with one folder a class inside"


class Found(NamedTuple):
    """A file: its path (from the repository's root), its class, and the split that its folder gives, or ''."""

    path: str
    label: str
    split: str


def find(folder: str, layout: Layout = "auto") -> tuple[list[Found], list[str]]:
    """All files of the image folder, sorted by path, and the links to folders in it, which are not followed.

    Hidden files and folders, and files beside the class folders that are no images, are passed over.

    Raises:
        ValueError: where the folder is missing or empty, or its layout is in doubt.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"data.dir is {folder}: no such folder; set data.dir in params.yaml to a folder of images")
    splits = _splits(root, layout)
    parts = [(child, SPLIT_NAMES[child.name.lower()]) for child in _folders(root)] if splits else [(root, "")]
    files: list[Found] = []
    links: list[str] = []
    for part, split in parts:
        _refuse_loose_images(part)
        for class_folder in _folders(part):
            _collect(class_folder, split, files, links)
    if not files:
        raise ValueError(f"{folder} holds no images: {EXPECTED}")
    _refuse_few_classes(files, folder)
    return sorted(files), sorted(links)


def _splits(root: Path, layout: Layout) -> bool:
    """Whether the folders at the first level are splits, not classes."""
    names = [child.name for child in _folders(root)]
    given = [name for name in names if name.lower() in SPLIT_NAMES]
    if layout != "auto":
        wrong = sorted(set(names) - set(given))
        if layout == "splits" and wrong:
            raise ValueError(f"data.layout is splits, but {root} also holds {', '.join(wrong)}: {EXPECTED}")
        return layout == "splits"
    if not given:
        return False
    if len(given) < len(names):
        others = ", ".join(sorted(set(names) - set(given))[:5])
        raise ValueError(
            f"{root} holds {', '.join(given)}, which look like splits, beside {others}: "
            "move them apart, or say which it is by data.layout: classes or splits"
        )
    if "train" not in {SPLIT_NAMES[name.lower()] for name in given}:
        raise ValueError(f"{root} holds {', '.join(given)} but no train/: {EXPECTED}")
    return True


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _collect(class_folder: Path, split: str, files: list[Found], links: list[str]) -> None:
    """Add what a class folder and the folders inside it hold."""
    before = len(files)
    if class_folder.is_symlink():
        links.append(class_folder.as_posix())
        return
    for folder, children, names in os.walk(class_folder):
        children[:] = sorted(name for name in children if not name.startswith("."))
        links += [f"{Path(folder).as_posix()}/{name}" for name in children if (Path(folder) / name).is_symlink()]
        visible = [name for name in names if not name.startswith(".") and name not in ("Thumbs.db", "desktop.ini")]
        files += [Found(f"{Path(folder).as_posix()}/{name}", class_folder.name, split) for name in visible]
    if len(files) == before:
        raise ValueError(f"class folder {class_folder.as_posix()} is empty: add its images, or remove the folder")


def _refuse_loose_images(folder: Path) -> None:
    loose = sorted(child.name for child in folder.iterdir() if child.suffix.lower() in IMAGE_SUFFIXES)
    if loose:
        raise ValueError(f"{folder} itself holds images ({len(loose)}, the first {loose[0]}): {EXPECTED}")


def _refuse_few_classes(files: list[Found], folder: str) -> None:
    labels = sorted({file.label for file in files})
    if len(labels) < 2:
        raise ValueError(f"{folder} holds one class only ({labels[0]}): expected two or more; {EXPECTED}")
