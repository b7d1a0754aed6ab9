"""The pictures that a reviewer looks at: images by class and split, learning curves, the confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import SubFigure
from matplotlib.ticker import LogLocator
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from heldout.core import fonts
from heldout.core.atomic import replacing

matplotlib.rcdefaults()  # a person's matplotlibrc would give other bytes
matplotlib.rcParams["text.parse_math"] = False  # a class may be called cat$dog$
COLORS = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}  # Tol's bright scheme, safe for color-blind eyes
MAX_BARS = 40  # classes with a bar each: 13 inches high
MAX_CELLS = 20  # classes of a confusion matrix: the numbers in a larger one could not be read
NUM_LISTED = 8  # lines in a list of extremes


def class_by_split(counts: pd.DataFrame, path: str | Path) -> None:
    """How many images each class (rows) has in each split (columns): a bar a class, or where they are many, by size."""
    names = fonts.display_names([str(label) for label in counts.index])
    (_draw_bars if len(counts) <= MAX_BARS else _draw_by_size)(counts.set_axis(names), path)


def curves(history: pd.DataFrame, path: str | Path) -> None:
    """Loss and accuracy by epoch, training and validation, with the epoch whose weights were kept.

    Training figures are means over the epoch, with augmentation and dropout, so they may lie on the worse side.
    """
    best = history.loc[history["val_loss"].idxmin(), "epoch"]
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        axes.plot(history["epoch"], history[name], color=COLORS["train"], marker=".", label="train (augmented)")
        axes.plot(history["epoch"], history[f"val_{name}"], color=COLORS["test"], marker=".", label="validation")
        axes.axvline(best, color="gray", linestyle=":", label=f"kept: epoch {best:.0f}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


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
        figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
        _draw_matrix(axes, *_matrix(predictions, class_names), list(names.values()))
    else:
        figure = plt.figure(figsize=(9, 10.5), layout="constrained")
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[6, 1]).ravel()
        axes = above.subplots()
        shown = _most_confused(errors, class_names)
        shown = _by_similarity(predictions, shown) if len(errors) else shown
        _draw_matrix(axes, *_matrix(predictions, shown), [names[label] for label in shown])
        which = "those that are confused most" if len(errors) else "the first ones"
        title += f"\nshown: {len(shown)} of {len(class_names):,} classes, {which}"
        _draw_lists(below, _worst(predictions, errors, names))
    axes.set_title(title)
    _save(figure, path)


def _draw_bars(counts: pd.DataFrame, path: str | Path) -> None:
    """A stacked bar a class."""
    figure, axes = plt.subplots(figsize=(7, max(2.0, 0.3 * len(counts) + 1)), layout="constrained")
    rows, left = np.arange(len(counts)), np.zeros(len(counts))
    for name in counts.columns:
        axes.barh(rows, counts[name], left=left, color=COLORS[name], label=f"{name} ({counts[name].sum():,})")
        left += counts[name].to_numpy()
    axes.set_yticks(rows, counts.index)
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="images", ylabel=_class_axis("class", counts.index))
    axes.set_title(f"{int(left.sum()):,} images, by class and split")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def _draw_by_size(counts: pd.DataFrame, path: str | Path) -> None:
    """The sizes of the classes, the largest first; their fractions in each split; and the extremes by name."""
    splits = list(counts.columns)
    # Of classes of one size those with fewer training images come last.
    counts = counts.assign(size=counts.sum(axis=1)).sort_values(["size", *splits], ascending=False, kind="stable")
    sizes, edges = counts["size"].to_numpy(), np.arange(len(counts) + 1)
    to_largest = f" to {sizes[0]:,}" if sizes[0] > sizes[-1] else ""
    figure = plt.figure(figsize=(7, 7.5), layout="constrained")
    panels, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[4, 1]).ravel()
    above, middle = panels.subplots(2, 1)
    above.stairs(sizes, edges, fill=True, baseline=0.8, color="#999999")
    above.set(yscale="log", ylim=(0.8, 1.5 * sizes.max()), ylabel="images of the class")
    above.set_title(f"{sizes.sum():,} images in {len(counts):,} classes of {sizes[-1]:,}{to_largest}")
    above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if sizes[0] < 1000 else (1,)))
    above.yaxis.set_major_formatter("{x:,.0f}")
    above.yaxis.set_minor_formatter("")  # matplotlib's own is mathtext
    bottom = np.zeros(len(counts))
    for name in splits:
        top = bottom + counts[name].to_numpy() / sizes
        label = f"{name} ({counts[name].sum():,}, {100 * counts[name].sum() / sizes.sum():.1f} %)"
        middle.stairs(top, edges, fill=True, baseline=bottom, color=COLORS[name], label=label)
        bottom = top
    middle.set(ylim=(0, 1), ylabel="fraction of the class", xlabel="classes, from the largest to the smallest")
    for axes in (above, middle):
        axes.set_xlim(0, len(counts))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="y", alpha=0.3)
    lines = [f"{row[0]}: " + " + ".join(f"{count:,}" for count in row[1:-1]) for row in counts.itertuples()]
    headings = (f"largest ({' + '.join(splits)} images)", _class_axis("smallest", counts.index))
    _draw_lists(below, dict(zip(headings, (lines[:NUM_LISTED], lines[: -NUM_LISTED - 1 : -1]), strict=True)))
    panels.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def _matrix(predictions: pd.DataFrame, shown: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Counts (true, predicted) of the shown classes; and the same as fractions of all images of the true class."""
    inside = predictions[predictions["label"].isin(shown) & predictions["predicted"].isin(shown)]
    pairs = inside.groupby(["label", "predicted"]).size().unstack(fill_value=0)
    counts = pairs.reindex(index=shown, columns=shown, fill_value=0).to_numpy(int)
    totals = predictions["label"].value_counts().reindex(shown, fill_value=0).to_numpy()
    return counts, counts / np.maximum(totals, 1)[:, None]


def _draw_matrix(axes: plt.Axes, counts: np.ndarray, fractions: np.ndarray, names: list[str]) -> None:
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=_class_axis("predicted", names), ylabel=_class_axis("true", names))
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
            for (label, predicted), count in pairs.head(NUM_LISTED).items()
        ],
        "classes with the most errors": [
            f"{names[label]}: {count:,} of {totals[label]:,} images"
            for label, count in classes.head(NUM_LISTED).items()
        ],
    }


def _draw_lists(figure: SubFigure, lists: dict[str, list[str]]) -> None:
    """Lists beside each other, each below its heading."""
    for number, (heading, lines) in enumerate(lists.items()):
        text = "\n".join([heading, *(f"  {line}" for line in lines or ["none"])])
        figure.text(0.01 + number / len(lists), 1, text, va="top", linespacing=1.4, fontsize=8.5)


def _class_axis(text: str, names: Sequence[str]) -> str:
    """The label of an axis with class names, which says what their numbers are, if there are any."""
    return f"{text} ({fonts.NUMBERED})" if fonts.is_numbered(names) else text


def _save(figure: plt.Figure, path: str | Path) -> None:
    """As PNG without the date and version, so that the same figures give the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)
