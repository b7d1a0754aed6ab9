"""Whether two revisions sat the same exam, image by image; and how often an exam was looked at."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from heldout.compare.revisions import Revision, git

EVAL, DATA = "metrics/eval.json", "metrics/data.json"
MIN_COMMON = 30  # images below which no verdict is given
MIN_OVERLAP = 0.5  # of the larger exam
HEADS = ("id_head", "label_head", "path_head", "group_head")  # columns that are HEAD's alone in `Exam.common`


class Exam(NamedTuple):
    """`common` has a row for each image that both sides were tested on under one label, with the columns id, label,
    path, group, slice_NAME (of HEAD), and predicted, confidence, label_probability, label_rank of either side (`_base`,
    `_head`)."""

    common: pd.DataFrame
    added: pd.DataFrame
    removed: pd.DataFrame
    relabelled: pd.DataFrame
    classes_added: list[str]
    classes_removed: list[str]

    @property
    def is_same(self) -> bool:
        return not (len(self.added) + len(self.removed) + len(self.relabelled))

    @property
    def is_enough(self) -> bool:
        """Whether what both have is enough for a verdict."""
        largest = len(self.common) + len(self.relabelled) + max(len(self.added), len(self.removed))
        return len(self.common) >= max(MIN_COMMON, MIN_OVERLAP * largest)


def match(base: Revision, head: Revision) -> Exam:
    """The images of two revisions' tests, by id."""
    left, right = _keyed(base.predictions, head.predictions)
    both = left.merge(right, on="key", suffixes=("_base", "_head"), validate="one_to_one")
    same = both["label_base"] == both["label_head"]
    of_head = {name: name.removesuffix("_head") for name in both if name.startswith(("slice_", *HEADS))}
    common = both[same].rename(columns=of_head)
    return Exam(
        common=common.drop(columns=[name for name in both if name.startswith("slice_") and name.endswith("_base")])
        .drop(columns=["label_base", "id_base", "key"])
        .reset_index(drop=True),
        added=right[~right["key"].isin(left["key"])].drop(columns="key"),
        removed=left[~left["key"].isin(right["key"])].drop(columns="key"),
        relabelled=both[~same].rename(columns={"id_head": "id"}),
        classes_added=[name for name in head.class_names if name not in set(base.class_names)],
        classes_removed=[name for name in base.class_names if name not in set(head.class_names)],
    )


def _keyed(left: pd.DataFrame, right: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with a column `key`: the id; with the label where an image is in two classes of either side."""
    repeated = {identity for table in (left, right) for identity in table["id"][table["id"].duplicated()]}
    return tuple(  # type: ignore[return-value]
        table.assign(key=table["id"] + ("/" + table["label"]).where(table["id"].isin(repeated), ""))
        for table in (left, right)
    )


def count_looks(root: str | Path, branch: str, fingerprint: int, scores: dict[str, float]) -> int:
    """How many different results of one exam the first-parent history of a branch holds, these scores among them.

    Args:
        root: of the repository.
        branch: such as main; one that does not exist has no history.
        fingerprint: of the exam, `test_fingerprint` of metrics/data.json.
        scores: of the latest look, as metrics/eval.json has them.
    """
    commits = git(root, "log", "--first-parent", "--format=%H", branch, "--", EVAL, DATA).stdout.decode().split()
    seen = {_key(scores)}
    for commit in commits:
        data, result = _json(root, commit, DATA), _json(root, commit, EVAL)
        if result and data.get("test_fingerprint") == fingerprint:
            seen.add(_key(result))
    return len(seen)


def gain_by_choice(looks: int, error: float) -> float:
    """How far the best of so many models that do not differ lies above their mean, expected by chance alone.

    Args:
        looks: how many results there were to choose from.
        error: the standard error of one accuracy on this exam.
    """
    grid = np.linspace(-8, 8, 4001)  # the expected largest of so many standard normal numbers
    density = looks * stats.norm.pdf(grid) * stats.norm.cdf(grid) ** (looks - 1)
    return float(np.trapezoid(grid * density, grid) * error) if looks > 1 else 0.0


def _key(scores: dict[str, float]) -> str:
    """What tells one result from another: a score alone that is new, or was renamed, is no new look."""
    return json.dumps([scores.get("accuracy"), scores.get("log_loss", scores.get("loss"))])


@cache
def _json(root: str | Path, commit: str, path: str) -> dict[str, float]:
    """A file of a commit, read once: the names of main are mostly names of the same commits."""
    done = git(root, "show", f"{commit}:{path}")
    try:
        return json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        return {}
