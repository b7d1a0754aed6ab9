"""Scores of each class by hand, against scikit-learn, and of classes without an image."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from heldout.evaluation.by_class import by_class

NAMES = ["a", "b", "c", "d"]
TABLE = pd.DataFrame({"label": list("aaaabbbc"), "predicted": list("aabcbbab")})


def test_a_table_by_hand():
    rows = by_class(TABLE, NAMES).set_index("label")
    assert rows.loc["a", ["support", "predicted", "precision", "recall"]].tolist() == [4, 3, 0.666667, 0.5]
    assert rows["f1"].tolist()[:3] == pytest.approx([4 / 7, 4 / 7, 0], abs=1e-6)
    assert rows["most_confused_with"].tolist() == ["b", "a", "b", ""]  # of a's b and c the first
    assert rows["most_confused_count"].tolist() == [1, 1, 1, 0]
    expected = stats.binomtest(2, 3).proportion_ci(method="wilson")
    assert rows.loc["a", ["precision_low", "precision_high"]].tolist() == pytest.approx(list(expected), abs=1e-6)
    jaccard = stats.binomtest(2, 5).proportion_ci(method="wilson")
    ends = [2 * end / (1 + end) for end in jaccard]
    assert rows.loc["a", ["f1_low", "f1_high"]].tolist() == pytest.approx(ends, abs=1e-6)


def test_a_class_without_an_image_has_no_score():
    row = by_class(TABLE, NAMES).iloc[3]
    assert row["support"] == row["predicted"] == 0
    assert row[["precision", "precision_low", "recall", "recall_high", "f1", "f1_low"]].isna().all()


@pytest.mark.parametrize("num_classes", [2, 40])
def test_scores_are_those_of_scikit_learn(num_classes):
    generator = np.random.default_rng(num_classes)
    labels = generator.integers(0, num_classes, 500)
    predicted = np.where(generator.random(500) < 0.7, labels, generator.integers(0, num_classes, 500))
    names = [f"{number:02d}" for number in range(num_classes)]
    table = pd.DataFrame({"label": np.array(names)[labels], "predicted": np.array(names)[predicted]})
    rows = by_class(table, names)
    expected = precision_recall_fscore_support(labels, predicted, labels=range(num_classes))
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert rows[name].to_numpy() == pytest.approx(values, abs=1e-6)
        assert (rows[f"{name}_low"] <= rows[name]).all() and (rows[name] <= rows[f"{name}_high"]).all()


def test_groups_widen_the_intervals_alone():
    generator = np.random.default_rng(0)
    labels = np.repeat(generator.choice(NAMES, 60), 8)
    predicted = np.where(np.repeat(generator.random(60) < 0.7, 8), labels, "a")
    table = pd.DataFrame({"label": labels, "predicted": predicted})
    alone = by_class(table, NAMES)
    grouped = by_class(table.assign(group=np.repeat([f"g{number}" for number in range(60)], 8)), NAMES)
    ends = [name for name in alone if name.endswith(("_low", "_high"))]
    pd.testing.assert_frame_equal(alone.drop(columns=ends), grouped.drop(columns=ends))
    for name in ("precision", "recall", "f1"):
        wide, narrow = (rows[f"{name}_high"] - rows[f"{name}_low"] for rows in (grouped, alone))
        assert (wide > 1.5 * narrow).all(), name
