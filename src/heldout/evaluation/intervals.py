"""Intervals of 95 %: of proportions and scores, of mean losses, and of distances; for images in groups, too.

Three closed forms, no resampling. `benchmarks/intervals.py` simulates their coverage beside that of the percentile and
the BCa bootstrap (scipy.stats.bootstrap). Those resample what was seen: an exam without a mistake gives them [1, 1],
one with two mistakes too narrow an interval, and BCa jackknifes every image, which is quadratic for the scores of a
table.

Each score comes with its influence values (n,): the derivative of the score by the weight of each image, times n, of
mean zero (the infinitesimal jackknife, Efron 1982). Their sum of squares over n² is the variance of the score; where
images come in groups, it is that of their sums by group.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

TAIL = 0.025  # on either side
QUANTILE = float(special.ndtri(1 - TAIL))


class Interval(NamedTuple):
    """A score, and the ends of its interval of 95 %."""

    value: float
    low: float
    high: float


def group_numbers(groups: pd.Series) -> np.ndarray:
    """The number of each image's group, int (n,); an image whose group is '' is alone in its own."""
    names = groups.to_numpy(object)
    alone = np.array([f"\0{row}" for row in range(len(names))], object)  # no group of a manifest has such a name
    return pd.factorize(np.where(names == "", alone, names))[0]


def wilson(proportions: np.ndarray, images: np.ndarray, quantile: float = QUANTILE) -> tuple[np.ndarray, np.ndarray]:
    """The ends of Wilson's interval (1927) of proportions of as many independent images, each of any same shape.

    Of no image nothing is known: [0, 1].
    """
    proportions, images = np.asarray(proportions, float), np.asarray(images, float)
    square = quantile**2
    with np.errstate(divide="ignore", invalid="ignore"):
        center = (proportions + square / (2 * images)) / (1 + square / images)
        spread = quantile * np.sqrt(proportions * (1 - proportions) / images + square / (4 * images**2))
        half = spread / (1 + square / images)
        low = np.where((proportions == 0) | (images == 0), 0, center - half)
        high = np.where((proportions == 1) | (images == 0), 1, center + half)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def proportion(correct: np.ndarray, groups: np.ndarray) -> Interval:
    """The proportion of images that are correct, bool (n,), of the groups (n,) of `group_numbers`."""
    value = float(np.mean(correct))
    return score(value, correct - value, groups, images=len(correct))


def score(
    value: float, influence: np.ndarray, groups: np.ndarray, *, images: float, limit: float | None = None
) -> Interval:
    """A score in [0, 1]: Wilson's interval at its effective sample size, Student's quantile where there are groups.

    The effective sample size is that at which a proportion had the score's variance (Kish 1965; for groups Korn and
    Graubard 1998). For a proportion of independent images this is Wilson's interval. The degrees of freedom are
    Satterthwaite's (1946): a few groups that hold all mistakes leave the variance itself in doubt.

    A score of 0 or 1 has no variance to see: then a group counts as one image of its own size (no two of its images
    differ), the cautious end. A single group of several images says nothing: [0, 1].

    Args:
        value: the score.
        influence: (n,), of the score.
        groups: their numbers (n,).
        images: the effective sample size of a perfect score of independent images (n for an accuracy).
        limit: of the effective sample size, `images` by default: a variance from a few mistakes is too small. Where
            there is none (inf), Student's quantile is to make up for that.
    """
    sums, design_effect = _by_group(influence, groups)
    if len(sums) == 1 < len(influence):
        return Interval(value, 0.0, 1.0)
    variance, quantile = float((sums**2).sum()) / len(influence) ** 2, QUANTILE
    if len(sums) < len(influence):
        variance *= len(sums) / (len(sums) - 1)
    if len(sums) < len(influence) or limit is not None:
        quantile *= student_ratio(sums)
    size = images / design_effect
    if variance > 0 and 0 < value < 1:
        size = min(value * (1 - value) / variance, images if limit is None else limit)
    low, high = wilson(np.array(value), np.array(size), quantile)
    return Interval(value, float(low), float(high))


def mean_loss(losses: np.ndarray, groups: np.ndarray, mistake: float) -> Interval:
    """The mean of losses of 0 or more, (n,): the gamma interval of Fay and Feuer (1997).

    A mean loss is the work of a few mistakes, often fewer than any resampling needs. The upper end is that of an exam
    with one more mistake.

    Args:
        losses: (n,).
        groups: their numbers (n,).
        mistake: the loss of that one.
    """
    n, value = len(losses), float(losses.mean())
    influence = losses - value
    sums, largest_effect = _by_group(influence, groups)
    independent = float((influence**2).sum()) / n**2
    variance, design_effect = independent, 1.0
    if len(sums) < n:
        variance = float((sums**2).sum()) / n**2 * len(sums) / max(len(sums) - 1, 1)
        design_effect = np.clip(variance / independent, 1, largest_effect) if independent else largest_effect
        variance = max(variance, independent) * student_ratio(sums) ** 2
    if len(sums) == 1:  # nothing to see a variance by
        variance = max(variance, value**2)
    low = special.gammaincinv(value**2 / variance, TAIL) * variance / value if variance and value else value
    more, squared = value + mistake * design_effect / n, variance + (mistake * design_effect / n) ** 2
    return Interval(value, float(low), float(special.gammaincinv(more**2 / squared, 1 - TAIL) * squared / more))


def distance(means: np.ndarray, weights: np.ndarray, covariance: np.ndarray, cautious: np.ndarray) -> Interval:
    """The root of the weighted mean square of m means, freed of the bias that their noise gives it, not below 0.

    The square of noisy means is too large by the noise's variance, which is taken off (Bröcker 2012, Kumar 2019). Its
    ends are the distances under which what was seen is at the edge of 95 %: a quadratic form of normal variables, as a
    multiple of a noncentral chi-square (Patnaik 1949).

    Args:
        means: (m,).
        weights: (m,), of sum 1.
        covariance: of the means, (m, m), unbiased.
        cautious: (m, m), not smaller, for the ends of the interval; not all zero.
    """
    square = float(weights @ means**2)
    value = math.sqrt(max(square - float(weights @ np.diag(covariance)), 0))
    noise = np.sqrt(weights)[:, None] * cautious * np.sqrt(weights)
    scale = float((noise**2).sum() / np.trace(noise))
    if square > 0:  # along the means the noise may be larger than on average: groups move all bins together
        along = np.sqrt(weights) * means
        scale = max(scale, float(along @ noise @ along) / square)
    freedom = float(np.trace(noise)) / scale
    low = _noncentrality(square / scale, freedom, 1 - TAIL)
    high = _noncentrality(max(square / scale, freedom), freedom, TAIL)
    return Interval(value, min(math.sqrt(scale * low), value), max(math.sqrt(scale * high), value))


def group_covariance(deviations: np.ndarray, bins: np.ndarray, groups: np.ndarray, num_bins: int) -> np.ndarray:
    """The covariance of bin means, (num_bins, num_bins), from deviations (n,) from them, summed by group and bin."""
    numbers = np.unique(groups, return_inverse=True)[1]
    num_groups = int(numbers.max()) + 1
    sums = np.bincount(numbers * num_bins + bins, deviations, num_groups * num_bins).reshape(num_groups, num_bins)
    means = sums / np.maximum(np.bincount(bins, minlength=num_bins), 1)
    return means.T @ means * num_groups / max(num_groups - 1, 1)


def student_ratio(sums: np.ndarray) -> float:
    """Student's quantile over the normal one, for a variance that is the sum of the squares of `sums`, (groups,)."""
    squares, limit = sums**2, max(len(sums) - 1, 1)
    spread = float((squares**2).sum() - squares.sum() ** 2 / len(sums))
    freedom = min(2 * float(squares.sum()) ** 2 / spread, limit) if spread > 0 else limit
    return float(special.stdtrit(freedom, 1 - TAIL)) / QUANTILE


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, float]:
    """The sums of each group, and the largest design effect: as if no two images of a group differed."""
    numbers = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(numbers)
    return np.bincount(numbers, values), float((sizes.astype(float) ** 2).sum() / len(values))


def _noncentrality(quantile: float, freedom: float, probability: float) -> float:
    """The noncentrality at which a chi-square is below `quantile` with that probability; 0 where it is less anyway."""
    if special.chdtr(freedom, quantile) <= probability:
        return 0.0
    return float(special.chndtrinc(quantile, freedom, probability))
