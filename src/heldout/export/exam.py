"""The exam of the files to ship: every held-out image, what the model says of it, and how a file's answers compare."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from heldout.data import manifest
from heldout.data.shards import Images
from heldout.evaluation import intervals
from heldout.evaluation.intervals import Interval
from heldout.evaluation.significance import paired_tests
from heldout.networks import tokenizer


class Exam(NamedTuple):
    """The test images, their class numbers (n,), the numbers of their groups (n,) of `intervals.group_numbers`, and the
    tokens of their texts, int32 (n, length), where the model takes them."""

    images: Images
    labels: np.ndarray
    groups: np.ndarray
    tokens: np.ndarray | None = None

    def batches(self) -> Iterator[Any]:
        """The model's inputs, so many images at a time."""
        return tokenizer.model_inputs(self.images.batches(), self.tokens)


class Parity(NamedTuple):
    """How a shipped file compares with the model: the largest difference of a probability, how many images have another
    predicted class, the file's bytes, its accuracy, and that less the model's, paired by image."""

    max_abs_difference: float
    changed_predictions: int
    bytes: int
    accuracy: Interval
    accuracy_difference: Interval


def read(images: Images, rows: pd.DataFrame, class_names: list[str], text: dict[str, Any] | None = None) -> Exam:
    """The exam.

    Args:
        images: preprocessed.
        rows: the manifest of the split.
        class_names: by number.
        text: the section `text` of a model that sees texts.

    Raises:
        ValueError: where the two are not of the same images.
    """
    rows = manifest.match(rows, images.ids, "the images of data/processed/test", "data/splits/test.csv")
    groups = rows["group"] if "group" in rows else pd.Series("", rows.index)
    tokens = tokenizer.tokens_of(images, text)
    return Exam(images, images.class_numbers(class_names), intervals.group_numbers(groups), tokens)


def predict(run: Callable[[Any], np.ndarray], exam: Exam) -> np.ndarray:
    """Probabilities of every image, (n, num_classes)."""
    return np.concatenate([run(inputs) for inputs in exam.batches()])


def accuracy(probabilities: np.ndarray, exam: Exam) -> Interval:
    """The accuracy of predictions of every image."""
    return intervals.proportion(probabilities.argmax(axis=1) == exam.labels, exam.groups)


def compare(shipped: np.ndarray, model: np.ndarray, exam: Exam, size: int) -> Parity:
    """How probabilities (n, num_classes) of a file of `size` bytes compare with the model's."""
    classes, expected = shipped.argmax(axis=1), model.argmax(axis=1)
    paired = paired_tests.correct(expected == exam.labels, classes == exam.labels, exam.groups)
    difference = float(np.abs(shipped - model).max())
    return Parity(
        float(f"{difference:.1e}"),
        int((classes != expected).sum()),
        size,
        accuracy(shipped, exam),
        Interval(paired.value, paired.low, paired.high),
    )
