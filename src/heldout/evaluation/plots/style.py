"""What all pictures share: colors, the font's limits, lists of extremes, and how a figure is written."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import SubFigure

from heldout.core import fonts
from heldout.core.atomic import replacing

matplotlib.rcdefaults()  # a person's matplotlibrc would give other bytes
matplotlib.rcParams["text.parse_math"] = False  # a class may be called cat$dog$
COLORS = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}  # Tol's bright scheme, safe for color-blind eyes
BRIGHT = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")  # all of it
MARKERS = "os^Dv*P"  # one beside each color, for print without colors
WIDTH = 20 / 3  # inches: 800 pixels
NUM_LISTED = 8  # lines in a list of extremes


def draw_lists(figure: SubFigure, lists: dict[str, list[str]]) -> None:
    """Lists beside each other, each below its heading."""
    for number, (heading, lines) in enumerate(lists.items()):
        text = "\n".join([heading, *(f"  {line}" for line in lines or ["none"])])
        figure.text(0.01 + number / len(lists), 1, text, va="top", linespacing=1.4, fontsize=8.5)


def class_axis(text: str, names: Sequence[str]) -> str:
    """The label of an axis with class names, which says what their numbers are, if there are any."""
    return f"{text} ({fonts.NUMBERED})" if fonts.is_numbered(names) else text


def save(figure: plt.Figure, path: str | Path) -> None:
    """As PNG without the date and version, so that the same figures give the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)


def rows_height(count: int) -> float:
    """Inches of a figure with `count` rows of text, one below another, its title, axis and legend."""
    return max(2.4, 0.27 * count + 1.3)


def draw_intervals(axes: plt.Axes, values: np.ndarray, low: np.ndarray, high: np.ndarray, color: str) -> None:
    """A row of a dot and its interval each, from the top."""
    rows = np.arange(len(values))
    axes.hlines(rows, low, high, color=color, linewidth=2)
    axes.plot(values, rows, "o", color=color)


def limits(lowest: float) -> tuple[float, float]:
    """Of an axis of fractions that shows `lowest` and 1."""
    low = max(0.0, lowest - 0.05)
    margin = 0.02 * (1 - low)
    return low - margin, 1 + margin


def name_rows(axes: plt.Axes, names: Sequence[str], notes: Sequence[str], heading: str) -> None:
    """The names of rows on their left, a note to each on their right, below its heading."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(notes)), notes)
    right.tick_params(length=0)
    axes.text(1.01, 1, heading, transform=axes.transAxes, va="bottom", color="#555555")
    axes.grid(axis="x", alpha=0.3)
