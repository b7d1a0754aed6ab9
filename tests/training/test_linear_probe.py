"""The logistic head: scikit-learn's regression, as the last layer of a network gives it."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heldout.training import linear_probe


def blobs(num_classes: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features about a center for each class, at two scales."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(9).normal(size=(num_classes, 6))
    labels = np.arange(count) % num_classes
    features = centers[labels] + rng.normal(size=(count, 6)) * 1.5
    return (features * [1, 1, 1, 10, 10, 0.1]).astype(np.float32), labels


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_probe_is_scikit_learns_at_the_c_that_val_prefers(num_classes):
    (features, labels), (val, val_labels) = blobs(num_classes, 120, 0), blobs(num_classes, 60, 1)
    probe = linear_probe.fit_probe(features, labels, np.ones(num_classes, np.float32), val, val_labels)
    losses = {}
    for value in linear_probe.C:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=value, max_iter=1000)).fit(features, labels)
        losses[value] = log_loss(val_labels, model.predict_proba(val))
    assert probe.row["C"] == min(losses, key=losses.__getitem__)
    assert probe.row["val_loss"] == pytest.approx(min(losses.values()), abs=1e-3)
    layer = keras.Sequential([keras.Input((6,)), keras.layers.Dense(num_classes, activation="softmax")])
    layer.set_weights([probe.kernel, probe.bias])
    best = make_pipeline(StandardScaler(), LogisticRegression(C=probe.row["C"], max_iter=1000)).fit(features, labels)
    np.testing.assert_allclose(layer.predict(val, verbose=0), best.predict_proba(val), atol=2e-3)


def test_balanced_weights_are_scikit_learns():
    features, labels = blobs(2, 120, 0)
    kept = np.flatnonzero((labels == 0) | (np.arange(120) < 30))
    features, labels = features[kept], labels[kept]
    weights = (len(labels) / (2 * np.bincount(labels))).astype(np.float32)
    probe = linear_probe.fit_probe(features, labels, weights, *blobs(2, 60, 1))
    balanced = LogisticRegression(C=probe.row["C"], max_iter=1000, class_weight="balanced")
    expected = make_pipeline(StandardScaler(), balanced).fit(features, labels).decision_function(features)
    # The standardized scale is of the images as they are, in both.
    margins = features @ (probe.kernel[:, 1] - probe.kernel[:, 0]) + probe.bias[1] - probe.bias[0]
    np.testing.assert_allclose(margins, expected, atol=1e-2)


def test_a_class_without_training_images_is_never_predicted():
    features, labels = blobs(3, 90, 0)
    kept = labels != 1
    probe = linear_probe.fit_probe(features[kept], labels[kept], np.ones(3, np.float32), *blobs(3, 60, 1))
    assert (features @ probe.kernel + probe.bias).argmax(axis=1).tolist().count(1) == 0


def test_a_constant_feature_weighs_nothing():
    features, labels = blobs(2, 60, 0)
    features[:, 2] = 7
    probe = linear_probe.fit_probe(features, labels, np.ones(2, np.float32), features, labels)
    assert np.isfinite(probe.kernel).all() and abs(probe.kernel[2]).max() < 1e-6
