"""Paired tests: by hand, against scipy, and by simulated exams without and with a difference."""

import numpy as np
import pytest
from scipy import stats
from simulation import pair

from heldout.evaluation.significance import paired_tests


def exam(fixed: int, broken: int, same: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether BASE and HEAD are right: so many images that HEAD alone, BASE alone, and both predict correctly."""
    base = np.repeat([False, True, True], [fixed, broken, same])
    return base, np.repeat([True, False, True], [fixed, broken, same])


@pytest.mark.parametrize(
    ("fixed", "broken", "p_value"),
    [
        (10, 2, 2 * (1 + 12 + 66) / 2**12),  # by hand: the tail of 12 fair coins
        (5, 5, 1.0),
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 6, 2 / 2**6),
    ],
)
def test_mcnemar_by_hand(fixed, broken, p_value):
    difference = paired_tests.correct(*exam(fixed, broken, 20))
    assert difference.p_value == pytest.approx(p_value, abs=1e-12)
    assert difference.value == pytest.approx((fixed - broken) / (fixed + broken + 20))


@pytest.mark.parametrize(("fixed", "broken"), [(300, 250), (3000, 2800), (17, 40)])
def test_mcnemar_is_scipys_binomial_test(fixed, broken):
    expected = stats.binomtest(min(fixed, broken), fixed + broken).pvalue
    assert paired_tests.correct(*exam(fixed, broken, 100)).p_value == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_zero_just_where_the_test_does_not_reject():
    for fixed in range(12):
        for broken in range(12):
            difference = paired_tests.correct(*exam(fixed, broken, 80))
            if difference.p_value >= 0.05:
                assert difference.low <= 0 <= difference.high
            else:
                assert difference.low > 0 or difference.high < 0


def test_the_sign_flip_of_groups_is_that_of_all_signs():
    sums = np.array([3, -1, 2, 2, 0, -4, 1, 5])
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(sums))).reshape(len(sums), -1)
    totals = np.abs((signs * sums[:, None]).sum(axis=0))
    assert paired_tests.sign_flip(sums) == pytest.approx((totals >= abs(sums.sum())).mean(), abs=1e-12)


def test_images_of_one_group_count_together():
    base, head = exam(12, 2, 86)
    apart = paired_tests.correct(base, head, np.arange(100))
    assert apart == paired_tests.correct(base, head)
    together = paired_tests.correct(base, head, np.repeat(np.arange(10), 10))  # one group holds ten of the fixed
    assert apart.p_value < 0.05 < together.p_value
    assert together.high - together.low > apart.high - apart.low
    assert together.smallest_detectable > apart.smallest_detectable


def test_no_image_in_common_is_one_line():
    with pytest.raises(ValueError, match="share no image"):
        paired_tests.correct(np.array([], bool), np.array([], bool))


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize(("images", "accuracy"), [(100, 0.6), (372, 0.9), (2000, 0.9), (372, 0.99)])
def test_false_verdicts_and_coverage(images, accuracy, groups):
    """Two models of one accuracy, whose errors agree within groups: a verdict in at most 5 % of the exams."""
    generator = np.random.default_rng(images + groups)
    verdicts = covered = 0
    for _ in range(400):
        base, head, group = pair(generator, images, accuracy, accuracy, groups)
        difference = paired_tests.correct(base, head, group)
        verdicts += difference.p_value < 0.05
        covered += difference.low <= 0 <= difference.high
    assert verdicts <= stats.binom.ppf(0.999, 400, 0.05)
    assert covered >= stats.binom.ppf(0.001, 400, 0.95)


@pytest.mark.parametrize(("images", "accuracy"), [(372, 0.8), (2000, 0.9)])
def test_the_smallest_detectable_difference_is_detected(images, accuracy):
    generator = np.random.default_rng(0)
    smallest = np.mean(
        [
            paired_tests.correct(*pair(generator, images, accuracy, accuracy, False)).smallest_detectable
            for _ in range(20)
        ]
    )
    shown = 0
    for _ in range(400):
        # Half of it each way, so that as many images change sides as without a difference.
        sides = pair(generator, images, accuracy - smallest / 2, accuracy + smallest / 2, False)
        difference = paired_tests.correct(*sides)
        shown += difference.p_value < 0.05 and difference.value > 0
    assert shown >= 400 * 0.78 - 2 * np.sqrt(400 * 0.8 * 0.2)


def test_a_small_exam_shows_no_difference_at_all():
    assert paired_tests.smallest_detectable(5, 0.2) == 1.0
    assert paired_tests.smallest_detectable(10_000, 0.02) < 0.005
