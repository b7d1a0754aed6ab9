"""Robustness: the accuracy that is left once the test images are corrupted."""

from pathlib import Path

import numpy as np
import pandas as pd

from heldout.augmentation import corruptions
from heldout.evaluation import intervals, probabilities

COLUMNS = ["corruption", "strength", "accuracy", "accuracy_low", "accuracy_high"]


def summarize(predictions: str | Path, labels: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """The accuracy under each corruption that `predict` predicted; no rows where there is none.

    Args:
        predictions: the folder of `predict`.
        labels: class numbers of the test images, in the order of its images.csv, (n,).
        groups: the number of each image's group, (n,).

    Returns:
        corruption, strength (1 to 5), accuracy with its interval of 95 %.

    Raises:
        ValueError: where a file is damaged.
    """
    rows = []
    for path in sorted(Path(predictions, probabilities.CORRUPTED).glob("*.npy")):
        try:
            predicted = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} is damaged: run `dvc checkout --force {predictions}` or `dvc repro`") from error
        if predicted.shape != (corruptions.STRENGTHS, len(labels)):
            raise ValueError(f"{path} is not of the {len(labels)} test images: run `dvc repro`")
        for strength, classes in enumerate(predicted, 1):
            rows.append((path.stem, strength, *intervals.proportion(classes == labels, groups)))
    return pd.DataFrame(rows, columns=COLUMNS).round(6)


def scores(table: pd.DataFrame, accuracy: float) -> dict[str, float | int]:
    """The mean corruption error, over all corruptions and strengths, and by how much it exceeds the error of the images
    as they are: for eval.json; empty where nothing was corrupted.

    Args:
        table: of `summarize`.
        accuracy: of the images as they are.
    """
    if not len(table):
        return {}
    error = 1 - float(table.groupby("corruption")["accuracy"].mean().mean())
    return {"mean_corruption_error": error, "relative_corruption_error": error - (1 - accuracy)}


def describe(table: pd.DataFrame, accuracy: float) -> str:
    """The corruptions in words, the worst first."""
    if not len(table):
        return "no corruption was tried (predict.corruptions)"
    means = table.groupby("corruption")["accuracy"].mean().sort_values(kind="stable")
    values = scores(table, accuracy)
    each = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return (
        f"mean corruption error {values['mean_corruption_error']:.4f}, {values['relative_corruption_error']:.4f} above "
        f"that of the images as they are; mean accuracy under {each}"
    )
