"""Selective prediction: what a classifier reaches that may say "unsure", by how often it says so (Geifman 2017)."""

import numpy as np
import pandas as pd

MAX_ROWS = 200  # of the curve
DIGITS = 6  # decimals of a threshold


def curve(confidence: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """The risk-coverage curve: a row for each threshold that parts the images, from the highest.

    Args:
        confidence: (n,).
        correct: bool (n,).

    Returns:
        coverage, the fraction of images whose confidence reaches the threshold; risk, the fraction of mistakes among
        them; threshold, six decimals, rounded down.
    """
    thresholds, first = np.unique(-_levels(confidence), return_inverse=True)
    counts, mistakes = np.cumsum(np.bincount(first)), np.cumsum(np.bincount(first, ~correct))
    return pd.DataFrame(
        {"coverage": counts / len(confidence), "risk": mistakes / counts, "threshold": -thresholds / 10**DIGITS}
    )


def area(points: pd.DataFrame) -> float:
    """The area under the risk-coverage curve: the mean risk, each image at the threshold that is its own confidence."""
    return float(points["risk"] @ np.diff(points["coverage"], prepend=0.0))


def thin(points: pd.DataFrame) -> pd.DataFrame:
    """At most MAX_ROWS points of a curve, evenly by coverage, the first and the last among them."""
    evenly = np.linspace(points["coverage"].iloc[0], 1, MAX_ROWS)
    nearest = np.unique(np.searchsorted(points["coverage"], evenly).clip(max=len(points) - 1))
    return points.iloc[nearest].round(DIGITS).reset_index(drop=True)


def choose_threshold(points: pd.DataFrame, target_accuracy: float) -> tuple[float, str]:
    """The threshold with the largest coverage at which the accuracy reaches the target.

    Chosen on val, where it is the best of many: expect a little less on the test.

    Returns:
        0 where no image need be left out; 1 where no threshold reaches the target, and then what is to be said, else
        ''.
    """
    reached = points.index[1 - points["risk"] >= target_accuracy - 1e-12]
    if not len(reached):
        return 1.0, f"no threshold reaches an accuracy of {target_accuracy:g} on val: threshold 1, almost all is unsure"
    return 0.0 if reached[-1] == points.index[-1] else float(points.loc[reached[-1], "threshold"]), ""


def accept(confidence: np.ndarray, threshold: float) -> np.ndarray:
    """Which images, bool (n,), reach the threshold: the others are "unsure"."""
    return _levels(confidence) >= round(threshold * 10**DIGITS)


def _levels(confidence: np.ndarray) -> np.ndarray:
    """Confidences in whole steps of a threshold's last decimal, rounded down: what the two are compared by."""
    return np.floor(confidence * 10**DIGITS + 1e-6).astype(np.int64)
