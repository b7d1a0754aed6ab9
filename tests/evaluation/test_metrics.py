"""Scores of predictions small enough to count by hand."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, top_k_accuracy_score

from heldout.data import manifest
from heldout.evaluation import metrics
from heldout.evaluation.plots.confusion import confusion
from heldout.evaluation.plots.curves import curves
from heldout.evaluation.plots.splits import class_by_split

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]], np.float32)
LABELS = np.array([0, 0, 2, 1], np.int32)


NAMES = ["a", "b", "c"]


def table(labels: np.ndarray = LABELS, probabilities: np.ndarray = PROBABILITIES) -> pd.DataFrame:
    ids = np.array([f"i{number}" for number in range(len(labels))], object)
    return metrics.predictions(ids, labels, probabilities, NAMES[: probabilities.shape[1]])


def test_scores_by_hand():
    scores = metrics.scores(table(), 3, top_k=2)
    assert scores["accuracy"] == 0.5
    assert scores["top_2_accuracy"] == 1.0
    assert scores["macro_f1"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores["loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean(), rel=1e-6)
    assert scores["images"] == 4


@pytest.mark.parametrize(("num_classes", "n"), [(2, 50), (7, 300), (100, 1000)])
def test_scores_are_those_of_scikit_learn(num_classes, n):
    generator = np.random.default_rng(num_classes)
    probabilities = generator.dirichlet(np.full(num_classes, 0.1), n).astype(np.float32)
    labels = np.where(generator.random(n) < 0.6, probabilities.argmax(axis=1), generator.integers(0, num_classes, n))
    names = [f"class {number}" for number in range(num_classes)]
    exact = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    scores = metrics.scores(metrics.predictions(np.arange(n), labels, probabilities, names), num_classes, top_k=5)
    predicted, present = exact.argmax(axis=1), sorted({*labels, *exact.argmax(axis=1)})
    assert scores["accuracy"] == accuracy_score(labels, predicted)
    assert scores["macro_f1"] == pytest.approx(f1_score(labels, predicted, labels=present, average="macro"))
    assert scores["loss"] == pytest.approx(log_loss(labels, exact, labels=range(num_classes)), rel=1e-5)
    if num_classes > 5:
        assert scores["top_5_accuracy"] == top_k_accuracy_score(labels, exact, k=5, labels=range(num_classes))


def test_top_k_is_left_out_where_it_says_nothing():
    assert not any("top" in name for name in metrics.scores(table(), 3, top_k=3))


def test_a_class_that_does_not_occur_costs_nothing():
    right = table(np.array([0, 2, 0]), PROBABILITIES[[0, 2, 3]])
    assert metrics.scores(right, 3, top_k=5)["macro_f1"] == 1.0
    assert metrics.absent_classes(right, NAMES) == ["b"]
    wrong = table(np.array([0, 0]), PROBABILITIES[:2])  # b occurs, among the predictions
    assert metrics.scores(wrong, 3, top_k=5)["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_predictions_are_keyed_by_identity():
    assert table().iloc[1].to_dict() == {
        "id": "i1",
        "label": "a",
        "predicted": "b",
        "confidence": 0.5,
        "label_probability": 0.4,
        "label_rank": 2,
    }


def test_ranks_of_equal_probabilities_agree_with_the_prediction():
    probabilities = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0.2, 0.4, 0.4]], np.float32)
    ties = table(np.array([0, 1, 2]), probabilities)
    assert ties["predicted"].tolist() == ["a", "a", "b"] and ties["label_rank"].tolist() == [1, 2, 2]


def test_a_probability_of_almost_nothing_keeps_its_digits(tmp_path):
    probabilities = np.array([[1 - 1e-9, 1.23456789e-9, 0]], np.float32)
    manifest.write(table(np.array([1]), probabilities), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().splitlines()[1] == "i0,b,a,1.0,1.23457e-09,2"


def test_plots_have_the_same_bytes_again(tmp_path):
    predictions = pd.DataFrame({"label": ["a", "b", "b"], "predicted": ["a", "a", "b"]})
    counts = pd.DataFrame({"train": [3, 4], "val": [1, 1], "test": [1, 2]}, index=["a", "b"])
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "loss": [1.0, 0.5],
            "val_loss": [1.0, 0.9],
            "accuracy": [0.1, 0.4],
            "val_accuracy": [0.1, 0.2],
        }
    )
    for name in ("first", "second"):
        confusion(predictions, ["a", "b"], tmp_path / name / "confusion.png")
        class_by_split(counts, tmp_path / name / "split.png")
        curves(history, tmp_path / name / "curves.png")
    for plot in (tmp_path / "first").iterdir():
        assert plot.read_bytes() == (tmp_path / "second" / plot.name).read_bytes()
        assert plot.stat().st_size > 5000


def test_plots_do_not_depend_on_a_persons_matplotlibrc(tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 30\n")
    code = "import sys, pandas; from heldout.evaluation.plots import splits\n"
    code += "counts = pandas.DataFrame({'train': [3, 4], 'val': [1, 1], 'test': [1, 2]}, index=['a', 'b'])\n"
    code += "splits.class_by_split(counts, sys.argv[1])"
    for name, variables in (("default.png", {}), ("own.png", {"MATPLOTLIBRC": str(tmp_path)})):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        subprocess.run(command, env=os.environ | variables, check=True)
    assert (tmp_path / "default.png").read_bytes() == (tmp_path / "own.png").read_bytes()
