"""The index: one row an image with its identity, the md5 of its bytes, and what it shares with others."""

import tempfile
from typing import IO, Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from heldout.core import names
from heldout.data import components, image_info, near_duplicates, perceptual_hash
from heldout.data.listing import captions as caption_files
from heldout.data.listing import image_folder
from heldout.data.listing.files import ImageFile, Listing, Problem
from heldout.data.listing.image_folder import Layout

COLUMNS = ["id", *ImageFile._fields, *image_info.ImageInfo._fields, "cluster"]
RESERVED = {*COLUMNS, "fills_gap"}  # a column of the CSV with such a name gets another


class Scan(NamedTuple):
    """What `scan` found: the index, the problems, which layout the folder has, and lines for a person to read."""

    images: pd.DataFrame
    problems: pd.DataFrame
    layout: str
    notes: list[str]


def scan(
    *,
    dir: str,
    layout: Layout,
    class_depth: Annotated[int, Field(ge=1, le=9)],
    group_pattern: str,
    captions: bool,
    on_problem: Literal["error", "skip"],
    on_conflict: Literal["error", "drop", "keep"],
    max_megapixels: Annotated[float, Field(gt=0)],
    unlabelled: str,
) -> Scan:
    """Read every image of the folder once, and find duplicates.

    Args:
        dir: the folder of images, relative to the repository.
        layout: `classes` (dir/CLASS/...), `splits` (dir/train|val|test/CLASS/...), `csv`, or `auto`, which looks.
        class_depth: the level of folders that names the class.
        group_pattern: a regular expression whose parentheses catch an image's group in its path, or '' for no groups.
        captions: whether NAME.txt beside NAME.png is the image's text.
        on_problem: whether a file that cannot be used ends the scan or is left out and listed.
        on_conflict: whether one image (or near-duplicates) in two classes ends the scan, is left out with all its
            copies, or is kept; it is listed in the last two cases.
        max_megapixels: a larger image is a problem, seen in its header before anything is decoded.
        unlabelled: a folder inside `dir` whose images need no class, for pretraining; '' for none.

    Returns:
        The index, sorted by path, with the columns id (md5), path, label, split, group and text (as given, or ''),
        width and height (pixels, as stored), bytes, format, orientation (EXIF, 1 to 8), channels, bits (of a channel),
        cluster (the lowest id of an image and its duplicates, or '' where it has none), and further columns of the
        CSV (an image without a class has the label ''); the problems: path, kind, reason, remedy; the layout of the
        folder, and notes.

    Raises:
        ValueError: where the layout is in doubt, or there is a problem or conflict that the params do not allow.
    """
    listing = image_folder.list_images(dir, layout, class_depth, group_pattern, unlabelled)
    listing = caption_files.read(listing) if captions else listing
    with tempfile.TemporaryFile() as signatures:
        table, problems = _read(listing, dir, max_megapixels, signatures)
        _check_problems([problem for problem in problems if problem.kind == "unusable"], on_problem)
        table["cluster"] = _clusters(table, signatures)
    table, unlabeled, duplicates = _split_off_unlabeled(table)
    table, strays = _without_strays(table)
    _check_problems(strays, on_problem)
    table, copies, joined = _without_copies(table)
    table, conflicts = _resolve_conflicts(table, on_conflict)
    table = pd.concat([table, unlabeled]).sort_values("path", kind="stable") if len(unlabeled) else table
    single = table.groupby("cluster")["path"].transform("size") == 1  # all its duplicates are left out
    table["cluster"] = table["cluster"].mask(single, "")
    problems = sorted(problems + strays + copies + conflicts + duplicates)
    _check_class_count(table[table["label"] != ""], problems, dir)
    problem_table = pd.DataFrame(problems, columns=Problem._fields)
    notes = [*listing.notes, *joined, *_vanished_classes(listing, table, problems)]
    table = _with_extra_columns(table[COLUMNS].reset_index(drop=True), listing)
    return Scan(table, problem_table, listing.layout, notes)


def _read(
    listing: Listing, folder: str, max_megapixels: float, signatures: IO[bytes]
) -> tuple[pd.DataFrame, list[Problem]]:
    """The rows of the images that can be used, their signatures written to a file; and the problems of the rest."""
    rows: list[tuple] = []
    problems = [problem._replace(path=names.printable(problem.path)) for problem in listing.problems]
    for row in image_info.read(listing.files, folder, max_megapixels):
        if isinstance(row, Problem):
            problems.append(row)
        else:
            rows.append((row.id, *row.file, *row.info))
            signatures.write(row.signature)
    signatures.flush()
    return pd.DataFrame(rows, columns=COLUMNS[:-1]), problems


def _with_extra_columns(table: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """The index with the other columns of the CSV; one whose name the index has already is called NAME_given."""
    values = [listing.extra[path] for path in table["path"]] if listing.columns else []
    columns = [f"{name}_given" if name in RESERVED else name for name in listing.columns]
    return pd.concat([table, pd.DataFrame(values, columns=columns, dtype=object)], axis=1)


def _vanished_classes(listing: Listing, table: pd.DataFrame, problems: list[Problem]) -> list[str]:
    """A line for each class all of whose images were left out."""
    left_out = {problem.path: problem for problem in problems}
    remaining = set(table["label"])
    lines = []
    for label in sorted({file.label for file in listing.files if file.label} - remaining):
        paths = [names.printable(file.path) for file in listing.files if file.label == label]
        reasons = [left_out[path].reason for path in paths if path in left_out]
        first = f"{len(paths)}; the first: {paths[0]} {reasons[0]}"
        lines.append(f"class {names.printable(label)} is gone, since all its images are left out ({first})")
    return lines


def _clusters(table: pd.DataFrame, signatures: IO[bytes]) -> pd.Series:
    """For each row the lowest id of it and its duplicates, exact or near; '' where there is none."""
    large = np.flatnonzero(table[["width", "height"]].min(axis=1) >= near_duplicates.MIN_SIDE)
    kind = perceptual_hash.SIGNATURE
    stored = np.memmap(signatures, kind, "r") if len(table) else np.empty(0, kind)
    numbers = near_duplicates.clusters(stored, large)
    near = pd.Series("", table.index)
    near.iloc[large] = numbers.astype(str)
    ids = table["id"].groupby(components.label(table.assign(group="", cluster=near)))
    return ids.transform("min").where(ids.transform("size") > 1, "")


def _split_off_unlabeled(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[Problem]]:
    """The images with a class; those without, of each once; and the copies among these."""
    labeled, rest = table[table["label"] != ""], table[table["label"] == ""]
    first = pd.concat([labeled, rest]).drop_duplicates("id")
    kept = rest[rest["path"].isin(first["path"])]
    originals = dict(zip(first["id"], first["path"], strict=True))
    duplicates = [
        Problem(row.path, "copy", f"has the same bytes as {originals[row.id]}", "nothing: it is counted once")
        for row in rest[~rest["path"].isin(kept["path"])].itertuples()
    ]
    return labeled, kept, duplicates


def _without_strays(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Leave out a class that holds nothing but copies of images of two or more other classes, such as an Examples/ that
    was left beside them."""
    labels = table[table["cluster"] != ""].groupby("cluster")["label"].unique()
    copied = table[table["cluster"].isin(labels.index[labels.map(len) > 1])]
    strays: list[Problem] = []
    for label, rows in copied.groupby("label"):
        copied_labels = {name for names in labels[rows["cluster"].unique()] for name in names} - {label}
        if len(rows) == (table["label"] == label).sum() and len(copied_labels) > 1:
            reason = f"is in {label}, which holds nothing but copies of images of other classes"
            strays += [Problem(path, "stray", reason, f"remove {label}, which is not a class") for path in rows["path"]]
    return table[~table["path"].isin([stray.path for stray in strays])], strays


def _without_copies(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem], list[str]]:
    """Keep one row of identical images with the same class and given split, with the texts of all of them.

    A copy in another group stays, so that the split sees what joins the two; `split` takes one row of both. A group
    renamed instead would have another position, and could leave the test.
    """
    table, keys = _with_texts_of_copies(table), ["id", "label", "split"]
    copied = table[table.duplicated(keys, keep=False)]
    copied = copied.assign(groupless=copied["group"] == "").sort_values([*keys, "groupless"], kind="stable")
    removed, joined, copies = [], 0, []
    first: Any = None
    for row in copied.itertuples():
        if first is None or (row.id, row.label, row.split) != (first.id, first.label, first.split):
            first, groups = row, {row.group, ""}
            continue
        reason, remedy = f"has the same bytes as {first.path}", "nothing: it is counted once"
        if row.group in groups:
            removed.append(row.Index)
        else:
            groups.add(row.group)
            joined += 1
            reason += f", which joins the groups {first.group!r} and {row.group!r}"
            remedy += ", and both groups stay on one side of the split"
        copies.append(Problem(row.path, "copy", reason, remedy))
    notes = [f"{joined:,} identical images join groups, which stay on one side of the split"] if joined else []
    return table.drop(removed), copies, notes


def _with_texts_of_copies(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, those of one image and class with the texts of all of them, in the order of their paths."""
    keys = ["id", "label"]
    copied = table[table.duplicated(keys, keep=False) & (table["text"] != "")]
    texts = {key: " / ".join(dict.fromkeys(rows["text"])) for key, rows in copied.groupby(keys)}
    if not texts:
        return table
    rows = zip(table["id"], table["label"], table["text"], strict=True)
    return table.assign(text=[texts.get((identity, label), text) for identity, label, text in rows])


def _resolve_conflicts(table: pd.DataFrame, on_conflict: str) -> tuple[pd.DataFrame, list[Problem]]:
    """List images that are the same but lie in different classes, and drop them all where `on_conflict` is `drop`."""
    conflicts: list[Problem] = []
    for _, rows in table[table["cluster"] != ""].groupby("cluster"):
        first, *rest = rows.drop_duplicates("label").itertuples()
        for second in rest:
            for image, twin in ((first, second), (second, first)):
                reason = f"is the same image as {twin.path}, but one is {image.label}, the other {twin.label}"
                conflicts.append(Problem(image.path, "conflict", reason, "remove the wrong one"))
    if conflicts and on_conflict == "error":
        path, _, reason, remedy = conflicts[0]
        more = f" ({len(conflicts) // 2 - 1} more such pairs)" if len(conflicts) > 2 else ""
        raise ValueError(f"{path} {reason}: {remedy}{more}; or set data.on_conflict: drop (all of them) or keep")
    if on_conflict == "drop":
        mixed = table.groupby("cluster")["label"].transform("nunique") > 1
        table = table[~(mixed & (table["cluster"] != ""))]
    return table, conflicts


def _check_problems(problems: list[Problem], on_problem: str) -> None:
    if problems and on_problem == "error":
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        path, _, reason, remedy = problems[0]
        raise ValueError(f"{path} {reason}: {remedy}{more}; or set data.on_problem: skip")


def _check_class_count(table: pd.DataFrame, problems: list[Problem], folder: str) -> None:
    if table["label"].nunique() < 2:
        left_out = [problem for problem in problems if problem.kind not in ("hidden", "unlisted", "other")]
        raise ValueError(
            f"{folder} is left with {len(table)} images in {table['label'].nunique()} classes after {len(left_out)} "
            f"files were left out (the first: {left_out[0].path} {left_out[0].reason}): expected two or more; "
            "repair or replace those files"
        )
