"""Which images the splits of two revisions differ in, where their manifests are in the work tree or in DVC's cache."""

import hashlib
import subprocess
from contextlib import suppress
from pathlib import Path

import pandas as pd

from heldout.compare import causes, revisions
from heldout.compare.revisions import Revision
from heldout.data import raw_files

SPLITS = ("train", "val", "test")
COLUMNS = ["id", "split_base", "split_head", "label_base", "label_head"]
CHANGES = ["split", "base", "head", "added", "removed", "relabelled", "moved_in", "moved_out"]


def differing_splits(base: Revision, head: Revision) -> list[str]:
    """The splits whose manifests differ, by dvc.lock."""
    return [split for split in SPLITS if _md5(base, split) != _md5(head, split)]


def images(revision: Revision, root: str | Path = ".") -> pd.DataFrame | None:
    """The images of all splits: id, split, label; None where a manifest is neither in the work tree nor in the cache.

    An image that is in two classes counts once, under the first.
    """
    tables = []
    for split in SPLITS:
        content = content_of(_md5(revision, split), Path(root, path_of(split)))
        if content is None:
            return None
        tables.append(revisions.read_table(content)[["id", "label"]].assign(split=split))
    return pd.concat(tables).sort_values(["id", "label"], kind="stable").drop_duplicates("id")


def changed_images(base: pd.DataFrame, head: pd.DataFrame) -> pd.DataFrame:
    """A row for each image whose split or label differs: id, split and label on either side, '' where it is absent.

    Args:
        base, head: of `images`.
    """
    both = base.merge(head, on="id", how="outer", suffixes=("_base", "_head")).fillna("")
    differs = (both["split_base"] != both["split_head"]) | (both["label_base"] != both["label_head"])
    return both.loc[differs, COLUMNS].reset_index(drop=True)


def by_split(base: pd.DataFrame, head: pd.DataFrame) -> pd.DataFrame:
    """A row for each split that differs: its images on either side, and how many were added to the data, removed from
    them, relabelled, moved in from other splits, and moved out to others.

    Args:
        base, head: of `images`.
    """
    changed, rows = changed_images(base, head), []
    before, after = changed["split_base"], changed["split_head"]
    stayed = before == after
    for split in SPLITS:
        counts = (
            int(((after == split) & (before == "")).sum()),
            int(((before == split) & (after == "")).sum()),
            int((stayed & (after == split)).sum()),
            int(((after == split) & (before != "") & ~stayed).sum()),
            int(((before == split) & (after != "") & ~stayed).sum()),
        )
        if any(counts):
            rows.append((split, int((base["split"] == split).sum()), int((head["split"] == split).sum()), *counts))
    return pd.DataFrame(rows, columns=CHANGES)


def _md5(revision: Revision, split: str) -> str:
    return causes.outputs(revision, "split").get(path_of(split), "")


def path_of(split: str) -> str:
    """The manifest of a split."""
    return f"data/splits/{split}.csv"


def content_of(md5: str, path: Path | None = None) -> bytes | None:
    """The file of an md5 of dvc.lock, or the list of a folder, whose md5 ends in .dir: from the work tree, where `path`
    is the same, else from DVC's cache; None where neither has it."""
    if not md5:
        return None
    if path is not None and (content := _same(path, md5)) is not None:
        return content
    with suppress(OSError, subprocess.SubprocessError):  # no DVC here: git alone is enough for all the rest
        return _same(raw_files.cached_path(md5), md5.removesuffix(".dir"))
    return None


def _same(path: Path, md5: str) -> bytes | None:
    """A file's bytes, where it is there and its md5 is that."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    return content if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5 else None
