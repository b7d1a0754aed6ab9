"""Which image belongs to which class, split and group: told by the folders that it lies in, or by a CSV beside them."""

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from heldout.core import names
from heldout.data.listing import csv_layout, files, groups, labels_csv

Layout = Literal["auto", "classes", "splits", "csv"]
EXPECTED = (
    "expected one folder a class (cat/, dog/), or train/, val/ and test/ with one folder a class inside, "
    "or a CSV with the columns path and label beside the images"
)


def list_images(
    folder: str, layout: Layout = "auto", class_depth: int = 1, group_pattern: str = "", unlabelled: str = ""
) -> files.Listing:
    """List the image folder; nothing is opened but CSV files, and what is not called an image.

    Args:
        folder: the image folder.
        layout: `classes`, `splits`, `csv`, or `auto`, which looks.
        class_depth: the level of folders below `folder`, or below its train/, val/ and test/, that names the class.
        group_pattern: a regular expression that is searched in each path below `folder`; what its parentheses catch
            names the image's group. Empty: no groups, or those of the CSV.
        unlabelled: a folder inside `folder` whose images need no class; empty: there is none.

    Raises:
        ValueError: where the folder is missing or empty, its layout is in doubt, or names are.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"data.dir is {folder}: no such folder; set data.dir in params.yaml to a folder of images")
    aside = _unlabelled_folder(root, unlabelled) if unlabelled else ""
    table, notes = labels_csv.find(root, layout == "csv") if layout in ("auto", "csv") else (None, [])
    listing = csv_layout.list_images(root, table, aside) if table else _from_folders(root, layout, class_depth, aside)
    image_files = groups.by_pattern(listing.files, root, group_pattern) if group_pattern else listing.files
    if not image_files:
        others = [problem.path for problem in listing.problems if problem.kind == "other"]
        only = f", only {len(others)} other files (the first: {names.printable(min(others))})" if others else ""
        raise ValueError(f"{folder} holds no images{only}: {EXPECTED}")
    labels = sorted({file.label for file in image_files if file.label})
    if len(labels) < 2:
        deeper = "" if table else "; where the classes lie deeper, set data.class_depth"
        raise ValueError(f"{folder} holds one class ({labels[0]}): expected two or more; {EXPECTED}{deeper}")
    _check_twins("classes", labels)
    _check_twins("groups", {file.group for file in image_files}, case=False)  # an identifier may count on its case
    return listing._replace(files=sorted(image_files), problems=sorted(listing.problems), notes=notes + listing.notes)


def _unlabelled_folder(root: Path, unlabelled: str) -> str:
    folder = Path(os.path.normpath(root / unlabelled))
    if not folder.is_dir() or not folder.is_relative_to(root) or folder == root:
        raise ValueError(f"data.unlabelled is {unlabelled}: expected a folder inside {root}, or nothing")
    return folder.as_posix()


def _from_folders(root: Path, layout: Layout, class_depth: int, aside: str) -> files.Listing:
    splits = _has_splits(root, layout, aside)
    parts = _subfolders(root, aside) if splits else [root]
    image_files: list[files.ImageFile] = []
    problems: list[files.Problem] = []
    notes: list[str] = []
    for part in parts:
        split = labels_csv.SPLIT_NAMES[part.name.lower()] if splits else ""
        paths, skipped = files.walk(part, without=aside)
        image_paths = [path for path in paths if files.is_image(path)]
        others = sorted(set(paths) - set(image_paths))
        image_files += [files.ImageFile(path, _class_name(path, part, class_depth), split) for path in image_paths]
        problems += skipped + [files.other(path) for path in others]
        notes += _folders_without_images(part, image_paths, others, aside)
    if aside:
        paths, skipped = files.walk(Path(aside))
        image_files += [files.ImageFile(path, "") for path in paths if files.is_image(path)]
        problems += skipped + [files.other(path) for path in paths if not files.is_image(path)]
    if splits:
        paths, skipped = files.walk(root, deep=False)
        problems += skipped + [files.other(path) for path in paths]
    return files.Listing(image_files, problems, "given splits" if splits else "class folders", [], {}, notes)


def _subfolders(folder: Path, aside: str) -> list[Path]:
    return [child for child in files.subfolders(folder) if child.as_posix() != aside]


def _has_splits(root: Path, layout: Layout, aside: str) -> bool:
    """Whether the folders at the first level are splits, not classes."""
    folders = [child.name for child in _subfolders(root, aside)]
    split_names = [name for name in folders if name.lower() in labels_csv.SPLIT_NAMES]
    class_names = [name for name in folders if name not in split_names]
    if layout != "auto":
        if layout == "splits" and class_names:
            raise ValueError(f"data.layout is splits, but {root} also holds {', '.join(class_names)}: {EXPECTED}")
        return layout == "splits"
    if not split_names:
        return False
    if class_names:
        raise ValueError(
            f"{root} holds {', '.join(split_names)}, which look like splits, beside {', '.join(class_names[:5])}: "
            "move them apart, or set data.layout to classes or splits"
        )
    if "train" not in {labels_csv.SPLIT_NAMES[name.lower()] for name in split_names}:
        raise ValueError(f"{root} holds {', '.join(split_names)} but no train/: {EXPECTED}")
    return True


def _below(path: str, folder: Path) -> list[str]:
    """The parts of a path below a folder: by text, since a Path for each of a million files takes a minute."""
    return path[len(folder.as_posix()) + 1 :].split("/")


def _class_name(path: str, part: Path, depth: int) -> str:
    """The name of the folder that lies `depth` levels below `part`."""
    *folders, name = _below(path, part)
    if not folders:
        raise ValueError(f"{part} itself holds images (the first {name}): {EXPECTED}")
    if len(folders) < depth:
        raise ValueError(
            f"{path} lies {len(folders)} folders deep, but data.class_depth is {depth}: move it, or lower it"
        )
    return folders[depth - 1]


def _folders_without_images(part: Path, image_paths: list[str], others: list[str], aside: str) -> list[str]:
    """A line for each folder that holds other files alone; one that holds nothing is an error."""
    filled = {_below(path, part)[0] for path in image_paths}
    counts = Counter(_below(path, part)[0] for path in others)
    lines = []
    for child in _subfolders(part, aside):
        if child.name in filled or child.is_symlink():
            continue
        if not counts[child.name]:
            raise ValueError(f"class folder {child.as_posix()} is empty: add its images, or remove the folder")
        lines.append(f"{child.as_posix()} holds no images ({counts[child.name]} other files), so it is no class")
    return lines


def _check_twins(kind: str, values: Collection[str], case: bool = True) -> None:
    if twins := names.twins(values, case):
        first, second, difference = twins
        raise ValueError(
            f"the {kind} {first!r} and {second!r} differ only in {difference}: give both one name, or two that differ"
        )
