"""How good predictions are: the scores of a held-out split, and the table of its images."""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.metrics import accuracy_score, f1_score, log_loss, top_k_accuracy_score


def scores(
    labels: np.ndarray, probabilities: np.ndarray, *, top_k: Annotated[int, Field(ge=1)]
) -> dict[str, float | int]:
    """Accuracy, top-k accuracy, macro F1 and cross-entropy.

    Args:
        labels: class numbers (n,).
        probabilities: (n, num_classes), rows that sum to 1.
        top_k: k of the top-k accuracy, which is left out where there are no more than k classes (it would be 1).

    Returns:
        accuracy, top_K_accuracy, macro_f1 (the mean of the classes' F1), loss (nats) and images (n).
    """
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    result: dict[str, float | int] = {"accuracy": float(accuracy_score(labels, predicted))}
    if top_k < len(classes):
        top = top_k_accuracy_score(labels, probabilities, k=top_k, labels=classes)
        result[f"top_{top_k}_accuracy"] = float(top)
    result["macro_f1"] = float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0))
    exact = probabilities.astype(np.float64)  # float32 rows sum to 1 within 1e-7, which scikit-learn finds too far
    result["loss"] = float(log_loss(labels, exact / exact.sum(axis=1, keepdims=True), labels=classes))
    return result | {"images": len(labels)}


def predictions(ids: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """One row an image: id, label, predicted class, its confidence, and the label's probability."""
    names = np.array(class_names, object)
    rows = np.arange(len(labels))
    table = {
        "id": ids,
        "label": names[labels],
        "predicted": names[probabilities.argmax(axis=1)],
        "confidence": probabilities.max(axis=1).astype(np.float64).round(6),
        "label_probability": probabilities[rows, labels].astype(np.float64).round(6),
    }
    return pd.DataFrame(table)
