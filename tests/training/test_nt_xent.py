"""NT-Xent: by hand on four vectors, against plain numpy, and what fills up weighs nothing."""

import numpy as np
import pytest
import tensorflow as tf

from heldout.training.contrastive.nt_xent import nt_xent


def by_definition(first: np.ndarray, second: np.ndarray, temperature: float) -> np.ndarray:
    """Equation 1 of the paper, as it stands there: views 2k - 1 and 2k are of one image; the mean of an image's two."""
    views = np.stack([first, second], axis=1).reshape(-1, first.shape[1])
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    losses = []
    for i in range(len(views)):
        j = i + 1 if i % 2 == 0 else i - 1
        others = [k for k in range(len(views)) if k != i]
        exponentials = [np.exp(views[i] @ views[k] / temperature) for k in others]
        losses.append(-np.log(np.exp(views[i] @ views[j] / temperature) / np.sum(exponentials)))
    return np.array(losses).reshape(-1, 2).mean(axis=1)


def test_four_vectors_by_hand():
    """Two images whose views agree, at right angles: each view has its other at cosine 1 and two at cosine 0."""
    first = tf.constant([[2.0, 0.0], [0.0, 5.0]])  # of any length
    second = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    losses, correct = nt_xent(first, second, tf.ones(2), 0.5)
    expected = np.log(np.exp(2) + 2) - 2  # 0.2396
    assert losses.numpy() == pytest.approx([expected, expected], abs=1e-6) and expected == pytest.approx(
        0.2396, abs=1e-4
    )
    assert correct.numpy().tolist() == [1, 1]


def test_the_other_image_is_nearer():
    first = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    losses, correct = nt_xent(first, tf.reverse(first, [0]), tf.ones(2), 1.0)
    # Each view: its other at cosine 0, the other image's two at 1 and 0.
    assert losses.numpy() == pytest.approx([np.log(np.e + 2)] * 2, abs=1e-6)
    assert correct.numpy().tolist() == [0, 0]


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_as_the_paper_defines_it(temperature):
    first, second = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(np.float32)
    losses, _ = nt_xent(tf.constant(first), tf.constant(second), tf.ones(9), temperature)
    assert losses.numpy() == pytest.approx(by_definition(first, second, temperature), rel=1e-5)


def test_an_image_that_fills_up_is_no_negative():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    filled = [np.concatenate([view, view[:2]]) for view in (first, second)]
    mask = tf.constant([1.0] * 5 + [0.0] * 2)
    losses, correct = nt_xent(tf.constant(filled[0]), tf.constant(filled[1]), mask, 0.2)
    assert losses.numpy()[:5] == pytest.approx(by_definition(first, second, 0.2), rel=1e-5)
    assert np.isfinite(losses.numpy()).all() and len(correct) == 7
