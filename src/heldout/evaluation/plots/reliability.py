"""The reliability diagram: whether a confidence of 0.8 is right 8 times in 10."""

import math
from pathlib import Path

import pandas as pd

from heldout.evaluation.plots import style

TITLES = {"before": "as trained", "after": "after temperature scaling"}


def reliability(table: pd.DataFrame, errors: dict[str, float], path: str | Path) -> None:
    """Accuracy by confidence before and after temperature scaling, each bin with its interval.

    Both axes begin where the lowest bin does: most bins of a good network lie close to 1.

    Args:
        table: of metrics/reliability.csv: when (before, after), confidence, accuracy, accuracy_low, accuracy_high.
        errors: the expected calibration error by `when`.
        path: the PNG.
    """
    lowest = table[["confidence", "accuracy_low"]].min().min()
    low = max(0.0, math.floor(10 * lowest - 0.2) / 10)
    figure, panels = style.plt.subplots(1, 2, figsize=(style.WIDTH, 4.4), layout="constrained", sharey=True)
    for axes, (when, title), color in zip(panels, TITLES.items(), (style.BRIGHT[1], style.BRIGHT[0]), strict=True):
        bins = table[table["when"] == when].sort_values("confidence")
        axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="confidence = accuracy")
        axes.vlines(bins["confidence"], bins["accuracy_low"], bins["accuracy_high"], color="#777777", linewidth=1.5)
        axes.plot(bins["confidence"], bins["accuracy"], "o-", color=color, markersize=5, linewidth=1)
        margin = 0.03 * (1 - low)
        axes.set(xlim=(low - margin, 1 + margin), ylim=(low - margin, 1 + margin), box_aspect=1, xlabel="confidence")
        axes.set_title(f"{title}\nexpected calibration error {errors[when]:.4f}", fontsize=11)
        axes.text(0.04, 0.95, "too modest", transform=axes.transAxes, color="#555555", va="top")
        axes.text(0.96, 0.05, "overconfident", transform=axes.transAxes, color="#555555", ha="right")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy of the bin, with its 95 % interval")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", frameon=False)
    style.save(figure, path)
