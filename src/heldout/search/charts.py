"""The pictures of a search: best so far, the Pareto front, importances, and a slice a key."""

import io

import numpy as np
import pandas as pd

from heldout.evaluation.plots import style
from heldout.search.journal import Trial
from heldout.search.space import Range, Space

COLUMNS = 3  # of slices


def best_so_far(table: pd.DataFrame) -> bytes:
    """Of `summary.best_so_far`, as PNG."""
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 3.8), layout="constrained")
    for (method, rows), color, line in zip(
        table.groupby("method", sort=False), style.BRIGHT, ("-", "--", "-.", ":"), strict=False
    ):
        repeats = int(rows["repeats"].iloc[0])
        axes.plot(rows["cost"], rows["mean"], line, color=color, label=f"{method}, mean of {repeats}")
        axes.fill_between(rows["cost"], rows["low"], rows["high"].clip(upper=1), color=color, alpha=0.18, linewidth=0)
    axes.set(xlabel="epochs spent, of one search", ylabel="best accuracy, search part")
    axes.set_title("Best so far by what was spent (band: 95 % over repeats)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return _png(figure)


def pareto(trials: list[Trial], front: list[Trial], against: str) -> bytes:
    """Every complete trial by the size of its network, and the front, as PNG."""
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 3.8), layout="constrained")
    for number, method in enumerate(dict.fromkeys(trial.method for trial in trials)):
        shown = [t for t in trials if t.method == method and not t.failed and t.pruned_at is None]
        x, y = [getattr(trial, against) for trial in shown], [trial.val_accuracy for trial in shown]
        axes.plot(x, y, style.MARKERS[number], color=style.BRIGHT[number], alpha=0.7, label=method)
    x, y = [getattr(trial, against) for trial in front], [trial.val_accuracy for trial in front]
    axes.step(x, y, where="post", color="#333333", linewidth=1.2, label="front")
    axes.set(xscale="log", xlabel=f"{against.replace('_', '-')} (log)", ylabel="accuracy, search part")
    axes.set_title(f"Accuracy against {against.replace('_', '-')}")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return _png(figure)


def importances(values: dict[str, float]) -> bytes:
    """Of `summary.importances`, as PNG."""
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, style.rows_height(len(values)) - 0.5), layout="constrained")
    axes.barh(list(values), list(values.values()), color=style.BRIGHT[0])
    axes.invert_yaxis()
    axes.set(xlabel="part of the variance of the accuracy (fANOVA)", xlim=(0, 1))
    axes.set_title("Which keys mattered, over the space")
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def slices(trials: list[Trial], space: Space) -> bytes:
    """The accuracy of every trial by the value of each key, as PNG; what halving ended early is gray."""
    names = sorted(space)
    rows = -(-len(names) // COLUMNS)
    figure, grid = style.plt.subplots(
        rows, COLUMNS, figsize=(style.WIDTH, 2.2 * rows), layout="constrained", squeeze=False, sharey=True
    )
    for axes, name in zip(grid.flat, names, strict=False):
        _slice(axes, [trial for trial in trials if not trial.failed], name, space)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy")
    return _png(figure)


def _slice(axes: style.plt.Axes, trials: list[Trial], name: str, space: Space) -> None:
    entry = space[name]
    if isinstance(entry, Range):
        x = np.array([trial.params[name] for trial in trials], float)
        axes.set_xscale("log" if entry.log else "linear")
    else:
        x = np.array([entry.values.index(trial.params[name]) for trial in trials], float)
        axes.set_xlim(-0.5, len(entry.values) - 0.5)
        labels = [str(value).replace(" ", "") for value in entry.values]
        axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 6 else 0, fontsize=7)
    y = np.array([trial.val_accuracy for trial in trials])
    pruned = np.array([trial.pruned_at is not None for trial in trials], bool)
    axes.plot(x[pruned], y[pruned], "x", color="#999999", markersize=4)
    axes.plot(x[~pruned], y[~pruned], "o", color=style.BRIGHT[0], markersize=4, alpha=0.7)
    axes.set_title(name, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)


def _png(figure: style.plt.Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png", metadata={"Software": None})
    style.plt.close(figure)
    return buffer.getvalue()
