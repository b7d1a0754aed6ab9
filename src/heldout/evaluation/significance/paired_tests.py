"""Paired tests of two models on the same images, and the smallest difference that such an exam can show."""

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

ALPHA = 0.05
POWER = 0.8
FEW_CHANGES = 10


class Difference(NamedTuple):
    """HEAD - BASE: the difference, its 95 % interval, the p-value of no difference, and the smallest true difference
    that such an exam shows with a probability of POWER."""

    value: float
    low: float
    high: float
    p_value: float
    smallest_detectable: float


def correct(base: np.ndarray, head: np.ndarray, groups: np.ndarray | None = None) -> Difference:
    """The difference of two accuracies on the same images.

    The p-value is that of the exact sign-flip test over groups: without a difference, what changed in a group could as
    well have changed the other way round. With one image a group it is the exact test of McNemar (1947).

    Args:
        base: whether BASE predicts each image's label, bool (n,).
        head: whether HEAD does.
        groups: of each image, (n,); None where each image is a draw of its own.

    Raises:
        ValueError: where there are no images.
    """
    if not len(base):
        raise ValueError("expected images that both sides have, got none: the two exams share no image")
    change = head.astype(np.int64) - base.astype(np.int64)
    sums, sizes = group_sums(change, groups)
    p_value = sign_flip(sums)
    low, high = interval(sums, sizes)
    if p_value >= ALPHA:  # the exact test has the last word: one line never says both
        low, high = min(low, 0.0), max(high, 0.0)
    effective = len(change) / design_effect(sums, sizes)
    smallest = smallest_detectable(effective, float(np.abs(change).mean()))
    return Difference(float(change.mean()), low, high, p_value, smallest)


def group_sums(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the values and the number of images of each group."""
    if groups is None:
        return values, np.ones(len(values), np.int64)
    numbers = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(numbers, weights=values)
    return sums.astype(values.dtype), np.bincount(numbers)


def sign_flip(sums: np.ndarray) -> float:
    """The two-sided p-value of integer sums, each of which could as well have had the other sign: exact.

    The distribution of the total is read off its characteristic function, the product of the cosines of the sums.

    Args:
        sums: of each group, int (groups,).
    """
    magnitudes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    largest = int(magnitudes @ counts)
    if not largest:
        return 1.0
    angles = 2 * np.pi * np.arange(2 * largest + 1) / (2 * largest + 1)
    characteristic = np.ones(len(angles))
    for magnitude, count in zip(magnitudes, counts, strict=True):
        characteristic *= np.cos(magnitude * angles) ** count
    probability = np.fft.fftshift(np.fft.fft(characteristic).real) / len(angles)  # of -largest to largest
    totals = np.arange(-largest, largest + 1)
    return float(np.clip(probability[np.abs(totals) >= abs(int(sums.sum()))].sum(), 0, 1))


def interval(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean change an image, by group.

    One image that was fixed and one that was broken are added, each a group of its own, so that a few changes, or none,
    leave an interval that is not too short (Bonett and Price 2012, for independent images).

    Args:
        sums: of the changes of each group, (groups,).
        sizes: images of each group.
    """
    sums, sizes = np.concatenate([sums, [1, -1]]), np.concatenate([sizes, [1, 1]])
    mean = sums.sum() / sizes.sum()
    error = np.sqrt(len(sums) / (len(sums) - 1) * ((sums - mean * sizes) ** 2).sum()) / sizes.sum()
    reach = stats.t.ppf(1 - ALPHA / 2, len(sums) - 1) * error
    return float(max(mean - reach, -1)), float(min(mean + reach, 1))


def design_effect(sums: np.ndarray, sizes: np.ndarray) -> float:
    """By what factor groups raise the variance of the mean change over that of as many independent images (Kish 1965).

    It is 1 at least: changes within a group that happen to cancel promise nothing of the next exam. Of fewer than
    FEW_CHANGES nothing is learned: then it is what groups that change as one would make it.
    """
    changed = np.abs(sums).astype(float)
    if changed.sum() < FEW_CHANGES:
        return float((sizes.astype(float) ** 2).sum() / sizes.sum())
    return float(max(1.0, (changed**2).sum() / changed.sum()))


def small(p_value: float) -> str:
    """A p-value in words; what is below the arithmetic's own error is no number."""
    return f"= {p_value:.2g}" if p_value >= 1e-12 else "< 1e-12"


def smallest_detectable(images: float, discordance: float) -> float:
    """The smallest true difference of two accuracies that McNemar's exact test shows with a probability of POWER.

    Args:
        images: how many independent ones; fewer than there are, where they come in groups.
        discordance: the fraction of the images that one side alone predicts correctly.

    Returns:
        a difference; 1 where none is large enough.
    """
    count = max(1, round(images))
    discordance = (discordance * count + 1) / (count + 2)  # a few changes, or none, say little of the next exam
    if _power(count, discordance, 1.0) < POWER:
        return 1.0
    return float(optimize.brentq(lambda difference: _power(count, discordance, difference) - POWER, 0, 1, xtol=1e-5))


def _power(count: int, discordance: float, difference: float) -> float:
    """The probability that the exact test sees a difference.

    With it the discordance grows: that of two independent models of accuracies a - d / 2 and a + d / 2 is
    2 a (1 - a) + d^2 / 2, and none is smaller than the difference.
    """
    discordance = min(max(discordance + difference**2 / 2, difference), 1.0)
    spread = 8 * np.sqrt(count * discordance * (1 - discordance)) + 1
    first, last = max(0, int(count * discordance - spread)), min(count, int(count * discordance + spread))
    changed = np.arange(first, last + 1)
    fixed = (1 + difference / discordance) / 2  # the probability that a change is for the better
    most_broken = stats.binom.ppf(ALPHA / 2, changed, 0.5)
    most_broken -= 2 * stats.binom.cdf(most_broken, changed, 0.5) >= ALPHA
    # A significant difference the wrong way is none that was shown.
    shown = np.where(most_broken >= 0, stats.binom.cdf(most_broken, changed, 1 - fixed), 0.0)
    return float(stats.binom.pmf(changed, count, discordance) @ shown)
