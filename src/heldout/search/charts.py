"""The pictures of a search: best so far, the Pareto front, importances, and a slice a key."""

import io

import numpy as np
import pandas as pd

from heldout.evaluation.plots import style
from heldout.search.journal import Trial
from heldout.search.space import Range, Space, varies

COLUMNS = 3  # of slices
AT_EDGE = "what is worse is at the lower edge"


def best_so_far(table: pd.DataFrame) -> bytes:
    """Of `summary.best_so_far`, as PNG."""
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 3.8), layout="constrained")
    for (method, rows), color, line in zip(
        table.groupby("method", sort=False), style.BRIGHT, ("-", "--", "-.", ":"), strict=False
    ):
        repeats = int(rows["repeats"].iloc[0])
        axes.step(rows["cost"], rows["mean"], line, where="post", color=color, label=f"{method}, mean of {repeats}")
        axes.fill_between(
            rows["cost"], rows["low"], rows["high"].clip(upper=1), color=color, alpha=0.18, linewidth=0, step="post"
        )
    axes.set(xlabel="epochs spent, of one search", ylabel="best accuracy, search part")
    later = table.loc[table["cost"] >= table["cost"].max() / 4, "mean"].min()
    bottom = max(0.0, 1 - 2 * (1 - later))
    axes.set_ylim(bottom, 1 + 0.05 * (1 - bottom))  # one bad first trial would leave the rest a line
    axes.set_title("Best so far by what was spent (band: 95 % over repeats)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return _png(figure)


def pareto(trials: list[Trial], front: list[Trial], against: str) -> bytes:
    """Every complete trial by the size of its network, and the front, as PNG."""
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, 3.8), layout="constrained")
    edge = _edge(trials)
    for number, method in enumerate(dict.fromkeys(trial.method for trial in trials)):
        shown = [t for t in trials if t.method == method and not t.failed and t.pruned_at is None]
        x, y = [getattr(trial, against) for trial in shown], [max(trial.val_accuracy, edge) for trial in shown]
        axes.plot(x, y, style.MARKERS[number], color=style.BRIGHT[number], alpha=0.7, label=method)
    x, y = [getattr(trial, against) for trial in front], [max(trial.val_accuracy, edge) for trial in front]
    axes.step(x, y, where="post", color="#333333", linewidth=1.2, label="front")
    axes.set(xlabel=against.replace("_", "-"), ylabel="accuracy, search part")
    _log_axis(axes, "{:,.0f}")
    axes.set_title(f"Accuracy against {against.replace('_', '-')} ({AT_EDGE})")
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
    """The accuracy of every trial that has a key by its value, as PNG; what halving ended early is gray."""
    names = [name for name, entry in sorted(space.items()) if varies(entry)]
    rows = -(-len(names) // COLUMNS)
    figure, grid = style.plt.subplots(
        rows, COLUMNS, figsize=(style.WIDTH, 2.2 * rows), layout="constrained", squeeze=False, sharey=True
    )
    for axes, name in zip(grid.flat, names, strict=False):
        _slice(axes, [trial for trial in trials if not trial.failed and name in trial.params], name, space)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy")
    figure.suptitle(f"Accuracy of every trial by the value of each key ({AT_EDGE})", fontsize=9)
    return _png(figure)


def _slice(axes: style.plt.Axes, trials: list[Trial], name: str, space: Space) -> None:
    entry = space[name]
    if isinstance(entry, Range):
        x = np.array([trial.params[name] for trial in trials], float)
        if entry.log:
            _log_axis(axes, "{:g}")
    else:
        x = np.array([entry.values.index(trial.params[name]) for trial in trials], float)
        axes.set_xlim(-0.5, len(entry.values) - 0.5)
        labels = [str(value).replace(" ", "") for value in entry.values]
        axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 6 else 0, fontsize=7)
    y = np.maximum([trial.val_accuracy for trial in trials], _edge(trials))
    pruned = np.array([trial.pruned_at is not None for trial in trials], bool)
    axes.plot(x[pruned], y[pruned], "x", color="#999999", markersize=4)
    axes.plot(x[~pruned], y[~pruned], "o", color=style.BRIGHT[0], markersize=4, alpha=0.7)
    axes.set_title(name, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)


def _edge(trials: list[Trial]) -> float:
    """The least accuracy that is drawn in its place: a few bad trials would press all others into a line."""
    values = [trial.val_accuracy for trial in trials if not trial.failed and trial.pruned_at is None]
    return max(0.0, 1 - 4 * (1 - float(np.median(values)))) if values else 0.0


def _log_axis(axes: style.plt.Axes, text: str) -> None:
    """A logarithmic axis with numbers as they are: without math text, powers of ten would show its commands."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: text.format(value))
    axes.xaxis.set_minor_formatter("")


def _png(figure: style.plt.Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png", metadata={"Software": None})
    style.plt.close(figure)
    return buffer.getvalue()
