"""The slices of the test images with the lowest accuracy, against that of all."""

from pathlib import Path

import pandas as pd

from heldout.core import fonts
from heldout.evaluation.plots import style

MAX_ROWS = 25
COLORS = {True: style.BRIGHT[1], False: "#888888"}
MEANINGS = {True: "below the rest, after correction for how many were looked at", False: "may be chance"}


def slices(table: pd.DataFrame, accuracy: float, path: str | Path) -> None:
    """A row a slice, in the order of the table: its accuracy with its interval, against that of all test images.

    Args:
        table: of metrics/slices.csv, worst first: slice, value, images, accuracy, accuracy_low, accuracy_high, flagged
            (bool).
        accuracy: of all test images.
        path: the PNG.
    """
    names = pd.Series("", table.index)
    for slice_name, rows in table.groupby("slice", sort=False):
        values = fonts.display_names(rows["value"].tolist())
        names[rows.index] = [f"{str(slice_name).replace('_', ' ')}: {value}" for value in values]
    shown = table.head(MAX_ROWS)
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, style.rows_height(len(shown)) + 0.5), layout="constrained")
    overall = axes.axvline(accuracy, color="black", linestyle=":")
    for flagged, color in COLORS.items():
        rows = [row for row, is_flagged in enumerate(shown["flagged"]) if is_flagged == flagged]
        part = shown.iloc[rows]
        axes.hlines(rows, part["accuracy_low"], part["accuracy_high"], color=color, linewidth=2)
        axes.plot(part["accuracy"], rows, "D" if flagged else "o", color=color, label=MEANINGS[flagged])
    style.name_rows(axes, names[shown.index].tolist(), [f"{count:,.0f}" for count in shown["images"]], "images")
    low = shown["accuracy_low"].min() if len(shown) else 0
    axes.set(xlim=style.limits(low), xlabel="accuracy with its 95 % interval")
    if any("#" in name for name in names[shown.index]):
        axes.set_ylabel("#n: the nth value of the slice in slices.csv")
    which = f"the {MAX_ROWS} worst of {len(table):,}" if len(table) > MAX_ROWS else f"all {len(table)}"
    axes.set_title(f"Accuracy by slice: {which}" if len(table) else "No slice has enough images")
    handles, texts = axes.get_legend_handles_labels()
    texts = [f"all test images: {accuracy:.3f}", *texts]
    figure.legend([overall, *handles], texts, loc="outside lower center", frameon=False, fontsize=9)
    style.save(figure, path)
