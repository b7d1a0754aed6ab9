"""Which image belongs to which class, split and group: told by the folders that it lies in, or by a CSV beside them."""

import os
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

Layout = Literal["auto", "classes", "splits", "csv"]
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif"}
HIDDEN = ("Thumbs.db", "desktop.ini")  # and every name that starts with a dot
EXPECTED = (
    "expected one folder a class (cat/, dog/), or train/, val/ and test/ with one folder a class inside, "
    "or a CSV with the columns path and label beside the images"
)


class ImageFile(NamedTuple):
    """An image file: its path (from the repository's root), class, and split, group and text, or '' for none."""

    path: str
    label: str
    split: str = ""
    group: str = ""
    text: str = ""


class Problem(NamedTuple):
    """A file that is not in the index, or should be looked at: what kind it is, why, and what to do.

    Kinds: `unusable`, `stray` (in a folder of copies), `conflict` (one image, two classes), `copy` (identical bytes),
    `hidden`, `unlisted` (an image that the CSV does not name).
    """

    path: str
    kind: str
    reason: str
    remedy: str


class Listing(NamedTuple):
    """What a folder of images holds: the files to read, sorted by path; the others; and which layout it is."""

    files: list[ImageFile]
    problems: list[Problem]
    layout: str


def list_images(folder: str, layout: Layout = "auto", class_depth: int = 1, group_pattern: str = "") -> Listing:
    """List the image folder; nothing is opened but the CSV, where there is one.

    Args:
        folder: the image folder.
        layout: `classes`, `splits`, `csv`, or `auto`, which looks.
        class_depth: the level of folders below `folder`, or below its train/, val/ and test/, that names the class.
        group_pattern: a regular expression that is searched in each path below `folder`; what its parentheses catch
            names the image's group. Empty: no groups, or those of the CSV.

    Raises:
        ValueError: where the folder is missing or empty, or its layout is in doubt.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"data.dir is {folder}: no such folder; set data.dir in params.yaml to a folder of images")
    table = _labels_csv(root) if layout in ("auto", "csv") else None
    if layout == "csv" and table is None:
        raise ValueError(f"data.layout is csv, but no CSV in {folder} has the columns path and label: add one")
    listing = _from_csv(root, table) if table is not None else _from_folders(root, layout, class_depth)
    files = _with_groups(listing.files, root, group_pattern)
    if not files:
        raise ValueError(f"{folder} holds no images: {EXPECTED}")
    labels = sorted({file.label for file in files})
    if len(labels) < 2:
        deeper = "" if table is not None else "; where the classes lie deeper, set data.class_depth"
        raise ValueError(f"{folder} holds one class ({labels[0]}): expected two or more; {EXPECTED}{deeper}")
    return Listing(sorted(files), sorted(listing.problems), listing.layout)


def _from_folders(root: Path, layout: Layout, class_depth: int) -> Listing:
    splits = _has_splits(root, layout)
    parts = [(child, SPLIT_NAMES[child.name.lower()]) for child in _folders(root)] if splits else [(root, "")]
    files: list[ImageFile] = []
    problems: list[Problem] = []
    for part, split in parts:
        paths, skipped = _walk(part)
        problems += skipped
        files += [
            ImageFile(path, _class_name(path, part, class_depth), split) for path in paths if _is_considered(path, part)
        ]
        _check_no_empty_class(part, files)
    if splits:
        problems += _walk(root, deep=False)[1]
    return Listing(files, problems, "given splits" if splits else "class folders")


def _has_splits(root: Path, layout: Layout) -> bool:
    """Whether the folders at the first level are splits, not classes."""
    names = [child.name for child in _folders(root)]
    split_names = [name for name in names if name.lower() in SPLIT_NAMES]
    class_names = [name for name in names if name not in split_names]
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
    if "train" not in {SPLIT_NAMES[name.lower()] for name in split_names}:
        raise ValueError(f"{root} holds {', '.join(split_names)} but no train/: {EXPECTED}")
    return True


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not _is_hidden(child.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in HIDDEN


def _walk(folder: Path, deep: bool = True) -> tuple[list[str], list[Problem]]:
    """All visible files below a folder; and what is skipped: hidden files and folders, and symlinks to folders."""
    paths: list[str] = []
    problems: list[Problem] = []
    for current, children, names in os.walk(folder):
        parent = Path(current).as_posix()
        for name in (name for name in children + names if _is_hidden(name)):
            problems.append(Problem(f"{parent}/{name}", "hidden", "is hidden", "nothing"))
        visible = sorted(name for name in children if not _is_hidden(name))
        links = [name for name in visible if Path(parent, name).is_symlink()]
        problems += [
            Problem(f"{parent}/{name}", "unusable", "is a symlink to a folder", "copy its images here")
            for name in links
        ]
        children[:] = [name for name in visible if name not in links] if deep else []
        paths += [f"{parent}/{name}" for name in names if not _is_hidden(name)]
    return paths, problems


def _below(path: str, folder: Path) -> list[str]:
    """The parts of a path below a folder: by text, since a Path for each of a million files takes a minute."""
    return path[len(folder.as_posix()) + 1 :].split("/")


def _is_considered(path: str, part: Path) -> bool:
    """Whether a file is taken for an image: a README beside the class folders is not; an image there is, an error."""
    return len(_below(path, part)) > 1 or Path(path).suffix.lower() in IMAGE_SUFFIXES


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


def _check_no_empty_class(part: Path, files: list[ImageFile]) -> None:
    start = f"{part.as_posix()}/"
    filled = {_below(file.path, part)[0] for file in files if file.path.startswith(start)}
    empty = [child for child in _folders(part) if child.name not in filled and not child.is_symlink()]
    if empty:
        raise ValueError(f"class folder {empty[0].as_posix()} is empty: add its images, or remove the folder")


def _labels_csv(root: Path) -> tuple[Path, pd.DataFrame] | None:
    """The CSV that labels the images, if there is one, and its rows."""
    tables = []
    for path in sorted(root.glob("*.csv")):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as CSV in UTF-8: {' '.join(str(error).split())}") from error
        if {"path", "label"} <= set(table.columns):
            tables.append((path, table))
    if len(tables) > 1:
        names = ", ".join(path.name for path, _ in tables)
        raise ValueError(f"{root} holds {len(tables)} CSV files with the columns path and label ({names}): keep one")
    return tables[0] if tables else None


def _from_csv(root: Path, labels: tuple[Path, pd.DataFrame]) -> Listing:
    """The images that the CSV names, and those that lie there without being named."""
    csv, table = labels
    table = table.reindex(columns=list(ImageFile._fields), fill_value="")
    for line, row in enumerate(table.itertuples(index=False), start=2):
        _check_row(csv, line, row)
    repeated = table[table["path"].duplicated()]
    if len(repeated):
        raise ValueError(
            f"{csv} line {repeated.index[0] + 2} names {repeated['path'].iloc[0]} again: keep one of the rows"
        )
    table["split"] = [SPLIT_NAMES[name.lower()] if name else "" for name in table["split"]]
    table["path"] = [(root / path).as_posix() for path in table["path"]]
    paths, problems = _walk(root)
    existing = set(paths)
    missing = {row.path for row in table.itertuples() if row.path not in existing and not Path(row.path).is_file()}
    problems += [
        Problem(path, "unusable", f"is named in {csv.name} but does not exist", "fetch it, or remove its row")
        for path in missing
    ]
    named = set(table["path"])
    problems += [
        Problem(path, "unlisted", f"is not named in {csv.name}", "nothing, or add a row")
        for path in paths
        if path not in named and Path(path).suffix.lower() in IMAGE_SUFFIXES
    ]
    files = [ImageFile(*row) for row in table.itertuples(index=False, name=None) if row[0] not in missing]
    return Listing(files, problems, csv.name)


def _check_row(csv: Path, line: int, row: Any) -> None:
    if not row.path or not row.label:
        raise ValueError(f"{csv} line {line} has no {'label' if row.path else 'path'}: give one, or remove the row")
    if Path(row.path).is_absolute() or ".." in Path(row.path).parts:
        raise ValueError(f"{csv} line {line}: {row.path} is outside {csv.parent}: expected a path below it")
    if row.split and row.split.lower() not in SPLIT_NAMES:
        raise ValueError(f"{csv} line {line}: split is {row.split!r}: expected train, val, test or nothing")


def _with_groups(files: list[ImageFile], root: Path, pattern: str) -> list[ImageFile]:
    if not pattern:
        return files
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"data.group_pattern {pattern!r} is not a regular expression: {error}") from error
    if not regex.groups:
        raise ValueError(f"data.group_pattern {pattern!r} has no parentheses: put them around what names the group")
    if any(file.group for file in files):
        raise ValueError("both the CSV and data.group_pattern give groups: remove one of them")
    result = []
    for file in files:
        match = regex.search(Path(file.path).relative_to(root).as_posix())
        result.append(file._replace(group="-".join(filter(None, match.groups())) if match else ""))
    if not any(file.group for file in result):
        example = files[0].path
        raise ValueError(f"data.group_pattern {pattern!r} matches no path below {root}, such as {example}: correct it")
    return result
