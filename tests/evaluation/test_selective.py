"""Risk and coverage of images few enough to count, with ties, and the choice of a threshold."""

import numpy as np
import pytest

from heldout.evaluation import selective

CONFIDENCE = np.array([0.5, 0.9, 0.8, 0.9, 0.6])
CORRECT = np.array([False, True, False, True, True])


def test_the_curve_by_hand():
    points = selective.curve(CONFIDENCE, CORRECT)
    assert points["threshold"].tolist() == [0.9, 0.8, 0.6, 0.5]
    assert points["coverage"].tolist() == [0.4, 0.6, 0.8, 1.0]
    assert points["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 4, 2 / 5])
    assert selective.area(points) == pytest.approx((0 + 0 + 1 / 3 + 1 / 4 + 2 / 5) / 5)


def test_equal_confidences_are_one_point_whatever_their_order():
    points = selective.curve(np.full(4, 0.25), np.array([True, False, True, True]))
    assert points.to_numpy().tolist() == [[1.0, 0.25, 0.25]] and selective.area(points) == 0.25


def test_perfect_and_hopeless():
    assert selective.area(selective.curve(CONFIDENCE, np.ones(5, bool))) == 0
    assert selective.area(selective.curve(CONFIDENCE, np.zeros(5, bool))) == 1


@pytest.mark.parametrize(
    ("target", "threshold", "coverage"), [(0.6, 0, 1.0), (0.65, 0.6, 0.8), (0.75, 0.6, 0.8), (0.8, 0.9, 0.4)]
)
def test_the_threshold_has_the_largest_coverage_that_reaches_the_target(target, threshold, coverage):
    chosen, note = selective.choose_threshold(selective.curve(CONFIDENCE, CORRECT), target)
    accepted = selective.accept(CONFIDENCE, chosen)
    assert (chosen, note) == (threshold, "") and accepted.mean() == coverage and CORRECT[accepted].mean() >= target


def test_a_target_out_of_reach_is_said():
    chosen, note = selective.choose_threshold(selective.curve(CONFIDENCE, ~CORRECT), 0.9)
    assert chosen == 1 and note == "no threshold reaches an accuracy of 0.9 on val: threshold 1, almost all is unsure"
    assert not selective.accept(CONFIDENCE, chosen).any() and selective.accept(np.array([1.0]), chosen).all()


def test_a_threshold_keeps_the_images_that_it_was_chosen_by():
    confidence = np.random.default_rng(0).random(1000).astype(np.float32).astype(float)
    points = selective.curve(confidence, confidence > 0.3)
    for row in points.iloc[::50].itertuples():
        assert selective.accept(confidence, round(row.threshold, 6)).mean() == row.coverage


def test_a_thinned_curve_keeps_its_ends():
    confidence = np.random.default_rng(0).random(5000)
    points = selective.curve(confidence, confidence > 0.3)
    thin = selective.thin(points)
    assert 150 < len(thin) <= selective.MAX_ROWS and thin["coverage"].iloc[-1] == 1
    assert thin.iloc[0].tolist() == pytest.approx(points.iloc[0].tolist(), abs=1e-6)
    assert len(selective.thin(points.iloc[-1:].reset_index(drop=True))) == 1
