"""Two recipes, each trained with several seeds: is a difference more than other seeds, and other images, would give?

A test on two trained models holds for these two alone. Here seeds are nested in recipes and crossed with images, as
readers are with cases in multi-reader multi-case studies (Obuchowski and Rockette 1995; Hillis 2007). The variance of
the difference is put together from mean squares, with Satterthwaite's degrees of freedom and Student's t: a bootstrap
over three seeds would give two thirds of their variance.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from heldout.evaluation.significance.paired_tests import ALPHA, POWER, Difference, group_sums


class Spread(NamedTuple):
    """The standard deviation of a metric over the seeds of one recipe, and the number of seeds that it is from."""

    deviation: float
    seeds: int


def spread(values: np.ndarray) -> Spread:
    """Of the metric's values, one a seed (seeds,).

    Raises:
        ValueError: where there are fewer than two.
    """
    if len(values) < 2:
        raise ValueError(f"expected the runs of two seeds or more, got {len(values)}: `heldout noise --runs 5`")
    return Spread(float(np.std(values, ddof=1)), len(values))


def single_runs(difference: float, noise: Spread) -> Difference:
    """One run of each recipe, held against the spread over seeds of a recipe that was trained more often.

    It asks whether the difference is more than another seed would give, on these images. Both recipes are taken to vary
    as much as the one that was measured.

    Args:
        difference: HEAD - BASE of the metric.
        noise: the spread over seeds, none of which is one of the two runs.
    """
    return _student(difference, float(np.sqrt(2)) * noise.deviation, noise.seeds - 1)


def several_seeds(base: np.ndarray, head: np.ndarray, groups: np.ndarray | None = None) -> Difference:
    """The difference of the mean accuracies of two recipes, for other seeds and other images.

    Args:
        base: whether each run of BASE predicts each image's label, bool (seeds, n); two seeds or more.
        head: the same of HEAD, whose number of seeds may differ.
        groups: of each image, (n,); None where each image is a draw of its own.
    """
    change = head.mean(axis=0) - base.mean(axis=0)
    sums, sizes = group_sums(change, groups)
    count = len(sums)
    residuals = sums - change.mean() * sizes
    images = count / (count - 1) * float((residuals**2).sum()) / len(change) ** 2
    seeds = [spread(runs.mean(axis=1)).deviation ** 2 / len(runs) for runs in (base, head)]
    both = sum(_interaction(runs, groups) for runs in (base, head))  # in the variance over images, and over seeds
    variance = max(images + sum(seeds) - both, images, sum(seeds))
    parts = [(images, count - 1), (seeds[0], len(base) - 1), (seeds[1], len(head) - 1)]
    weight = sum(part**2 / freedom for part, freedom in parts)
    # Of the variance itself: of the sum of its parts, which counts `both` twice, it would be up to 4 times too many.
    freedom = variance**2 / weight if weight else count - 1
    return _student(float(change.mean()), float(np.sqrt(variance)), freedom)


def _interaction(runs: np.ndarray, groups: np.ndarray | None) -> float:
    """The variance of a recipe's mean accuracy that comes of what a seed does to single images, by group."""
    deviations = runs - runs.mean(axis=0) - runs.mean(axis=1, keepdims=True) + runs.mean()
    squares = sum(float((group_sums(row, groups)[0] ** 2).sum()) for row in deviations)
    return squares / (len(runs) - 1) / runs.shape[1] ** 2 / len(runs)


def _student(value: float, error: float, freedom: float) -> Difference:
    """Student's t of a difference with its standard error and the degrees of freedom of this."""
    quantile = float(stats.t.ppf(1 - ALPHA / 2, freedom))
    p_value = float(2 * stats.t.sf(abs(value) / error, freedom)) if error else float(value == 0)
    smallest = (quantile + float(stats.t.ppf(POWER, freedom))) * error
    return Difference(value, value - quantile * error, value + quantile * error, p_value, smallest)
