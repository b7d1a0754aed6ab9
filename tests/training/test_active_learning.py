"""What is worth labelling: by hand, and on a model's own features."""

import numpy as np
import pytest
from training_runs import untrained

from heldout.training import active_learning
from heldout.training.active_learning import Embedded


def test_margin_is_least_between_two_equal_classes():
    probabilities = np.array([[0.9, 0.05, 0.05], [0.4, 0.2, 0.4], [0.5, 0.1, 0.4]])
    assert active_learning.margins(probabilities) == pytest.approx([0.85, 0, 0.1])
    nothing = np.zeros((3, 1))
    images = Embedded(probabilities, nothing)
    assert active_learning.choose(images, Embedded(probabilities, nothing), 2, "margin").tolist() == [1, 2]


def test_k_center_takes_the_farthest_and_then_what_is_far_from_that():
    features = np.array([[1.0], [10], [11], [6], [0]])
    labeled = np.array([[0.0], [1]])
    assert active_learning.k_center(features, labeled, 3).tolist() == [2, 3, 1]
    chosen = active_learning.k_center(features, labeled, 5)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 4]  # each once, also those at no distance


def test_more_than_there_are_is_all(images):
    embedded = active_learning.embed(untrained(images), images)
    assert embedded.probabilities.shape == (24, 3) and embedded.features.shape == (24, 32)
    assert embedded.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    for method in ("margin", "k_center"):
        assert sorted(active_learning.choose(embedded, embedded, 99, method)) == list(range(24))
