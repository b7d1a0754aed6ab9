"""The differences of further metrics on the same images: paired bootstrap over images, or over groups."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from heldout.evaluation import calibration, metrics
from heldout.evaluation.significance.paired_tests import ALPHA

SAMPLES = 2000
SEED = 0
EMPTY = pd.DataFrame(columns=["metric", "base", "head", "difference", "low", "high"])
SIDES = ("base", "head")
CLASS_SCORES = ("balanced_accuracy", "macro_f1")
ORDER = ("log_loss", "balanced_accuracy", "macro_f1", "expected_calibration_error")  # then top-k, then once calibrated


class Bins(NamedTuple):
    """The images of a side by confidence: the bin of each, (n,), and by how far each misses its confidence, (n,)."""

    of_image: np.ndarray
    differences: np.ndarray


def differences(common: pd.DataFrame, groups: np.ndarray, top_k: int = 5) -> pd.DataFrame:
    """One row a metric with the difference's 95 % interval.

    They are log loss, top-k accuracy, balanced accuracy, macro F1 and the expected calibration error; and, where both
    sides were calibrated, log loss and calibration error of the calibrated probabilities.

    The percentile bootstrap (Efron 1979) draws images, or whole groups, and gives both sides the same ones, so that
    what they share cancels.

    Args:
        common: of `exam.match`.
        groups: the number of each image's group, (n,), from 0.
        top_k: k of the top-k accuracy, which is left out where there are no more classes, or a side has no ranks.
    """
    index = pd.Index(sorted({*common["label"], *common["predicted_base"], *common["predicted_head"]}))
    label = index.get_indexer(common["label"])
    predicted = [index.get_indexer(common[f"predicted_{side}"]) for side in SIDES]
    means = _by_image(common, top_k if len(index) > top_k else 0)
    binned = _by_confidence(common)
    samples: dict[str, list] = {name: [] for name in (*means, *CLASS_SCORES, *binned)}
    for weights in _draws(groups):
        for name, values in means.items():
            samples[name].append([float(weights @ side / weights.sum()) for side in values])
        scores = [_class_scores(label, side, weights, len(index)) for side in predicted]
        for name, pair in zip(CLASS_SCORES, zip(*scores, strict=True), strict=True):
            samples[name].append(pair)
        for name, sides in binned.items():
            samples[name].append([_bin_sums(side, weights) for side in sides])
    for name in binned:
        samples[name] = list(zip(*map(_calibration_errors, zip(*samples[name], strict=True)), strict=True))
    order = [name for name in ORDER if name in samples] + [name for name in samples if name not in ORDER]
    return pd.DataFrame([_row(name, np.array(samples[name])) for name in order], columns=EMPTY.columns)


def _by_image(common: pd.DataFrame, top_k: int) -> dict[str, list[np.ndarray]]:
    """The metrics that are means over images: each image's share of them, on either side."""
    values = {}
    for prefix in _prefixes(common):
        columns = [common[f"{prefix}label_probability_{side}"].to_numpy() for side in SIDES]
        values[f"{prefix}log_loss"] = [-np.log(np.maximum(column, metrics.SMALLEST)) for column in columns]
    if top_k and {f"label_rank_{side}" for side in SIDES} <= set(common):  # predictions before 0.3 had none
        values[f"top_{top_k}_accuracy"] = [(common[f"label_rank_{side}"] <= top_k).to_numpy(float) for side in SIDES]
    return values


def _by_confidence(common: pd.DataFrame) -> dict[str, list[Bins]]:
    """The bins of `calibration.calibration_error` of either side, which every sample keeps."""
    result = {}
    for prefix in _prefixes(common):
        sides = []
        for side in SIDES:
            confidence = common[f"{prefix}confidence_{side}"].to_numpy()
            correct = (common[f"predicted_{side}"] == common["label"]).to_numpy()
            sides.append(Bins(calibration.equal_bins(confidence), correct - confidence))
        result[f"{prefix}expected_calibration_error"] = sides
    return result


def _prefixes(common: pd.DataFrame) -> list[str]:
    """Of the columns' names: those of calibrated probabilities count where both sides have them."""
    return ["", *(["calibrated_"] if {f"calibrated_confidence_{side}" for side in SIDES} <= set(common) else [])]


def _bin_sums(bins: Bins, weights: np.ndarray) -> np.ndarray:
    """The images of each bin, and the sum of their differences: (2, bins)."""
    count = int(bins.of_image.max()) + 1
    return np.array([np.bincount(bins.of_image, values, count) for values in (weights, weights * bins.differences)])


def _calibration_errors(sums: tuple[np.ndarray, ...]) -> np.ndarray:
    """The expected calibration error of each sample, (samples,), the first of which is the images as they are.

    The squares of the bins' mean differences are freed of what noise adds to them (Kumar 2019): once of the exam's own,
    which is as large as that of the samples; in a sample a second time, of the drawing.
    """
    counts, totals = np.array(sums).transpose(1, 0, 2)
    means = totals / np.maximum(counts, 1e-9)
    noise = ((means[1:] - means[0]) ** 2).mean(axis=0)
    times = np.concatenate([[1], np.full(len(means) - 1, 2)])[:, None]
    squares = (counts * (means**2 - times * noise)).sum(axis=1) / counts.sum(axis=1)
    return np.sqrt(np.maximum(squares, 0))


def _class_scores(label: np.ndarray, predicted: np.ndarray, weights: np.ndarray, count: int) -> tuple[float, float]:
    """Balanced accuracy, the mean recall of the classes among the labels; macro F1, over those that occur at all."""
    labels = np.bincount(label, weights, count)
    occurring = labels + np.bincount(predicted, weights, count)
    right = np.bincount(label, weights * (label == predicted), count)
    recall = right[labels > 0] / labels[labels > 0]
    return float(recall.mean()), float((2 * right[occurring > 0] / occurring[occurring > 0]).mean())


def _row(name: str, pairs: np.ndarray) -> tuple[str, float, float, float, float, float]:
    """The first sample is the images as they are."""
    change = pairs[:, 1] - pairs[:, 0]
    low, high = np.quantile(change[1:], [ALPHA / 2, 1 - ALPHA / 2])
    # A calibration error in samples and in the exam are two estimates: the interval holds the difference that is shown.
    low, high = min(low, change[0]), max(high, change[0])
    return name, float(pairs[0, 0]), float(pairs[0, 1]), float(change[0]), float(low), float(high)


def _draws(groups: np.ndarray) -> Iterator[np.ndarray]:
    """How often a sample has each image, (n,): once, then as drawn with replacement, group by group."""
    size = int(groups.max()) + 1
    generator = np.random.default_rng(SEED)
    yield np.ones(len(groups))
    for _ in range(SAMPLES):
        yield np.bincount(generator.integers(0, size, size), minlength=size)[groups].astype(float)
