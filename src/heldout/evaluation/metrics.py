"""How good predictions are: the table of a held-out split's images, and the scores that follow from it alone."""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.metrics import f1_score

SMALLEST = np.finfo(np.float64).eps  # a probability of 0 counts as this, as it does in scikit-learn's log_loss
DIGITS = 6  # significant ones of a probability


def predictions(ids: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """One row an image: what metrics/predictions.csv holds, and all that `scores` needs.

    Args:
        ids: of the images, (n,).
        labels: class numbers (n,).
        probabilities: (n, num_classes), rows that sum to 1.
        class_names: by number.

    Returns:
        id, label, predicted class, its confidence, the label's probability, and the label's rank by probability (1 is
        the predicted class; of equal ones the lower class number comes first).
    """
    names = np.array(class_names, object)
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    before = (probabilities == own[:, None]) & (np.arange(len(class_names)) < labels[:, None])
    table = {
        "id": ids,
        "label": names[labels],
        "predicted": names[probabilities.argmax(axis=1)],
        "confidence": _rounded(probabilities.max(axis=1)),
        "label_probability": _rounded(own),
        "label_rank": 1 + (probabilities > own[:, None]).sum(axis=1) + before.sum(axis=1),
    }
    return pd.DataFrame(table)


def scores(table: pd.DataFrame, num_classes: int, *, top_k: Annotated[int, Field(ge=1)]) -> dict[str, float | int]:
    """Accuracy, top-k accuracy, macro F1 and cross-entropy.

    They follow from the table that is in git, so that anyone can compute them again without the data.

    Args:
        table: of `predictions`.
        num_classes: how many classes the model tells apart.
        top_k: k of the top-k accuracy, which is left out where there are no more than k classes (it would be 1).

    Returns:
        accuracy, top_K_accuracy, macro_f1 (the mean of the F1 of the classes that occur among labels or predictions),
        loss (nats) and images (n).
    """
    result: dict[str, float | int] = {"accuracy": float((table["label"] == table["predicted"]).mean())}
    if top_k < num_classes:
        result[f"top_{top_k}_accuracy"] = float((table["label_rank"] <= top_k).mean())
    result["macro_f1"] = float(f1_score(table["label"], table["predicted"], average="macro", zero_division=0))
    result["loss"] = float(-np.log(np.maximum(table["label_probability"], SMALLEST)).mean())
    return result | {"images": len(table)}


def absent_classes(table: pd.DataFrame, class_names: list[str]) -> list[str]:
    """The classes without an image among the labels: no score says anything of them."""
    return [name for name in class_names if name not in set(table["label"])]


def _rounded(values: np.ndarray) -> np.ndarray:
    """float64 of the shortest text: a probability of 1e-9 keeps its digits, so that the loss can be computed again."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])
