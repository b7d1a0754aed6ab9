"""The index: one row an image with its identity, the md5 of its bytes."""

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pandas as pd
from PIL import Image, UnidentifiedImageError
from pydantic import Field
from tqdm import tqdm

from heldout import folders, images
from heldout.folders import Found, Layout

HELD_OUT = ["", "train", "val", "test"]  # from the least to the most held out


class Problem(NamedTuple):
    """A file that cannot be used: why, and what to do."""

    path: str
    reason: str
    remedy: str


def scan(
    *, dir: str, layout: Layout, on_problem: Literal["error", "skip"], max_megapixels: Annotated[float, Field(gt=0)]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every image of the folder once.

    Args:
        dir: the folder of images, relative to the repository.
        layout: `classes` (dir/CLASS/...), `splits` (dir/train|val|test/CLASS/...), or `auto`, which looks.
        on_problem: whether a file that cannot be used ends the scan or is left out and listed.
        max_megapixels: a larger image is a problem, seen in its header before anything is decoded.

    Returns:
        The index, sorted by path, with the columns id (md5), path, label, split (as given, or ''), width and height
        (pixels, as stored), bytes and format; and the problems: path, reason, remedy.

    Raises:
        ValueError: where the folder's layout is in doubt, or `on_problem` is `error` and there is one.
    """
    files, links = folders.find(dir, layout)
    problems = [Problem(path, "is a link to a folder", "copy the images into the class folder") for path in links]
    rows: list[tuple] = []
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:
        reading = pool.map(partial(_row, max_megapixels=max_megapixels), files)
        for row in tqdm(reading, "index", len(files), unit=" images", delay=2, mininterval=1):
            (problems if isinstance(row, Problem) else rows).append(row)
    if problems and on_problem == "error":
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        first = problems[0]
        raise ValueError(f"{_printable(first.path)} {first.reason}: {first.remedy}{more}; or set data.on_problem: skip")
    table = pd.DataFrame(rows, columns=["id", *Found._fields, "width", "height", "bytes", "format"])
    table, repeats = _without_repeats(table)
    if table["label"].nunique() < 2:
        raise ValueError(
            f"{dir} is left with {len(table)} images in {table['label'].nunique()} classes after {len(problems)} "
            f"files were left out (the first: {_printable(problems[0].path)} {problems[0].reason}): expected two"
        )
    listed = [problem._replace(path=_printable(problem.path)) for problem in problems] + repeats
    return table, pd.DataFrame(sorted(listed), columns=Problem._fields)


def _row(file: Found, max_megapixels: float) -> tuple | Problem:
    if file.path != _printable(file.path):
        return Problem(file.path, "has a name that is not UTF-8", "rename it")
    if len(file.path.splitlines()) > 1:
        return Problem(file.path, "has a line break in its name", "rename it")
    if not Path(file.path).is_file():
        return Problem(file.path, "is a link that leads nowhere", "replace it by the image")
    content = Path(file.path).read_bytes()
    if not content:
        return Problem(file.path, "is empty (0 bytes)", "fetch it again or remove it")
    try:
        with Image.open(io.BytesIO(content)) as image:
            (width, height), kind = image.size, str(image.format)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return Problem(file.path, *images.UNREADABLE)
    if width * height > max_megapixels * 1e6:
        reason = f"has {width} x {height} pixels, more than data.max_megapixels ({max_megapixels:g})"
        return Problem(file.path, reason, "shrink it, or raise the limit")
    if fault := images.damage(content):
        return Problem(file.path, *fault)
    identity = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return (identity, *file, width, height, len(content), kind)


def _without_repeats(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Keep one row of identical images, in the most held-out split that any of them was given."""
    for _, group in table[table.duplicated("id", keep=False)].groupby("id"):
        if group["label"].nunique() > 1:
            first, second = group.drop_duplicates("label")["path"].iloc[:2]
            raise ValueError(f"{first} and {second} are the same image in two classes: remove the wrong one")
    rank = table["split"].map(HELD_OUT.index)
    kept = table.assign(rank=rank).sort_values(["rank", "path"], ascending=[False, True]).drop_duplicates("id")
    gone = table.drop(kept.index).merge(kept[["id", "path"]], on="id", suffixes=("", "_kept"))
    repeats = [
        Problem(path, f"has the same bytes as {first}", "nothing: it is counted once")
        for path, first in zip(gone["path"], gone["path_kept"], strict=True)
    ]
    return kept.drop(columns="rank").sort_values("path", ignore_index=True), repeats


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
