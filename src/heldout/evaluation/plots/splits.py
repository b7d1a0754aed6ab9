"""Images by class and split."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator

from heldout.core import fonts
from heldout.evaluation.plots import style

MAX_BARS = 40  # classes with a bar each: 13 inches high


def class_by_split(counts: pd.DataFrame, path: str | Path) -> None:
    """How many images each class (rows) has in each split (columns): a bar a class, or where they are many, by size."""
    names = fonts.display_names([str(label) for label in counts.index])
    (_draw_bars if len(counts) <= MAX_BARS else _draw_by_size)(counts.set_axis(names), path)


def _draw_bars(counts: pd.DataFrame, path: str | Path) -> None:
    """A stacked bar a class."""
    figure, axes = style.plt.subplots(figsize=(7, max(2.0, 0.3 * len(counts) + 1)), layout="constrained")
    rows, left = np.arange(len(counts)), np.zeros(len(counts))
    for name in counts.columns:
        axes.barh(rows, counts[name], left=left, color=style.COLORS[name], label=f"{name} ({counts[name].sum():,})")
        left += counts[name].to_numpy()
    axes.set_yticks(rows, counts.index)
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="images", ylabel=style.class_axis("class", counts.index))
    axes.set_title(f"{int(left.sum()):,} images, by class and split")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    style.save(figure, path)


def _draw_by_size(counts: pd.DataFrame, path: str | Path) -> None:
    """The sizes of the classes, the largest first; their fractions in each split; and the extremes by name."""
    splits = list(counts.columns)
    # Of classes of one size those with fewer training images come last.
    counts = counts.assign(size=counts.sum(axis=1)).sort_values(["size", *splits], ascending=False, kind="stable")
    sizes, edges = counts["size"].to_numpy(), np.arange(len(counts) + 1)
    to_largest = f" to {sizes[0]:,}" if sizes[0] > sizes[-1] else ""
    figure = style.plt.figure(figsize=(7, 7.5), layout="constrained")
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
        middle.stairs(top, edges, fill=True, baseline=bottom, color=style.COLORS[name], label=label)
        bottom = top
    middle.set(ylim=(0, 1), ylabel="fraction of the class", xlabel="classes, from the largest to the smallest")
    for axes in (above, middle):
        axes.set_xlim(0, len(counts))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="y", alpha=0.3)
    lines = [f"{row[0]}: " + " + ".join(f"{count:,}" for count in row[1:-1]) for row in counts.itertuples()]
    headings = (f"largest ({' + '.join(splits)} images)", style.class_axis("smallest", counts.index))
    style.draw_lists(
        below, dict(zip(headings, (lines[: style.NUM_LISTED], lines[: -style.NUM_LISTED - 1 : -1]), strict=True))
    )
    panels.legend(loc="outside lower center", ncols=3, frameon=False)
    style.save(figure, path)
