"""Manifests: CSV files with one row an image, the text by which stages name images."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from heldout.core.atomic import replacing

NUMBERS = dict.fromkeys(["width", "height", "bytes", "orientation", "channels", "bits"], int)


def read(path: str | Path) -> pd.DataFrame:
    """A manifest as a table; every column is text (a class may be called NA or 007) except NUMBERS.

    Raises:
        ValueError: where it is damaged.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        return table.astype({name: kind for name, kind in NUMBERS.items() if name in table})
    except ValueError as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{path} is damaged ({reason}): run `dvc checkout --force {path}` or `dvc repro`") from error


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table so that the same rows give the same bytes; the file appears complete or not at all."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of the shards, that of the images' identities: renaming a file moves none."""
    return table.sort_values(["id", "label"], kind="stable", ignore_index=True)


def match(table: pd.DataFrame, ids: Iterable[str], what: str, source: str) -> pd.DataFrame:
    """The rows in the order of the shards, once they are found to be of the images of these ids.

    Args:
        table: the manifest, in any order.
        ids: in the order of the shards.
        what: has the ids, for the error: `the predictions`.
        source: is the manifest's file.

    Raises:
        ValueError: where they are of other images.
    """
    rows = in_order(table)
    if rows["id"].tolist() != list(ids):
        raise ValueError(f"{what} are not of the images of {source}: run `dvc repro`")
    return rows


def fingerprint(table: pd.DataFrame) -> int:
    """48 bits that tell one exam from another: of the ids and labels of its images, in any order.

    A number, so that it stands among the metrics and `dvc metrics diff` shows where two numbers are of two exams.
    """
    lines = sorted(f"{identity} {label}\n" for identity, label in zip(table["id"], table["label"], strict=True))
    return int.from_bytes(hashlib.sha256("".join(lines).encode()).digest()[:6])


def read_class_names(path: str | Path) -> list[str]:
    """The class names, one a line; a class's number is that of its line, from 0."""
    return Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
