"""Which images one side alone predicts correctly, and in which classes, confusions and columns they come together."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from heldout.evaluation import metrics
from heldout.evaluation.significance.paired_tests import group_sums, sign_flip

MIN_IMAGES = 10  # of a subset that is tested
MIN_CHANGED = 6  # images of a confusion that is tested: 2 / 2^6 is the largest p-value of one direction below 5 %
CLASS, SLICE = "class", "slice_"
SIDES = ("base", "head")


def by_image(common: pd.DataFrame) -> pd.DataFrame:
    """A row for each image that was fixed (HEAD alone is right) or broken (BASE alone is): the largest change of the
    label's probability first.

    Args:
        common: of `exam.match`.

    Returns:
        id, path, label, predicted_base, predicted_head, change (fixed, broken), probability_change.
    """
    base, head = correct(common)
    table = common.assign(
        change=np.where(head, "fixed", "broken"),
        probability_change=common["label_probability_head"] - common["label_probability_base"],
    )[base != head]
    order = np.lexsort([table["id"], -table["probability_change"].abs()])
    columns = ["id", "path", "label", "predicted_base", "predicted_head", "change", "probability_change"]
    return table.iloc[order][columns].reset_index(drop=True)


def by_subset(common: pd.DataFrame) -> pd.DataFrame:
    """A row for each class, and each slice of HEAD's images (`slices.members`): images, accuracy on either side, fixed,
    broken, and the p-value of no difference there.

    Args:
        common: of `exam.match`.

    Returns:
        cut (`class`, or how the images were cut), value, and the above, by p-value; the rows of fewer than MIN_IMAGES
        images are not tested (p is NaN) and come last.
    """
    columns = {"label": CLASS} | {name: name.removeprefix(SLICE) for name in common if name.startswith(SLICE)}
    rows = [(name, *row) for column, name in columns.items() for row in _subsets(common, column)]
    names = ["cut", "value", "images", "base", "head", "fixed", "broken", "p_value"]
    return pd.DataFrame(rows, columns=names).sort_values(["p_value", "cut", "value"], kind="stable", ignore_index=True)


def by_confusion(common: pd.DataFrame) -> pd.DataFrame:
    """A row for each pair of classes (label, predicted) whose number of images differs: how many on either side, and
    the p-value of no difference, by group.

    Pairs of which fewer than MIN_CHANGED images came or went are not tested (NaN): no p-value of theirs could be below
    5 %, and each would only weigh on the others' correction (Tarone 1990).
    """
    counts = {}
    for side in SIDES:
        predicted = common[f"predicted_{side}"]
        wrong = common[predicted != common["label"]]
        counts[side] = wrong.groupby(["label", f"predicted_{side}"]).size().rename_axis(["label", "predicted"])
    table = pd.DataFrame(counts).fillna(0).astype(int).reset_index()
    table["change"] = table["head"] - table["base"]
    table = table[table["change"] != 0]
    order = np.lexsort([table["predicted"], table["label"], -table["change"].abs()])
    table = table.iloc[order].reset_index(drop=True)
    images, groups = common.groupby("label").indices, metrics.group_numbers(common)
    predicted = [common[f"predicted_{side}"].to_numpy(object) for side in SIDES]
    p_values = []
    for label, other in zip(table["label"], table["predicted"], strict=True):
        own = images[label]
        taken = [(side[own] == other).astype(np.int64) for side in predicted]
        change = taken[1] - taken[0]
        tested = np.abs(change).sum() >= MIN_CHANGED
        p_values.append(sign_flip(group_sums(change, groups[own])[0]) if tested else np.nan)
    return table.assign(p_value=p_values)


def correct_for_looks(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """Tables with the column q_value beside p_value: a bound of the fraction of false discoveries among all rows of all
    tables that are as small (Benjamini and Hochberg 1995); NaN where p is."""
    p_values = pd.concat([table["p_value"].astype(float) for table in tables], ignore_index=True)
    tested = p_values.notna()
    q_values = np.full(len(p_values), np.nan)
    if tested.any():
        q_values[tested] = stats.false_discovery_control(p_values[tested])
    parts = np.split(q_values, np.cumsum([len(table) for table in tables])[:-1])
    return [table.assign(q_value=part) for table, part in zip(tables, parts, strict=True)]


def correct(common: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether BASE and HEAD predict each image's label, bool (n,)."""
    label = common["label"].to_numpy(object)
    return common["predicted_base"].to_numpy(object) == label, common["predicted_head"].to_numpy(object) == label


def _subsets(common: pd.DataFrame, column: str) -> Iterator[tuple]:
    base, head = correct(common)
    groups = metrics.group_numbers(common)
    change = head.astype(np.int64) - base.astype(np.int64)
    for value, positions in sorted(common.groupby(column).indices.items()):
        if value == "":
            continue
        tested = len(positions) >= MIN_IMAGES
        p_value = sign_flip(group_sums(change[positions], groups[positions])[0]) if tested else np.nan
        fixed, broken = int((change[positions] > 0).sum()), int((change[positions] < 0).sum())
        accuracies = float(base[positions].mean()), float(head[positions].mean())
        yield value, len(positions), *accuracies, fixed, broken, p_value
