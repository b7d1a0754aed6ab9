"""Precision, recall and F1 of each class, with intervals, and what it is confused with most."""

import numpy as np
import pandas as pd

from heldout.evaluation import intervals, metrics

SCORES = ("precision", "recall", "f1")


def by_class(table: pd.DataFrame, class_names: list[str]) -> pd.DataFrame:
    """A row for each class, in the order of `class_names`.

    Precision, recall and the fraction of hits among the images that are of the class or taken for it (the Jaccard index
    J) are proportions, and F1 is 2 J / (1 + J): each has the interval of a proportion. Where there is no image to
    divide by, the three are left empty.

    Args:
        table: of `metrics.predictions`, and a column group where groups are known.
        class_names: by number.

    Returns:
        label, support (images of it), predicted (images taken for it), precision, recall and f1 with _low and _high,
        most_confused_with (the class that most of its images are taken for, of equal ones the first) and how many.
    """
    numbers, groups = pd.Index(class_names), metrics.group_numbers(table)
    labels, predicted = numbers.get_indexer(table["label"]), numbers.get_indexer(table["predicted"])
    num_classes, wrong = len(class_names), labels != predicted
    support, named = np.bincount(labels, minlength=num_classes), np.bincount(predicted, minlength=num_classes)
    hits = np.bincount(labels[~wrong], minlength=num_classes)
    columns = {"label": class_names, "support": support, "predicted": named}
    sides = ([predicted], [labels], [labels, np.where(wrong, predicted, -1)])
    for name, of, sizes in zip(SCORES, sides, (named, support, support + named - hits), strict=True):
        ends = _ends(of, ~wrong, groups, sizes, hits)
        ends = 2 * ends / (1 + ends) if name == "f1" else ends
        columns |= dict(zip((name, f"{name}_low", f"{name}_high"), ends.round(6), strict=True))
    pairs, counts = np.unique(labels[wrong] * num_classes + predicted[wrong], return_counts=True)
    rows, others = np.divmod(pairs, num_classes)
    order = np.lexsort((others, -counts))[::-1]  # the last written stays
    confused, how_often = np.full(num_classes, "", object), np.zeros(num_classes, int)
    confused[rows[order]], how_often[rows[order]] = np.array(class_names, object)[others[order]], counts[order]
    return pd.DataFrame(columns | {"most_confused_with": confused, "most_confused_count": how_often})


def _ends(
    sides: list[np.ndarray], correct: np.ndarray, groups: np.ndarray, sizes: np.ndarray, hits: np.ndarray
) -> np.ndarray:
    """The proportion of hits of each class and the ends of its interval, (3, num_classes); NaN where it has no image.

    Args:
        sides: class numbers (n,) by which an image counts for a class, one or two of them; -1 for none.
        correct: bool (n,).
        groups: their numbers (n,).
        sizes: how many images count for each class.
        hits: how many of them are correct.
    """
    with np.errstate(invalid="ignore"):
        values = hits / sizes
    if len(np.unique(groups)) == len(groups):
        return np.where(sizes > 0, [values, *intervals.wilson(values, sizes)], np.nan)
    images = np.tile(np.arange(len(correct)), len(sides))
    numbers = np.concatenate(sides)
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(sizes) + 1))
    ends = np.full((3, len(sizes)), np.nan)
    for number in np.flatnonzero(sizes):
        rows = images[order[starts[number] : starts[number + 1]]]
        ends[:, number] = intervals.proportion(correct[rows], groups[rows])
    return ends
