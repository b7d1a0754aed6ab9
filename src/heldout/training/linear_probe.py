"""A linear probe: scikit-learn's logistic regression on the features of a frozen network, put into its last layer."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from heldout.training.features import Features

C = tuple(float(f"{value:.3g}") for value in np.logspace(-5, 2, 15))  # inverse of the penalty, on standardized features
MAX_ITER = 1000
ABSENT_CLASS = -30.0  # the bias of a class without a training image


class Probe(NamedTuple):
    """The weights (units, num_classes) and biases (num_classes,) of the last layer, and the row of the history: the C
    of them beside an epoch's figures."""

    kernel: np.ndarray
    bias: np.ndarray
    row: dict[str, float]


def check(head: Any) -> None:
    """Check that features meet the last layer alone.

    Raises:
        ValueError: where there is another layer with weights, or a text.
    """
    if len(head.weights) > 2:
        raise ValueError(
            "train.head is logistic, which is one layer on the image's features: set model.dense_units to 0 and "
            "text.method to none"
        )


def fit_head(
    head: Any,
    train: Features,
    val: Features,
    labels: np.ndarray,
    val_labels: np.ndarray,
    class_weights: np.ndarray,
) -> dict[str, float]:
    """Put the regression on all views of the training images into the head of a frozen network.

    All features are in memory meanwhile, twice.

    Args:
        head: of `frozen.parts`; one dense layer.
        train, val: the features.
        labels, val_labels: int (n,), class numbers.
        class_weights: float32 (num_classes,).

    Returns:
        The row of the history.
    """
    probe = fit_probe(train.all(), np.tile(labels, train.views), class_weights, val.all(), val_labels)
    head.get_layer("probabilities").set_weights([probe.kernel, probe.bias])
    print(f"train: logistic regression, C {probe.row['C']:g} by val_loss {probe.row['val_loss']:.4f}", flush=True)
    return probe.row


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    class_weights: np.ndarray,
    val_features: np.ndarray,
    val_labels: np.ndarray,
) -> Probe:
    """The regression whose C, one of C, has the lowest log loss on val.

    Args:
        features: float32 (n, units), of training images.
        labels: int (n,), their class numbers.
        class_weights: float32 (num_classes,).
        val_features, val_labels: the same of val.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
    standardized = (features - mean) / scale
    best: Probe | None = None
    # One thread: what a sum is rounded to depends on how many there are, which is the machine's matter.
    with threadpool_limits(1):
        model = LogisticRegression(max_iter=MAX_ITER, warm_start=True)
        for value in C:
            model.set_params(C=value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a larger C may need more: val decides of it
                model.fit(standardized, labels, sample_weight=class_weights[labels])
            kernel, bias = _unscaled(model, mean, scale, len(class_weights))
            train = _figures("", kernel, bias, features, labels)
            row = train | _figures("val_", kernel, bias, val_features, val_labels) | {"learning_rate": 0.0}
            if best is None or row["val_loss"] < best.row["val_loss"]:
                best = Probe(kernel, bias, row | {"C": value})
    assert best is not None
    return best


def _unscaled(
    model: LogisticRegression, mean: np.ndarray, scale: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases for features as they are, one column a class."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn has one column, of the second class
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.array([-1, 1]) * intercepts / 2
    kernel, bias = np.zeros((len(mean), num_classes), np.float32), np.full(num_classes, ABSENT_CLASS, np.float32)
    kernel[:, model.classes_] = (coefficients / scale).T
    bias[model.classes_] = intercepts - (coefficients / scale) @ mean
    return kernel, bias


def _figures(
    prefix: str, kernel: np.ndarray, bias: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    logits = features @ kernel + bias
    shifted = logits.astype(float) - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    loss = log_loss(labels, probabilities, labels=np.arange(len(bias)))
    return {f"{prefix}loss": float(loss), f"{prefix}accuracy": float((logits.argmax(axis=1) == labels).mean())}
