"""The learning curves."""

from pathlib import Path

import pandas as pd

from heldout.evaluation.plots import style


def curves(history: pd.DataFrame, path: str | Path) -> None:
    """Loss and accuracy by epoch, training and validation, with the epoch whose weights were kept.

    Training figures are means over the epoch, with augmentation and dropout, so they may lie on the worse side.
    """
    best = history.loc[history["val_loss"].idxmin(), "epoch"]
    figure, panels = style.plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        axes.plot(history["epoch"], history[name], color=style.COLORS["train"], marker=".", label="train (augmented)")
        axes.plot(history["epoch"], history[f"val_{name}"], color=style.COLORS["test"], marker=".", label="validation")
        axes.axvline(best, color="gray", linestyle=":", label=f"kept: epoch {best:.0f}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    style.save(figure, path)
