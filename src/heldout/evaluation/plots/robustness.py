"""Accuracy under corruptions of growing strength."""

from pathlib import Path

import pandas as pd

from heldout.evaluation.plots import style


def robustness(table: pd.DataFrame, accuracy: float, path: str | Path) -> None:
    """A curve a corruption, from the accuracy of the images as they are (strength 0).

    Args:
        table: corruption, strength (1 to 5), accuracy.
        accuracy: of the test images as they are.
        path: the PNG.
    """
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 4.2 if len(table) else 1.5), layout="constrained")
    ends = table.sort_values("strength").groupby("corruption")["accuracy"].last().sort_values(ascending=False)
    for number, name in enumerate(ends.index):
        rows = table[table["corruption"] == name].sort_values("strength")
        color, marker = style.BRIGHT[number % 7], style.MARKERS[number % 7]
        label = f"{name.replace('_', ' ')} ({ends[name]:.2f})"
        axes.plot([0, *rows["strength"]], [accuracy, *rows["accuracy"]], color=color, marker=marker, label=label)
    axes.set(ylim=(-0.02, 1.02), xlabel="strength (0: as they are)", ylabel="accuracy of the test images")
    axes.set_xticks(range(1 + int(table["strength"].max() if len(table) else 0)))
    axes.set_title("Accuracy under corruption" if len(table) else "No corruption was tried")
    axes.grid(alpha=0.3)
    if len(table):
        figure.legend(loc="outside right center", frameon=False, title="(accuracy at the last)")
    else:
        axes.set_axis_off()  # its labels would be cut at this height
    style.save(figure, path)
