"""Scores of predictions small enough to count by hand, and of others as scikit-learn has them."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

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


def values(labels: np.ndarray, probabilities: np.ndarray, top_k: int = 5) -> dict[str, float]:
    """Every score of these predictions, with the classes called by their numbers; each within its interval."""
    n, num_classes = probabilities.shape
    names = [f"class {number:04d}" for number in range(num_classes)]
    scores = metrics.table_scores(
        metrics.predictions(np.arange(n), labels, probabilities, names), num_classes, top_k=top_k
    )
    scores["brier_score"] = metrics.brier_score(probabilities, labels, np.arange(n))
    if auc := metrics.macro_auc(probabilities, labels, np.arange(n)):
        scores["macro_auc"] = auc
    for name, interval in scores.items():
        assert 0 <= interval.low <= interval.value <= interval.high, (name, interval)
        assert interval.high <= 1 or "log_loss" in name or "brier" in name, (name, interval)
    return {name: interval.value for name, interval in scores.items()}


def test_scores_by_hand():
    scores = values(LABELS, PROBABILITIES, top_k=2)
    assert scores["accuracy"] == 0.5
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert scores["top_2_accuracy"] == 1.0
    assert scores["macro_f1"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores["weighted_f1"] == pytest.approx((2 * 0.5 + 1 * 0 + 1 * 1) / 4)
    assert scores["log_loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean(), rel=1e-6)
    assert scores["brier_score"] == pytest.approx((0.14 + 0.62 + 0.06 + 0.86) / 4)
    # Class 0: .7 and .4 against .1 and .6; class 1: .3 against .2, .5, .1; class 2: .8 against .1 thrice.
    assert scores["macro_auc"] == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)
    # One bin, of the mean confidence .65 and the accuracy .5; y - c is .3, -.5, .2, -.6 about its mean -.15.
    noise = (0.45**2 + 0.35**2 + 0.35**2 + 0.45**2) / 4 / 3
    assert scores["expected_calibration_error"] == pytest.approx(max(0.15**2 - noise, 0) ** 0.5)


@pytest.mark.parametrize(("num_classes", "n"), [(2, 50), (7, 300), (100, 1000), (1000, 3000)])
def test_scores_are_those_of_scikit_learn(num_classes, n):
    generator = np.random.default_rng(num_classes)
    probabilities = generator.dirichlet(np.full(num_classes, 0.1), n).astype(np.float32)
    labels = np.where(generator.random(n) < 0.6, probabilities.argmax(axis=1), generator.integers(0, num_classes, n))
    exact = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    scores, predicted = values(labels, probabilities), probabilities.argmax(axis=1)
    occurring = sorted({*labels, *predicted})
    assert scores["accuracy"] == sklearn_metrics.accuracy_score(labels, predicted)
    in_labels = np.isin(predicted, labels)  # scikit-learn warns of predicted classes without a label
    recalls = sklearn_metrics.recall_score(labels, predicted, labels=np.unique(labels), average=None)
    assert scores["balanced_accuracy"] == pytest.approx(recalls.mean())
    if in_labels.all():
        expected = sklearn_metrics.balanced_accuracy_score(labels, predicted)
        assert scores["balanced_accuracy"] == pytest.approx(expected)
    for average in ("macro", "weighted"):
        expected = sklearn_metrics.f1_score(labels, predicted, labels=occurring, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    expected = sklearn_metrics.log_loss(labels, exact, labels=range(num_classes))
    assert scores["log_loss"] == pytest.approx(expected, rel=1e-5)
    areas = [sklearn_metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in np.unique(labels)]
    assert scores["macro_auc"] == pytest.approx(np.mean(areas))
    expected = ((np.eye(num_classes)[labels] - probabilities) ** 2).sum(axis=1).mean()
    assert scores["brier_score"] == pytest.approx(expected, rel=1e-5)
    if num_classes == 2:
        assert scores["brier_score"] == pytest.approx(
            sklearn_metrics.brier_score_loss(labels, exact[:, 1]) * 2, rel=1e-5
        )
    if num_classes > 5:
        expected = sklearn_metrics.top_k_accuracy_score(labels, exact, k=5, labels=range(num_classes))
        assert scores["top_5_accuracy"] == expected


def test_a_perfect_predictor():
    labels = np.tile(np.arange(4), 25)
    scores = values(labels, np.eye(4, dtype=np.float32)[labels], top_k=2)
    losses = {"log_loss", "brier_score", "expected_calibration_error"}
    for name, value in scores.items():
        assert value == (0 if name.removeprefix("calibrated_") in losses else 1), name


def test_a_constant_predictor():
    labels = np.tile(np.arange(4), 25)
    scores = values(labels, np.tile(np.eye(4, dtype=np.float32)[1], (100, 1)), top_k=2)
    assert scores["accuracy"] == scores["balanced_accuracy"] == 0.25 and scores["macro_auc"] == 0.5
    assert scores["macro_f1"] == scores["weighted_f1"] == pytest.approx(0.4 / 4)
    assert scores["brier_score"] == 1.5 and scores["top_2_accuracy"] == 0.5
    assert scores["log_loss"] == pytest.approx(-0.75 * np.log(metrics.SMALLEST))
    assert scores["expected_calibration_error"] == pytest.approx((0.75**2 - 0.25 * 0.75 / 99) ** 0.5)  # Kumar 2019


def test_equal_probabilities():
    labels = np.tile(np.arange(4), 25)
    scores = values(labels, np.full((100, 4), 0.25, np.float32), top_k=2)
    assert scores["accuracy"] == 0.25 and scores["macro_auc"] == 0.5 and scores["expected_calibration_error"] == 0
    assert scores["log_loss"] == pytest.approx(np.log(4)) and scores["brier_score"] == 0.75


def test_a_random_predictor():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 5000)
    scores = values(labels, generator.dirichlet(np.ones(5), 5000).astype(np.float32), top_k=2)
    assert scores["accuracy"] == pytest.approx(0.2, abs=0.02) and scores["macro_auc"] == pytest.approx(0.5, abs=0.01)
    assert scores["top_2_accuracy"] == pytest.approx(0.4, abs=0.02)


def test_one_image_right_and_wrong():
    right = values(np.array([0]), PROBABILITIES[:1])
    assert right["accuracy"] == right["balanced_accuracy"] == right["macro_f1"] == 1 and "macro_auc" not in right
    wrong = values(np.array([1]), PROBABILITIES[:1])
    assert wrong["accuracy"] == wrong["macro_f1"] == wrong["weighted_f1"] == 0


def test_a_class_that_the_test_lacks():
    labels = np.array([0, 1, 1, 0])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]], np.float32)
    scores = values(labels, probabilities)
    assert scores["balanced_accuracy"] == 0.75 and scores["macro_auc"] == (1 + 3 / 4) / 2  # of 0 and 1
    assert scores["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)  # 2 occurs, among the predictions


def test_images_of_one_group_widen_every_interval():
    generator = np.random.default_rng(0)
    labels = np.repeat(generator.integers(0, 3, 40), 10)
    right = np.repeat(generator.random(40) < 0.8, 10)  # all images of a group, or none
    probabilities = np.full((400, 3), 0.1, np.float32)
    probabilities[np.arange(400), np.where(right, labels, (labels + 1) % 3)] = 0.8
    frame = metrics.predictions(np.arange(400), labels, probabilities, NAMES)
    grouped = frame.assign(group=np.repeat([f"g{number}" for number in range(40)], 10))
    alone, together = (metrics.table_scores(rows, 3, top_k=5) for rows in (frame, grouped))
    for name, interval in alone.items():
        # Larger noise is taken off the calibration error, if groups share it.
        assert together[name].value == interval.value or "calibration" in name, name
        assert together[name].high - together[name].low > 2.5 * (interval.high - interval.low), name
    assert metrics.table_scores(frame.assign(group=""), 3, top_k=5) == alone


def test_top_k_is_left_out_where_it_says_nothing():
    assert not any("top" in name for name in metrics.table_scores(table(), 3, top_k=3))


def test_a_class_that_does_not_occur_costs_nothing():
    right = table(np.array([0, 2, 0]), PROBABILITIES[[0, 2, 3]])
    assert metrics.table_scores(right, 3, top_k=5)["macro_f1"].value == 1.0
    assert metrics.absent_classes(right, NAMES) == ["b"]
    wrong = table(np.array([0, 0]), PROBABILITIES[:2])  # b occurs, among the predictions
    assert metrics.table_scores(wrong, 3, top_k=5)["macro_f1"].value == pytest.approx((2 / 3 + 0) / 2)


def test_predictions_are_keyed_by_identity():
    assert table().iloc[1].to_dict() == {
        "id": "i1",
        "label": "a",
        "predicted": "b",
        "confidence": 0.5,
        "label_probability": 0.4,
        "label_rank": 2,
        "calibrated_confidence": 0.5,
        "calibrated_label_probability": 0.4,
    }


def test_ranks_of_equal_probabilities_agree_with_the_prediction():
    probabilities = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0.2, 0.4, 0.4]], np.float32)
    ties = table(np.array([0, 1, 2]), probabilities)
    assert ties["predicted"].tolist() == ["a", "a", "b"] and ties["label_rank"].tolist() == [1, 2, 2]


def test_a_probability_of_almost_nothing_keeps_its_digits(tmp_path):
    probabilities = np.array([[1 - 1e-9, 1.23456789e-9, 0]], np.float32)
    manifest.write(table(np.array([1]), probabilities), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().splitlines()[1] == "i0,b,a,1.0,1.23457e-09,2,1.0,1.23457e-09"


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
