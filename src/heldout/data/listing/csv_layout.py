"""The layout `csv`: the images that the rows of a CSV name, and what lies beside them."""

import os
import unicodedata
from pathlib import Path

from heldout.data.listing import files, labels_csv


def list_images(root: Path, table: labels_csv.LabelsCSV, aside: str = "") -> files.Listing:
    """The images that the CSV names, and those that lie there without being named.

    Args:
        root: the image folder.
        table: its CSV.
        aside: the folder whose images need neither a label nor a row; empty: there is none.

    Raises:
        ValueError: where a row has no label though its image lies elsewhere, an image has two rows, or none exists.
    """
    paths, problems = files.walk(root)
    existing = set(paths)
    named: dict[str, files.ImageFile] = {}
    lines: dict[str, int] = {}
    missing: list[labels_csv.Row] = []
    for row in table.rows:
        path = _below(root, row)
        if not row.label.strip() and not _is_below(path, aside):
            raise ValueError(f"{table.file} line {row.line} has no label: give one, or remove the row")
        if path in lines:
            raise ValueError(
                f"{table.file} line {row.line} names {row.path} again (line {lines[path]}): keep one of the rows"
            )
        lines[path] = row.line
        if path in existing or Path(path).is_file():
            named[path] = files.ImageFile(path, row.label if row.label.strip() else "", *row[3:6])
        else:
            missing.append(row)
    problems += _missing(root, table, missing, existing)
    unlabelled = [path for path in paths if path not in named and _is_below(path, aside) and files.is_image(path)]
    named |= {path: files.ImageFile(path, "") for path in unlabelled}
    unnamed = [path for path in paths if path not in named and path != table.file.as_posix()]
    problems += [
        files.Problem(path, "unlisted", f"is not named in {table.file.name}", "nothing, or add a row")
        if files.is_image(path)
        else files.other(path)
        for path in unnamed
    ]
    extra = {_below(root, row): row.extra for row in table.rows} if table.columns else {}
    extra |= dict.fromkeys(unlabelled, ("",) * len(table.columns)) if table.columns else {}
    return files.Listing(list(named.values()), problems, table.file.name, table.columns, extra, labels_csv.notes(table))


def _below(root: Path, row: labels_csv.Row) -> str:
    return os.path.normpath(f"{root.as_posix()}/{row.path}")  # by text: a Path a row costs seconds


def _is_below(path: str, folder: str) -> bool:
    return bool(folder) and path.startswith(f"{folder}/")


def _missing(
    root: Path, table: labels_csv.LabelsCSV, missing: list[labels_csv.Row], existing: set[str]
) -> list[files.Problem]:
    """A problem for each row without its image; where it lies by another spelling, that."""
    similar = {_spelling(path): path for path in sorted(existing, reverse=True)} if missing else {}
    problems = []
    for row in missing:
        path = _below(root, row)
        other = similar.get(_spelling(path)) or similar.get(_spelling(row.path))
        reason = f"is named in {table.file.name} line {row.line} but does not exist"
        problems.append(
            files.Problem(path, "unusable", f"{reason} ({other} does)", "correct its row")
            if other
            else files.Problem(path, "unusable", reason, "fetch it, or remove its row")
        )
    if problems and len(problems) == len(table.rows):
        path, _, reason, _ = problems[0]
        raise ValueError(
            f"{table.file} names {len(problems)} images, none of which exists (the first: {path} {reason}): "
            f"expected paths below {root}"
        )
    return problems


def _spelling(path: str) -> str:
    """A path without what a person overlooks: case, the Unicode form, and which way its slashes lean."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold()).replace("\\", "/")
