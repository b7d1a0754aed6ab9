"""Ablation: from classes on disk to scores and paired gains, by hand; what texts give away."""

import numpy as np
import pandas as pd
import pytest

from heldout.evaluation import ablation, intervals, probabilities

LABELS = np.array([0, 1, 1, 0] * 10)
GROUPS = np.arange(40)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / probabilities.ABLATED).mkdir()
    for name, right in (("image_alone", 20), ("text_alone", 30), ("shuffled_text", 10)):
        classes = np.where(np.arange(40) < right, LABELS, 1 - LABELS)
        np.save(tmp_path / probabilities.ABLATED / f"{name}.npy", classes.astype(np.int32))
    return tmp_path


def test_by_hand(folder):
    predicted = np.where(np.arange(40) < 32, LABELS, 1 - LABELS)
    values = ablation.scores(folder, LABELS, predicted, GROUPS)
    assert [values[f"{name}_accuracy"] for name in ablation.INPUTS] == [0.5, 0.75, 0.25]
    expected = intervals.proportion(np.arange(40) < 20, GROUPS)
    assert (values["image_alone_accuracy_low"], values["image_alone_accuracy_high"]) == expected[1:]
    assert values["gain_of_text"] == pytest.approx(0.3) and values["gain_of_image"] == pytest.approx(0.05)
    assert values["gain_of_text_p_value"] == pytest.approx(2 * 0.5**12)  # McNemar: twelve fixed, none broken
    assert 0 < values["gain_of_text_low"] < 0.3 < values["gain_of_text_high"]
    assert values["gain_of_image_low"] <= 0
    lines = ablation.describe(values | dict.fromkeys(ablation.COUNTS, 0.5))
    assert lines[0].startswith(
        "accuracy by image alone 0.5000, text alone 0.7500, shuffled text 0.2500; gain of text +0.3000 [+0."
    )
    assert lines[1] == (
        "50.0% of the test images have a text, 50.0% of these texts stand verbatim in train, 50.0% name their class: "
        "a text that is made from the label is a leak"
    )


def test_without_texts_there_is_nothing(tmp_path):
    assert ablation.scores(tmp_path, LABELS, LABELS, GROUPS) == {}
    assert ablation.describe({"accuracy": 1.0}) == []


def test_what_texts_give_away():
    labels = ["mammals", "sea birds", "sea birds", "fish", "fish"]
    texts = ["Two MAMMALS.", "birds of the sea", "Sea-Birds", "", "a trout"]
    test = pd.DataFrame({"label": labels, "text": texts})
    train = pd.DataFrame({"label": ["fish", "fish"], "text": ["A trout!", ""]})
    assert ablation.leaks(test, train) == {"test_texts": 0.8, "texts_in_train": 0.25, "texts_naming_class": 0.5}
    assert ablation.leaks(test.iloc[3:4], train) == dict.fromkeys(ablation.COUNTS, 0.0)


def test_damage_ends_in_one_line(folder):
    with pytest.raises(ValueError, match="is not of the 3 test images: run `dvc repro`"):
        ablation.scores(folder, LABELS[:3], LABELS[:3], GROUPS[:3])
    (folder / probabilities.ABLATED / "text_alone.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"text_alone\.npy is damaged: run `dvc checkout --force "):
        ablation.scores(folder, LABELS, LABELS, GROUPS)
