"""The whole of an evaluation: the keys and their order, what it says, groups, and that val alone is fitted on."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

from heldout.data import shards
from heldout.evaluation import evaluate
from heldout.evaluation.probabilities import Probabilities

NAMES = ["a", "b", "c"]
SETTINGS = {"top_k": 2, "target_accuracy": 0.95, "min_slice": 20, "slices": []}


def predicted(n: int, seed: int = 0, margin: float = 2.0) -> Probabilities:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    logits = generator.gumbel(size=(n, 3))
    logits[np.arange(n), labels] += margin
    ids = np.array([f"{number:04d}" for number in range(n)], object)
    return Probabilities(ids, np.array(NAMES, object)[labels], special.softmax(2 * logits, axis=1).astype(np.float32))


def rows(split: Probabilities, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"id": split.ids, "path": "p/" + split.ids, "label": split.labels, **columns})


def run(val: Probabilities, test: Probabilities, columns: dict | None = None, **changed: object) -> evaluate.Evaluation:
    manifests = {
        "train": rows(val),
        "val": rows(val),
        "test": rows(test, **(columns or {})).sample(frac=1, random_state=0),
    }
    with tempfile.TemporaryDirectory() as folder:
        images = write_images(test, Path(folder))
        return evaluate.evaluate({"val": val, "test": test}, manifests, NAMES, images, folder, **SETTINGS | changed)


def write_images(split: Probabilities, folder: Path) -> shards.Images:
    """Noise, an image a row."""
    generator = np.random.default_rng(0)
    for shard in shards.create_shards(rows(split), (4, 4, 3), folder):
        with shard.path.open("ab") as file:
            shard_bytes = (shard.stop - shard.start) * 48
            file.truncate(shard.header_bytes)
            file.write(generator.integers(0, 256, shard_bytes, np.uint8).tobytes())
    return shards.Images(folder)


def test_scores_are_flat_and_in_order():
    result = run(predicted(300), predicted(300, 1))
    names = ["accuracy", "balanced_accuracy", "top_2_accuracy", "macro_f1", "weighted_f1", "macro_auc", "log_loss"]
    names += ["brier_score", "expected_calibration_error", "calibrated_log_loss", "calibrated_brier_score"]
    names += ["calibrated_expected_calibration_error"]
    keys = [name + end for name in names for end in ("", "_low", "_high")] + ["area_under_risk_coverage"]
    keys += ["selective_accuracy", "selective_accuracy_low", "selective_accuracy_high", "selective_coverage"]
    assert list(result.scores) == [*keys, "images", "groups"]
    assert all(type(value) in (int, float) for value in result.scores.values())
    assert result.scores["images"] == 300 and result.scores["groups"] == 0 and len(result.notes) == 2
    assert list(result.calibration)[:3] == ["temperature", "threshold", "target_accuracy"]


def test_temperature_scaling_helps_the_test():
    result = run(predicted(2000), predicted(2000, 1))
    for name in ("log_loss", "brier_score", "expected_calibration_error"):
        assert result.scores[f"calibrated_{name}"] < result.scores[name]
    assert result.calibration["temperature"] > 1.5  # its probabilities are squared
    assert result.calibration["val_accuracy_at_threshold"] >= 0.95
    assert result.scores["accuracy"] + 0.1 < result.scores["selective_accuracy"] < 0.95  # val's was the best of many


def test_the_test_changes_nothing_that_is_fitted():
    assert run(predicted(300), predicted(300, 1)).calibration == run(predicted(300), predicted(50, 2)).calibration


def test_tables():
    result = run(predicted(300), predicted(300, 1))
    assert list(result.tables) == [
        "predictions",
        "by_class",
        "reliability",
        "risk_coverage",
        "suspects",
        "slices",
        "robustness",
    ]
    assert result.tables["predictions"].columns.tolist()[:5] == ["id", "path", "label", "predicted", "confidence"]
    assert (result.tables["predictions"]["path"] == "p/" + result.tables["predictions"]["id"]).all()
    assert result.tables["reliability"].groupby("when")["images"].sum().tolist() == [300, 300]
    assert result.tables["risk_coverage"]["coverage"].iloc[-1] == 1


def test_groups_are_in_the_table_and_widen_the_intervals():
    val, test = predicted(300), predicted(300, 1)
    groups = [f"g{number // 10}" if number < 200 else "" for number in range(300)]
    grouped, alone = run(val, test, {"group": groups}), run(val, test)
    assert grouped.scores["groups"] == 20 and grouped.tables["predictions"]["group"].tolist() == groups
    assert grouped.scores["accuracy"] == alone.scores["accuracy"]
    none = run(val, test, {"group": ""})
    assert "group" not in none.tables["predictions"] and none.scores == alone.scores


def test_the_verdict_reads_well():
    scores = run(predicted(300), predicted(300, 1)).scores
    line = evaluate.verdict(scores)
    low, high = scores["accuracy_low"], scores["accuracy_high"]
    assert line.startswith(f"accuracy {scores['accuracy']:.4f} [{low:.3f}, {high:.3f}] of 300 images, macro_f1 ")
    assert " of 300 images in 7 groups, " in evaluate.verdict(scores | {"groups": 7})


def test_what_val_cannot_give_is_said():
    result = run(predicted(10), predicted(300, 1), target_accuracy=0.9999)
    assert result.calibration["temperature"] == 1 and "10 images, 30 are needed" in result.notes[0]
    worst = predicted(100, margin=-9.0)
    result = run(worst, predicted(300, 1))
    assert result.notes[-3].startswith("no threshold reaches an accuracy of 0.95 on val")
    assert result.calibration["threshold"] == 1 and "val_accuracy_at_threshold" not in result.calibration
    assert result.scores["selective_coverage"] == 0 and "selective_accuracy" not in result.scores


def test_a_target_that_val_reaches_leaves_nothing_out():
    result = run(predicted(100, margin=9.0), predicted(100, 1, margin=9.0), target_accuracy=0.5)
    assert result.calibration["threshold"] == 0 and result.scores["selective_coverage"] == 1


def test_one_test_image():
    result = run(predicted(300), predicted(1, 1))
    assert result.scores["images"] == 1 and "macro_auc" not in result.scores
    assert result.scores["accuracy_high"] - result.scores["accuracy_low"] > 0.7
    assert result.notes[-1].startswith("no test image, so no score, for 2 classes: ")


def test_predictions_of_other_images_are_refused(tmp_path):
    val, test = predicted(300), predicted(300, 1)
    manifests = {"train": rows(val), "val": rows(val), "test": rows(predicted(299, 1))}
    with pytest.raises(ValueError, match=r"not of the images of data/splits/test.csv: run `dvc repro`"):
        evaluate.evaluate(
            {"val": val, "test": test}, manifests, NAMES, write_images(test, tmp_path), tmp_path, **SETTINGS
        )
