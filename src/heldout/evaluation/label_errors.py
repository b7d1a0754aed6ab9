"""Labels that are worth a second look: a ranked list, with the precision to expect at each of its lengths.

Confident learning (Northcutt et al. 2021) compares labels with predictions that never saw them. Its confident joint, of
the images above a threshold a class, flags clean labels where the model is unsure. Here the fraction of wrong labels is
fitted together with the model's calibration, by maximum likelihood:

    P(label | image) = sum of weight_t q_t(label | image) + noise (1 - q(label | image)) / (num_classes - 1)

where q_t are the model's probabilities at several temperatures, since no single one fits a model that is now and then
confidently wrong, and q at the best single one. A wrong label is as likely to be any other class. The probability that
a label is wrong follows by Bayes's rule, and the expected precision of a list is its mean.
benchmarks/label_errors.py plants errors and puts it beside the confident joint.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize

from heldout.data import manifest
from heldout.evaluation import calibration, metrics, probabilities
from heldout.evaluation.probabilities import Probabilities

MAX_LISTED = 100  # a split: what a person looks through
MIN_IMAGES = 30  # with fewer the fit is noise
MAX_NOISE = 0.5  # beyond it the model is wrong, not the labels
MIN_GAIN = 2.0  # nats of all labels together
FIT_IMAGES, FIT_CELLS = 10_000, 5_000_000  # images and probabilities of the fit: of more images evenly spaced ones
GRID, NEIGHBORS = 15, 3  # temperatures within calibration's range, each 1.5 of the one before; those mixed, either way
MAX_STEPS, TOLERANCE = 500, 1e-6
COLUMNS = [
    *("split", "rank", "id", "path", "label", "suggested", "label_probability", "suggested_probability"),
    "expected_precision",
]


class LabelModel(NamedTuple):
    """How labels come about: temperatures (m,), one of which is the reference of the noise, with their weights; and the
    fraction of wrong labels, NaN where it cannot be told. The weights and the fraction have the sum 1."""

    temperatures: np.ndarray
    weights: np.ndarray
    reference: int
    noise: float


def suspects(
    predicted: dict[str, Probabilities], manifests: dict[str, pd.DataFrame], class_names: list[str]
) -> pd.DataFrame:
    """The labels of each split that are most probably wrong, up to MAX_LISTED of them, those that are surest first.

    Listed are images whose label is not the predicted class. Near-duplicates with different labels are listed, too:
    all but one of such labels are wrong. Of train, whose images the model has seen, there is nothing else to be said.

    Args:
        predicted: out of sample, of val and test.
        manifests: of train, val and test; the column cluster counts where it is there.
        class_names: by number.

    Returns:
        split, rank (from 1), id, path, label, suggested class, label_probability and suggested_probability (the
        model's; NaN for train), expected_precision: which fraction of the list up to here is expected to be wrong (NaN
        where the images are too few to tell, or the model is worse than the labels could be).

    Raises:
        ValueError: where predictions and manifests are not of the same images.
    """
    labels = {name: probabilities.class_numbers(split, class_names) for name, split in predicted.items()}
    model = fit([split.values for split in predicted.values()], list(labels.values()))
    conflicts = _conflicts(manifests)
    parts = []
    for name, rows in manifests.items():
        if name not in predicted:
            parts.append(_of_conflicts(name, manifest.in_order(rows), conflicts))
        else:
            rows = manifest.match(rows, predicted[name].ids, "the predictions", f"data/splits/{name}.csv")
            parts.append(_of_split(name, rows, predicted[name].values, labels[name], class_names, model, conflicts))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def fit(values: list[np.ndarray], labels: list[np.ndarray]) -> LabelModel:
    """The calibration and the fraction of wrong labels under which the labels are likeliest.

    Labels count as wrong only where this raises the log likelihood by MIN_GAIN.

    Args:
        values: probabilities (n, num_classes) of each split.
        labels: class numbers (n,) of each split.
    """
    num_images, num_classes = sum(map(len, labels)), values[0].shape[1]
    if num_images < MIN_IMAGES:
        return LabelModel(np.ones(1), np.ones(1), 0, math.nan)
    step = math.ceil(num_images / min(FIT_IMAGES, max(1, FIT_CELLS // num_classes)))
    chosen, numbers = (
        np.concatenate([part[::step] for part in values]),
        np.concatenate([part[::step] for part in labels]),
    )
    grid = np.geomspace(*calibration.TEMPERATURES, GRID)
    own = label_probabilities(chosen, numbers, grid)
    best = int(np.argmax([_best_of_two(column, _noise_of(column, num_classes)) for column in own.T]))
    near = slice(max(best - NEIGHBORS, 0), best + NEIGHBORS + 1)
    clean, without = _mixture(own[:, near])
    weights, likelihood = _mixture(np.column_stack([own[:, near], _noise_of(own[:, best], num_classes)]))
    if likelihood - without < MIN_GAIN:
        weights = np.append(clean, 0.0)
    noise = float(weights[-1])
    return LabelModel(grid[near], weights[:-1], best - near.start, math.nan if noise >= MAX_NOISE else noise)


def wrong_probability(model: LabelModel, own: np.ndarray, num_classes: int) -> np.ndarray:
    """The probability that each label is wrong, by Bayes's rule, (n,).

    Args:
        model: of known noise.
        own: of `label_probabilities` at the model's temperatures.
        num_classes: how many there are.
    """
    noise = model.noise * _noise_of(own[:, model.reference], num_classes)
    return noise / (noise + own @ model.weights)


def label_probabilities(values: np.ndarray, numbers: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """The probability of each image's class at each temperature, float (n, len(temperatures)), above 0.

    Args:
        values: probabilities (n, num_classes).
        numbers: class numbers (n,).
        temperatures: (m,).
    """
    result = np.empty((len(numbers), len(temperatures)))
    for rows in calibration.chunk_rows(*values.shape):
        logits = np.log(np.maximum(values[rows].astype(float), calibration.SMALLEST))
        logits -= logits.max(axis=1, keepdims=True)
        mine = logits[np.arange(len(logits)), numbers[rows]]
        for column, temperature in enumerate(temperatures):
            result[rows, column] = np.exp(mine / temperature) / np.exp(logits / temperature).sum(axis=1)
    return np.maximum(result, calibration.SMALLEST)


def describe(table: pd.DataFrame) -> str:
    """What to expect of the lists of `suspects`, in words."""
    parts = []
    for name in ("val", "test"):
        precision = table.loc[table["split"] == name, "expected_precision"].to_numpy()
        if not len(precision):
            parts.append(f"none in {name}")
        elif np.isnan(precision[0]):
            parts.append(f"{len(precision)} in {name}, of unknown precision")
        else:
            parts.append(f"{len(precision)} in {name}, of which {precision[-1]:.0%} are expected to be wrong")
    contradictory = int((table["split"] == "train").sum())
    duplicates = f" but for {contradictory} near-duplicates with different labels" if contradictory else ""
    return f"label suspects: {', '.join(parts)}; none of train{duplicates}: the model has seen its labels"


def _noise_of(own: np.ndarray, num_classes: int) -> np.ndarray:
    """The probability of each label if it is wrong, and so any class but the true one."""
    return (1 - own) / (num_classes - 1)


def _best_of_two(own: np.ndarray, other: np.ndarray) -> float:
    """The log likelihood of the best mixture of two components, (n,) each."""

    def likelihood(weight: float) -> float:
        return float(np.log(own + weight * (other - own)).sum())

    return likelihood(optimize.minimize_scalar(lambda weight: -likelihood(weight), bounds=(0, 1), method="bounded").x)


def _mixture(components: np.ndarray) -> tuple[np.ndarray, float]:
    """The weights of components (n, m) under which the rows are likeliest, by expectation maximization; it is concave.

    Returns the weights (m,) and the log likelihood.
    """
    weights = np.full(components.shape[1], 1 / components.shape[1])
    for _ in range(MAX_STEPS):
        parts = components * weights
        update = (parts / parts.sum(axis=1, keepdims=True)).mean(axis=0)
        change, weights = np.abs(update - weights).max(), update
        if change < TOLERANCE:
            break
    return weights, float(np.log(components @ weights).sum())


def _conflicts(manifests: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The labels of each cluster of near-duplicates that has more than one."""
    parts = [rows[["label", "cluster"]] for rows in manifests.values() if "cluster" in rows]
    rows = pd.concat([pd.DataFrame({"label": [], "cluster": []}, dtype=object), *parts])
    labels = rows[rows["cluster"] != ""].groupby("cluster")["label"].unique()
    return {str(cluster): sorted(several) for cluster, several in labels.items() if len(several) > 1}


def _of_conflicts(name: str, rows: pd.DataFrame, conflicts: dict[str, list[str]]) -> pd.DataFrame:
    """Of a split without predictions: the near-duplicates with different labels."""
    rows = rows[rows["cluster"].isin(list(conflicts))] if "cluster" in rows else rows[:0]
    others = [conflicts[row.cluster] for row in rows.itertuples()]
    suggested = [
        next(other for other in labels if other != label) for labels, label in zip(others, rows["label"], strict=True)
    ]
    wrong = np.array([1 - 1 / len(labels) for labels in others])
    columns = {"suggested": suggested, "label_probability": math.nan, "suggested_probability": math.nan}
    return _ranked(name, rows.assign(**columns), wrong)


def _of_split(
    name: str,
    rows: pd.DataFrame,
    values: np.ndarray,
    labels: np.ndarray,
    class_names: list[str],
    model: LabelModel,
    conflicts: dict[str, list[str]],
) -> pd.DataFrame:
    """The ranked list of a split, of its rows in the order of the values."""
    names, at = np.array(class_names, object), np.arange(len(labels))
    suggested = np.concatenate([values[chunk].argmax(axis=1) for chunk in calibration.chunk_rows(*values.shape)])
    listed, wrong = suggested != labels, np.zeros(len(labels))
    known = not math.isnan(model.noise)
    own = label_probabilities(values[listed], labels[listed], model.temperatures)
    # Of unknown noise the order is all that there is.
    wrong[listed] = wrong_probability(model if known else model._replace(noise=0.5), own, len(names))
    clusters = rows["cluster"].tolist() if "cluster" in rows else [""] * len(rows)
    for row in [row for row, cluster in enumerate(clusters) if cluster in conflicts]:
        others = pd.Index(class_names).get_indexer(conflicts[clusters[row]])
        among = values[row, others].astype(float) + calibration.SMALLEST
        wrong[row] = max(wrong[row], 1 - among[others == labels[row]].sum() / among.sum())
        among[others == labels[row]] = -1
        suggested[row], listed[row] = others[among.argmax()], True
    chosen = np.flatnonzero(listed)
    columns = {
        "suggested": names[suggested],
        "label_probability": values[at, labels],
        "suggested_probability": values[at, suggested],
    }
    ranked = _ranked(name, rows.assign(**columns).iloc[chosen], wrong[chosen])
    return ranked if known else ranked.assign(expected_precision=math.nan)


def _ranked(name: str, rows: pd.DataFrame, wrong: np.ndarray) -> pd.DataFrame:
    """The rows of highest probability to be wrong, with the mean of it up to each."""
    order = np.lexsort((rows["label"], rows["id"], rows["label_probability"], -wrong))[:MAX_LISTED]
    means = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    rows = rows.iloc[order].assign(split=name, rank=np.arange(1, len(order) + 1), expected_precision=means.round(6))
    shortened = {side: metrics.round_significant(rows[side]) for side in ("label_probability", "suggested_probability")}
    return rows.assign(**shortened)[COLUMNS]
