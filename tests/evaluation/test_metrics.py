"""Scores of predictions small enough to count by hand."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from heldout.evaluation import metrics, plots

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]], np.float32)
LABELS = np.array([0, 0, 2, 1], np.int32)


def test_scores_by_hand():
    scores = metrics.scores(LABELS, PROBABILITIES, top_k=2)
    assert scores["accuracy"] == 0.5
    assert scores["top_2_accuracy"] == 1.0
    assert scores["macro_f1"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores["loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean(), rel=1e-6)
    assert scores["images"] == 4


def test_top_k_is_left_out_where_it_says_nothing():
    assert not any("top" in name for name in metrics.scores(LABELS, PROBABILITIES, top_k=3))


def test_a_class_without_test_images_counts():
    scores = metrics.scores(np.array([0, 0]), PROBABILITIES[:2], top_k=5)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_predictions_are_keyed_by_identity():
    table = metrics.predictions(np.array(["i0", "i1", "i2", "i3"], object), LABELS, PROBABILITIES, ["a", "b", "c"])
    assert table.iloc[1].to_dict() == {
        "id": "i1",
        "label": "a",
        "predicted": "b",
        "confidence": 0.5,
        "label_probability": 0.4,
    }


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
        plots.confusion(predictions, ["a", "b"], tmp_path / name / "confusion.png")
        plots.class_by_split(counts, tmp_path / name / "split.png")
        plots.curves(history, tmp_path / name / "curves.png")
    for plot in (tmp_path / "first").iterdir():
        assert plot.read_bytes() == (tmp_path / "second" / plot.name).read_bytes()
        assert plot.stat().st_size > 5000


def test_plots_do_not_depend_on_a_persons_matplotlibrc(tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 30\n")
    code = "import sys, pandas; from heldout.evaluation import plots\n"
    code += "counts = pandas.DataFrame({'train': [3, 4], 'val': [1, 1], 'test': [1, 2]}, index=['a', 'b'])\n"
    code += "plots.class_by_split(counts, sys.argv[1])"
    for name, variables in (("default.png", {}), ("own.png", {"MATPLOTLIBRC": str(tmp_path)})):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        subprocess.run(command, env=os.environ | variables, check=True)
    assert (tmp_path / "default.png").read_bytes() == (tmp_path / "own.png").read_bytes()
