"""The differences of further metrics on the same images: paired bootstrap over images, or over groups."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from heldout.evaluation import metrics
from heldout.evaluation.paired.paired_tests import ALPHA

SAMPLES = 2000
SEED = 0
EMPTY = pd.DataFrame(columns=["metric", "base", "head", "difference", "low", "high"])
SIDES = ("base", "head")


def differences(common: pd.DataFrame, groups: np.ndarray, top_k: int = 5) -> pd.DataFrame:
    """One row a metric: balanced accuracy, macro F1, top-k accuracy and log loss, with the difference's 95 % interval.

    The percentile bootstrap (Efron 1979) draws images, or whole groups, and gives both sides the same ones, so that
    what they share cancels.

    Args:
        common: of `exam.match`.
        groups: the number of each image's group, (n,), from 0.
        top_k: k of the top-k accuracy, which is left out where there are no more classes.
    """
    index = pd.Index(sorted({*common["label"], *common["predicted_base"], *common["predicted_head"]}))
    label = index.get_indexer(common["label"])
    predicted = [index.get_indexer(common[f"predicted_{side}"]) for side in SIDES]
    means = _by_image(common, top_k if len(index) > top_k else 0)
    samples: dict[str, list[list[float]]] = {}
    for weights in _draws(groups):
        for name, values in means.items():
            samples.setdefault(name, []).append([float(weights @ side / weights.sum()) for side in values])
        scores = [_class_scores(label, side, weights, len(index)) for side in predicted]
        for name, pair in zip(("balanced_accuracy", "macro_f1"), zip(*scores, strict=True), strict=True):
            samples.setdefault(name, []).append(list(pair))
    return pd.DataFrame([_row(name, np.array(pairs)) for name, pairs in samples.items()], columns=EMPTY.columns)


def _by_image(common: pd.DataFrame, top_k: int) -> dict[str, list[np.ndarray]]:
    """The metrics that are means over images: each image's share of them, on either side."""
    probabilities = [np.maximum(common[f"label_probability_{side}"].to_numpy(), metrics.SMALLEST) for side in SIDES]
    values = {"log_loss": [-np.log(side) for side in probabilities]}
    if top_k:
        values[f"top_{top_k}_accuracy"] = [(common[f"label_rank_{side}"] <= top_k).to_numpy(float) for side in SIDES]
    return values


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
    return name, float(pairs[0, 0]), float(pairs[0, 1]), float(change[0]), float(low), float(high)


def _draws(groups: np.ndarray) -> Iterator[np.ndarray]:
    """How often a sample has each image, (n,): once, then as drawn with replacement, group by group."""
    size = int(groups.max()) + 1
    generator = np.random.default_rng(SEED)
    yield np.ones(len(groups))
    for _ in range(SAMPLES):
        yield np.bincount(generator.integers(0, size, size), minlength=size)[groups].astype(float)
