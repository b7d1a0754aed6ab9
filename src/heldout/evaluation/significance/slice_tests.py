"""Whether a slice of the test images is worse than the rest by more than chance, for images in groups, too.

One-sided p-values for all values of a column at once; the cost is that of sorting the images.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

MIN_FREEDOM = 1e-3  # of a slice within one group: Student's t with so little says nothing


class _Counts(NamedTuple):
    """Images and mistakes of parts of the data, float arrays of one shape."""

    images: np.ndarray
    mistakes: np.ndarray


def p_values(wrong: np.ndarray, codes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The probability, by chance, of a slice that is as much worse than the rest: float (num_values,).

    Independent images: the number of mistakes in a slice is hypergeometric (Fisher's exact test).

    Images in groups are not as many draws as they are images, so a slice must pass a second test as well, and the
    larger p-value counts: Student's t of the difference in accuracy, its variance summed by group (cluster-robust,
    Liang and Zeger 1986), with one degree of freedom less than the effective number of groups (Kish 1965) on the side
    that has fewer; and never less than one over the number of ways in which the groups could have been dealt. So a
    slice within one group is not told from its group.

    Args:
        wrong: bool (n,).
        codes: which slice each image is in, int (n,); -1 for none, which makes it part of the rest alone.
        groups: the number of each image's group, int (n,).
    """
    num_values = int(codes.max(initial=-1)) + 1
    sliced = _counts(codes[codes >= 0], wrong[codes >= 0], num_values)
    with np.errstate(invalid="ignore"):
        result = stats.hypergeom.sf(sliced.mistakes - 1, len(wrong), wrong.sum(), sliced.images)
    numbers = np.unique(groups, return_inverse=True)[1]
    total = _counts(numbers, wrong, int(numbers.max(initial=-1)) + 1)
    if len(total.images) == len(wrong):
        return result
    pairs, pair_of = np.unique(codes * len(total.images) + numbers, return_inverse=True)
    kept = pairs >= 0
    value_of, group_of = np.divmod(pairs[kept], len(total.images))
    within = _counts(pair_of, wrong, len(pairs))
    within = _Counts(within.images[kept], within.mistakes[kept])
    return np.maximum(result, _cluster_robust(within, value_of, group_of, total, sliced))


def _counts(numbers: np.ndarray, wrong: np.ndarray, length: int) -> _Counts:
    return _Counts(
        np.bincount(numbers, minlength=length).astype(float), np.bincount(numbers, wrong, length).astype(float)
    )


def _cluster_robust(
    within: _Counts, value_of: np.ndarray, group_of: np.ndarray, total: _Counts, sliced: _Counts
) -> np.ndarray:
    """The p-value of each slice as a set of groups, (num_values,).

    Args:
        within: of each pair of a slice and a group that has images in it.
        value_of, group_of: the slice and the group of each pair.
        total: of each group.
        sliced: of each slice.
    """
    rest = _Counts(total.images.sum() - sliced.images, total.mistakes.sum() - sliced.mistakes)
    own = _Counts(total.images[group_of], total.mistakes[group_of])
    outside = _Counts(own.images - within.images, own.mistakes - within.mistakes)

    def by_value(values: np.ndarray) -> np.ndarray:
        return np.bincount(value_of, values, len(sliced.images))

    with np.errstate(divide="ignore", invalid="ignore"):
        inside_rate, rest_rate = sliced.mistakes / sliced.images, rest.mistakes / rest.images
        # Influence of each group on the difference; a group without images in the slice has the second term alone.
        second = -(outside.mistakes - outside.images * rest_rate[value_of]) / rest.images[value_of]
        both = (within.mistakes - within.images * inside_rate[value_of]) / sliced.images[value_of] + second
        all_groups = (
            (total.mistakes**2).sum()
            - 2 * rest_rate * (total.mistakes * total.images).sum()
            + rest_rate**2 * (total.images**2).sum()
        )
        touched = by_value((own.mistakes - own.images * rest_rate[value_of]) ** 2)
        variance = by_value(both**2) + np.maximum(all_groups - touched, 0) / rest.images**2
        squares = (total.images**2).sum() - by_value(own.images**2) + by_value(outside.images**2)
        effective = np.minimum(sliced.images**2 / by_value(within.images**2), rest.images**2 / squares)
        freedom = np.maximum(effective - 1, MIN_FREEDOM)
        statistic = (inside_rate - rest_rate) / np.sqrt(variance * (1 + 1 / freedom))
        result = np.where(inside_rate > rest_rate, special.stdtr(freedom, -statistic), 1.0)
    shared = by_value((outside.images > 0).astype(float))
    return np.maximum(result, _fewest_deals(by_value(np.ones(len(value_of))), shared, len(total.images)))


def _fewest_deals(groups_in: np.ndarray, shared: np.ndarray, num_groups: int) -> np.ndarray:
    """One over the number of ways to deal the groups: those on both sides either way, the others as so many in all."""
    pure, remaining = groups_in - shared, num_groups - shared
    logarithm = special.gammaln(remaining + 1) - special.gammaln(pure + 1) - special.gammaln(remaining - pure + 1)
    return np.exp(-logarithm - shared * np.log(2))
