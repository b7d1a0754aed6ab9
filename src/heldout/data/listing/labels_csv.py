"""The CSV beside the images: its delimiter and encoding, the names of its columns, and its rows, each with its line."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from heldout.core import names

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
COLUMNS = ("path", "label", "split", "group", "text")
# Names in use for the same, as they are once case, blanks and hyphens do not count. `file_name` is Hugging Face's.
ALIASES = {
    "path": ("path", "file_name", "filename", "file", "filepath", "file_path", "image", "image_path", "img_path"),
    "label": ("label", "class", "class_name", "category", "label_name"),
    "split": ("split", "subset", "partition"),
    "group": ("group", "group_id", "patient_id", "subject_id", "person_id"),
    "text": ("text", "caption", "title", "description"),
}
SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t|"
HEAD = 65536  # bytes that tell whether it is such a CSV; another one is not read on
BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class Row(NamedTuple):
    """A row of the CSV: the line that it ends on, from 1, its values of COLUMNS, and those of the other columns."""

    line: int
    path: str
    label: str
    split: str
    group: str
    text: str
    extra: tuple[str, ...]


class LabelsCSV(NamedTuple):
    """The CSV that labels the images: its file, its rows, the names of columns that are none of COLUMNS, and the header
    name of each of COLUMNS that has another one."""

    file: Path
    rows: list[Row]
    columns: list[str]
    renamed: dict[str, str]


def notes(table: LabelsCSV) -> list[str]:
    """What a person should know of how the columns are taken: a line, or none where all are called as expected."""
    lines = []
    if table.renamed:
        lines.append(f"{table.file.name}: " + ", ".join(f"{name} is the {own}" for own, name in table.renamed.items()))
    if table.columns:
        lines.append(f"{table.file.name}: kept beside them: {', '.join(table.columns)}")
    return lines


def find(root: Path, required: bool) -> tuple[LabelsCSV | None, list[str]]:
    """The CSV in `root` that labels the images, or None; and a line for each other CSV there.

    Args:
        root: the image folder; folders in it are not looked into.
        required: whether there has to be one.

    Raises:
        ValueError: where one cannot be read, has a path but no label or the other way round, or two have both.
    """
    tables: list[LabelsCSV] = []
    others: list[str] = []
    for file in sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()):
        if file.name.startswith("."):
            continue
        if table := read(file):
            tables.append(table)
        else:
            others.append(f"{file} is left aside: it has no columns path and label")
    if len(tables) > 1:
        listed = ", ".join(table.file.name for table in tables)
        raise ValueError(f"{root} holds {len(tables)} CSV files with the columns path and label ({listed}): keep one")
    if required and not tables:
        raise ValueError(f"data.layout is csv, but no CSV in {root} has the columns path and label: add one")
    return (tables[0] if tables else None), others


def read(file: Path) -> LabelsCSV | None:
    """The rows of a CSV, or None where its header names neither paths nor labels.

    Raises:
        ValueError: where its text, header or a row is not what a CSV of labels holds.
    """
    content = file.read_bytes()
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    head = content[:HEAD].decode(encoding, errors="replace")
    if "\0" in head:
        raise ValueError(f"{file} is not {encoding.upper()} (it holds NUL): save it as UTF-8")
    first = next(filter(str.strip, head.splitlines()), "")
    dialect = _dialect(first)
    if not {"path", "label"} & set(_known(first.replace('"', "").split(dialect.delimiter))):
        return None
    reader = csv.reader(io.StringIO(_decoded(file, content, encoding), newline=""), dialect)
    try:
        header = [name.strip() for name in next(filter(any, reader))]
        _check_characters(f"{file} header", header, header)
        positions = _positions(file, header)
        rows = list(_rows(file, reader, header, positions))
    except csv.Error as error:
        raise ValueError(f"{file} line {reader.line_num} is not CSV ({error}): correct its quotes") from error
    extra = [name for number, name in enumerate(header) if name and number not in positions.values()]
    renamed = {column: header[number] for column, number in positions.items() if header[number] != column}
    return LabelsCSV(file, rows, extra, renamed)


def _decoded(file: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise ValueError(f"{file} line {line} is not {encoding.upper()} ({byte}): save it as UTF-8") from error


def _dialect(header: str) -> type[csv.Dialect]:
    """By the header, whose names are known: csv.Sniffer guesses by the rows, and can take a letter for a delimiter."""
    counts = {mark: len(_known(header.replace('"', "").split(mark))) for mark in DELIMITERS}
    mark = max(DELIMITERS, key=lambda mark: (counts[mark], header.count(mark)))

    class Dialect(csv.excel):
        delimiter = mark
        strict = True  # a quote that is never closed would swallow the rest of the file
        skipinitialspace = all(name.startswith(" ") for name in header.split(mark)[1:])

    return Dialect


def _known(header: list[str]) -> dict[str, list[int]]:
    """The positions of the names that stand for each of COLUMNS."""
    plain = [name.strip().casefold().replace(" ", "_").replace("-", "_") for name in header]
    known = {}
    for column, aliases in ALIASES.items():
        exact = [number for number, name in enumerate(plain) if name == column]
        if positions := exact or [number for number, name in enumerate(plain) if name in aliases]:
            known[column] = positions
    return known


def _positions(file: Path, header: list[str]) -> dict[str, int]:
    """Where each of COLUMNS that the file has is."""
    known = _known(header)
    for column, positions in known.items():
        if len(positions) > 1:
            listed = ", ".join(header[number] for number in positions)
            raise ValueError(
                f"{file} has {len(positions)} columns for the {column} ({listed}): call the right one {column}"
            )
    for column, other in (("label", "path"), ("path", "label")):
        if column not in known:
            raise ValueError(
                f"{file} has a column for the {other} ({header[known[other][0]]}) but none for the {column}, only "
                f"{', '.join(header)}: call it {column}, or set data.layout: classes or splits to leave the file aside"
            )
    if repeated := [name for name in header if name and header.count(name) > 1]:
        raise ValueError(f"{file} has two columns called {repeated[0]}: rename one of them")
    return {column: positions[0] for column, positions in known.items()}


def _rows(file: Path, reader: Any, header: list[str], positions: dict[str, int]) -> Iterator[Row]:
    extra = [number for number, name in enumerate(header) if name and number not in positions.values()]
    for values in reader:
        if not any(values):
            continue  # a blank line, or what a spreadsheet leaves of one
        if len(values) != len(header):
            raise ValueError(
                f"{file} line {reader.line_num} has {len(values)} fields, its header {len(header)}: "
                f"put a value that holds {reader.dialect.delimiter!r} into double quotes"
            )
        _check_characters(f"{file} line {reader.line_num}", header, values)
        named = [values[positions[column]] if column in positions else "" for column in COLUMNS]
        split = named[2].strip()
        named[2] = SPLIT_NAMES.get(split.lower(), split)
        row = Row._make([reader.line_num, *named, tuple(values[number] for number in extra)])
        _check_row(file, row)
        yield row


def _check_characters(where: str, header: list[str], values: list[str]) -> None:
    for column, value in zip(header, values, strict=True):
        if problem := names.problem(value):
            raise ValueError(f"{where}: {column} {names.printable(value)} {problem}: write it without")


def _check_row(file: Path, row: Row) -> None:
    where = f"{file} line {row.line}"
    if not row.path:
        raise ValueError(f"{where} has no path: give one, or remove the row")
    if os.path.isabs(row.path) or ".." in row.path.split("/"):  # noqa: PTH117 (a Path a row costs seconds)
        raise ValueError(f"{where}: {row.path} is outside {file.parent}: expected a path below it")
    if row.split and row.split not in SPLIT_NAMES.values():
        raise ValueError(f"{where}: split is {row.split!r}: expected train, val, test or nothing")
