"""The pictures that a reviewer looks at: images by class and split, learning curves, the confusion matrix."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from heldout.core.atomic import replacing

matplotlib.rcdefaults()  # a person's matplotlibrc would give other bytes
COLORS = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}  # Tol's bright scheme, safe for color-blind eyes
MAX_LABELED_CLASSES = 20  # the numbers in a larger matrix could not be read


def class_by_split(counts: pd.DataFrame, path: str | Path) -> None:
    """Stacked bars: how many images each class (rows) has in each split (columns)."""
    figure, axes = plt.subplots(figsize=(7, max(2.0, 0.3 * len(counts) + 1)), layout="constrained")
    left = np.zeros(len(counts))
    for name in counts.columns:
        axes.barh(counts.index, counts[name], left=left, color=COLORS[name], label=f"{name} ({counts[name].sum():,})")
        left += counts[name].to_numpy()
    axes.invert_yaxis()
    axes.set(xlabel="images", ylabel="class", title=f"{int(left.sum()):,} images, by class and split")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def curves(history: pd.DataFrame, path: str | Path) -> None:
    """Loss and accuracy by epoch, training and validation, with the epoch whose weights were kept.

    Training figures are means over the epoch, with augmentation and dropout, so they may lie on the worse side.
    """
    best = history.loc[history["val_loss"].idxmin(), "epoch"]
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        axes.plot(history["epoch"], history[name], color=COLORS["train"], marker=".", label="train (augmented)")
        axes.plot(history["epoch"], history[f"val_{name}"], color=COLORS["test"], marker=".", label="validation")
        axes.axvline(best, color="grey", linestyle=":", label=f"kept: epoch {best:.0f}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def confusion(predictions: pd.DataFrame, class_names: list[str], path: str | Path) -> None:
    """The confusion matrix: rows are true classes; the color is the fraction of the row, the number the count."""
    counts = confusion_matrix(predictions["label"], predictions["predicted"], labels=class_names)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(14.0, max(4.5, 0.5 * len(class_names) + 2))
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set_xticks(ticks, class_names, rotation=90 if max(map(len, class_names)) > 3 else 0)
    axes.set_yticks(ticks, class_names)
    correct = int(np.trace(counts))
    axes.set(xlabel="predicted", ylabel="true", title=f"{correct} of {counts.sum()} test images correct")
    if len(class_names) <= MAX_LABELED_CLASSES:
        for row, column in zip(*np.nonzero(counts), strict=True):
            color = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=color)
    figure.colorbar(image, ax=axes, label="fraction of the true class", shrink=0.8)
    _save(figure, path)


def _save(figure: plt.Figure, path: str | Path) -> None:
    """As PNG without the date and version, so that the same figures give the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)
