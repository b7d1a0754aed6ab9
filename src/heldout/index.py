"""The index: one row an image with its identity, the md5 of its bytes, and what it shares with others."""

import tempfile
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from heldout import duplicates, folders, headers, units
from heldout.folders import Found, Layout, Problem

COLUMNS = ["id", *Found._fields, *headers.Header._fields, "cluster"]


def scan(
    *,
    dir: str,
    layout: Layout,
    class_depth: Annotated[int, Field(ge=1, le=9)],
    group_pattern: str,
    on_problem: Literal["error", "skip"],
    on_conflict: Literal["error", "drop", "keep"],
    max_megapixels: Annotated[float, Field(gt=0)],
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Read every image of the folder once, and find which are the same.

    Args:
        dir: the folder of images, relative to the repository.
        layout: `classes` (dir/CLASS/...), `splits` (dir/train|val|test/CLASS/...), `csv`, or `auto`, which looks.
        class_depth: the level of folders that names the class.
        group_pattern: a regular expression whose parentheses catch an image's group in its path, or ''.
        on_problem: whether a file that cannot be used ends the scan or is left out and listed.
        on_conflict: whether one image (or near-duplicates) in two classes ends the scan, is left out with all its
            copies, or is kept; it is listed in the last two cases.
        max_megapixels: a larger image is a problem, seen in its header before anything is decoded.

    Returns:
        The index, sorted by path, with the columns id (md5), path, label, split, group and text (as given, or ''),
        width and height (pixels, as stored), bytes, format, orientation (EXIF, 1 to 8), channels, bits (of a channel)
        and cluster (the lowest id of an image and its duplicates, or '' where it has none); the problems: path, kind,
        reason, remedy; and the layout that was found.

    Raises:
        ValueError: where the layout is in doubt, or there is a problem or conflict that the params do not take.
    """
    listing = folders.find(dir, layout, class_depth, group_pattern)
    with tempfile.TemporaryFile() as thumbnails:
        table, problems = _read(listing, dir, max_megapixels, thumbnails)
        _refuse([problem for problem in problems if problem.kind == "unusable"], on_problem)
        table["cluster"] = _clusters(table, thumbnails)
    table, strays = _without_strays(table)
    _refuse(strays, on_problem)
    table, copies = _without_copies(table)
    table, conflicts = _conflicts(table, on_conflict)
    single = table.groupby("cluster")["path"].transform("size") == 1  # what it was a copy of is left out
    table["cluster"] = table["cluster"].mask(single, "")
    problems = sorted(problems + strays + copies + conflicts)
    _refuse_few_classes(table, problems, dir)
    listed = pd.DataFrame(problems, columns=Problem._fields)
    return table[COLUMNS].reset_index(drop=True), listed, listing.layout


def _read(
    listing: folders.Listing, folder: str, max_megapixels: float, thumbnails
) -> tuple[pd.DataFrame, list[Problem]]:
    """The rows of the images that can be used, their thumbnails written to a file, and the problems of the others."""
    rows: list[tuple] = []
    problems = [problem._replace(path=headers.printable(problem.path)) for problem in listing.problems]
    for row in headers.read(listing.files, folder, max_megapixels):
        if isinstance(row, Problem):
            problems.append(row)
        else:
            identity, found, header, thumbnail, hashed = row
            rows.append((identity, *found, *header, hashed))
            thumbnails.write(thumbnail.data)
    thumbnails.flush()
    return pd.DataFrame(rows, columns=[*COLUMNS[:-1], "hash"]), problems


def _clusters(table: pd.DataFrame, thumbnails) -> pd.Series:
    """For each row the lowest id of it and its duplicates, exact or near; '' where there is none."""
    compared = np.flatnonzero(table[["width", "height"]].min(axis=1) >= duplicates.SIDE)
    stored = np.memmap(thumbnails, np.uint8, "r").reshape(-1, *headers.THUMBNAIL) if len(table) else np.empty(0)
    near = duplicates.clusters(
        table["hash"].to_numpy(np.uint64)[compared], lambda rows: np.asarray(stored[compared[rows]])
    )
    alike = pd.Series("", table.index)
    alike.iloc[compared] = near.astype(str)
    of_component = table["id"].groupby(units.of(table.assign(group="", cluster=alike)))
    return of_component.transform("min").where(of_component.transform("size") > 1, "")


def _without_strays(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Take out a class whose every image is a copy of one in another class, from two of them or more: no class of its
    own, but an Examples/ that was left beside them."""
    labels = table[table["cluster"] != ""].groupby("cluster")["label"].unique()
    copied = table[table["cluster"].isin(labels.index[labels.map(len) > 1])]
    strays: list[Problem] = []
    for label, rows in copied.groupby("label"):
        others = {name for found in labels[rows["cluster"].unique()] for name in found} - {label}
        if len(rows) == (table["label"] == label).sum() and len(others) > 1:
            reason = f"is in {label}, which holds copies of images of other classes alone"
            strays += [Problem(path, "stray", reason, f"remove {label}, which is no class") for path in rows["path"]]
    return table[~table["path"].isin([stray.path for stray in strays])], strays


def _without_copies(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Keep one row of identical images with the same class and given split."""
    same = ["id", "label", "split"]
    kept = table.drop_duplicates(same)
    gone = table.drop(kept.index).merge(kept[[*same, "path", "group"]], on=same, suffixes=("", "_kept"))
    for row in gone[gone["group"] != gone["group_kept"]].itertuples():
        raise ValueError(
            f"{row.path} and {row.path_kept} are the same image in the groups {row.group!r} and {row.group_kept!r}: "
            "remove one of them, or give both the same group"
        )
    copies = [
        Problem(path, "copy", f"has the same bytes as {first}", "nothing: it is counted once")
        for path, first in zip(gone["path"], gone["path_kept"], strict=True)
    ]
    return kept, copies


def _conflicts(table: pd.DataFrame, on_conflict: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Find images that are the same but lie in different classes."""
    found: list[Problem] = []
    for _, rows in table[table["cluster"] != ""].groupby("cluster"):
        first, *others = rows.drop_duplicates("label").itertuples()
        for other in others:
            for one, two in ((first, other), (other, first)):
                reason = f"is the same image as {two.path}, but one is {one.label}, the other {two.label}"
                found.append(Problem(one.path, "conflict", reason, "remove the wrong one"))
    if found and on_conflict == "error":
        named = found[0]
        more = f" ({len(found) // 2 - 1} more such pairs)" if len(found) > 2 else ""
        raise ValueError(
            f"{named.path} {named.reason}: {named.remedy}{more}; or set data.on_conflict: drop (all of them) or keep"
        )
    if on_conflict == "drop":
        mixed = table.groupby("cluster")["label"].transform("nunique") > 1
        dropped = table[mixed & (table["cluster"] != "")]
        table = table.drop(dropped.index)
    return table, found


def _refuse(problems: list[Problem], on_problem: str) -> None:
    if problems and on_problem == "error":
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        path, _, reason, remedy = problems[0]
        raise ValueError(f"{path} {reason}: {remedy}{more}; or set data.on_problem: skip")


def _refuse_few_classes(table: pd.DataFrame, problems: list[Problem], folder: str) -> None:
    if table["label"].nunique() < 2:
        left_out = [problem for problem in problems if problem.kind not in ("hidden", "unlisted")]
        raise ValueError(
            f"{folder} is left with {len(table)} images in {table['label'].nunique()} classes after {len(left_out)} "
            f"files were left out (the first: {left_out[0].path} {left_out[0].reason}): expected two"
        )
