"""What all pictures share: colors, the font's limits, lists of extremes, and how a figure is written."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import SubFigure

from heldout.core import fonts
from heldout.core.atomic import replacing

matplotlib.rcdefaults()  # a person's matplotlibrc would give other bytes
matplotlib.rcParams["text.parse_math"] = False  # a class may be called cat$dog$
COLORS = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}  # Tol's bright scheme, safe for color-blind eyes
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
