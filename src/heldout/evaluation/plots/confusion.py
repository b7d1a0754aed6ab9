"""The confusion matrix, readable at any number of classes."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from heldout.core import fonts
from heldout.evaluation.plots import style

MAX_CELLS = 20  # classes of a confusion matrix: the numbers in a larger one could not be read


def confusion(predictions: pd.DataFrame, class_names: list[str], path: str | Path) -> None:
    """The confusion matrix: rows are true classes; the color is the fraction of the row, the number the count.

    Of more than MAX_CELLS classes it shows those of the most frequent confusions, similar ones beside each other, above
    lists of the most frequent confusions and of the classes with the most errors.
    """
    names = dict(zip(class_names, fonts.display_names(class_names), strict=True))
    errors = predictions[predictions["label"] != predictions["predicted"]]
    title = f"{len(predictions) - len(errors):,} of {len(predictions):,} test images correct"
    if len(class_names) <= MAX_CELLS:
        cell = 0.5 if len(class_names) <= 10 else 0.33
        side = max(4.5, cell * len(class_names) + 1.5 + 0.08 * max(map(len, names.values())))  # in inches
        figure, axes = style.plt.subplots(figsize=(side + 1, side), layout="constrained")
        _draw_matrix(axes, *_matrix(predictions, class_names), list(names.values()))
    else:
        figure = style.plt.figure(figsize=(9, 10.5), layout="constrained")
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[6, 1]).ravel()
        axes = above.subplots()
        shown = _most_confused(errors, class_names)
        shown = _by_similarity(predictions, shown) if len(errors) else shown
        _draw_matrix(axes, *_matrix(predictions, shown), [names[label] for label in shown])
        which = "those that are confused most" if len(errors) else "the first ones"
        title += f"\nshown: {len(shown)} of {len(class_names):,} classes, {which}"
        style.draw_lists(below, _worst(predictions, errors, names))
    axes.set_title(title)
    style.save(figure, path)


def _matrix(predictions: pd.DataFrame, shown: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Counts (true, predicted) of the shown classes; and the same as fractions of all images of the true class."""
    inside = predictions[predictions["label"].isin(shown) & predictions["predicted"].isin(shown)]
    pairs = inside.groupby(["label", "predicted"]).size().unstack(fill_value=0)
    counts = pairs.reindex(index=shown, columns=shown, fill_value=0).to_numpy(int)
    totals = predictions["label"].value_counts().reindex(shown, fill_value=0).to_numpy()
    return counts, counts / np.maximum(totals, 1)[:, None]


def _draw_matrix(axes: style.plt.Axes, counts: np.ndarray, fractions: np.ndarray, names: list[str]) -> None:
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=style.class_axis("predicted", names), ylabel=style.class_axis("true", names))
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if fractions[row, column] > 0.5 else "black"
        axes.text(column, row, counts[row, column], ha="center", va="center", color=color)
    axes.figure.colorbar(image, ax=axes, label="fraction of the true class", shrink=0.8)


def _most_confused(errors: pd.DataFrame, class_names: list[str]) -> list[str]:
    """MAX_CELLS classes: both of each pair that is confused most often, in either direction; then the first ones."""
    pairs = pd.DataFrame(np.sort(errors[["label", "predicted"]].to_numpy(object), axis=1))
    counts = pairs.groupby([0, 1]).size().sort_values(ascending=False, kind="stable")
    shown: dict[str, None] = {}
    for candidates in [*counts.index, *((name,) for name in class_names)]:
        together = shown | dict.fromkeys(candidates)
        if len(together) <= MAX_CELLS:
            shown = together
        if len(shown) == MAX_CELLS:
            break
    return list(shown)


def _by_similarity(predictions: pd.DataFrame, shown: list[str]) -> list[str]:
    """The classes in the order of the leaves of a tree that joins first what is confused most (average linkage)."""
    _, fractions = _matrix(predictions, shown)
    distances = 1 - (fractions + fractions.T) / 2
    np.fill_diagonal(distances, 0)
    tree = hierarchy.linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    return [shown[leaf] for leaf in hierarchy.leaves_list(tree)]


def _worst(predictions: pd.DataFrame, errors: pd.DataFrame, names: dict[str, str]) -> dict[str, list[str]]:
    """The most frequent confusions and the classes with the most errors, a line each, by heading."""
    pairs = errors.groupby(["label", "predicted"]).size().sort_values(ascending=False, kind="stable")
    classes = errors.groupby("label").size().sort_values(ascending=False, kind="stable")
    totals = predictions["label"].value_counts()
    return {
        "most frequent confusions (true → predicted)": [
            f"{names[label]} → {names[predicted]}: {count:,}"
            for (label, predicted), count in pairs.head(style.NUM_LISTED).items()
        ],
        "classes with the most errors": [
            f"{names[label]}: {count:,} of {totals[label]:,} images"
            for label, count in classes.head(style.NUM_LISTED).items()
        ],
    }
