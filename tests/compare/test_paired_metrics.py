"""The paired bootstrap: scipy's by hand, whole groups, and calibration errors that are seldom called different."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from heldout.compare import paired_metrics
from heldout.evaluation import calibration, metrics


def exam(n: int, seed: int, overconfident: float = 0.0) -> pd.DataFrame:
    """Two models of five classes that err independently; HEAD's confidence is too high by up to twice the amount."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, n)
    table = pd.DataFrame({"label": label.astype(str)})
    for side, excess in (("base", 0.0), ("head", overconfident)):
        likely = np.clip(rng.beta(6, 1.5, n), 0.1, 0.999)
        correct = rng.random(n) < likely
        confidence = likely + excess * (1 - likely)
        table[f"predicted_{side}"] = np.where(correct, label, (label + 1) % 5).astype(str)
        table[f"confidence_{side}"] = confidence
        table[f"label_probability_{side}"] = np.where(correct, confidence, (1 - confidence) / 4)
        table[f"label_rank_{side}"] = np.where(correct, 1, 2 + rng.integers(0, 3, n))
    return table


def test_a_mean_is_scipys_paired_bootstrap():
    table = exam(200, 0)
    row = paired_metrics.differences(table, np.arange(200)).set_index("metric").loc["log_loss"]
    losses = [-np.log(table[f"label_probability_{side}"]) for side in ("base", "head")]
    found = stats.bootstrap(
        losses,
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=5000,
        rng=1,
    ).confidence_interval
    assert row["difference"] == pytest.approx(losses[1].mean() - losses[0].mean())
    width = found.high - found.low
    assert [row["low"], row["high"]] == pytest.approx([found.low, found.high], abs=0.05 * width)


def test_images_of_a_group_are_drawn_together():
    """Each image five times is no more than the image once."""
    table = exam(100, 1)
    once = paired_metrics.differences(table, np.arange(100)).set_index("metric")
    five = pd.concat([table] * 5, ignore_index=True)
    again = paired_metrics.differences(five, np.tile(np.arange(100), 5)).set_index("metric")
    for name in ("log_loss", "macro_f1", "balanced_accuracy"):
        assert again.loc[name].to_numpy() == pytest.approx(once.loc[name].to_numpy())


def test_k_is_what_evaluate_takes():
    table = exam(100, 2)
    row = paired_metrics.differences(table, np.arange(100), top_k=3).set_index("metric").loc["top_3_accuracy"]
    assert row["base"] == (table["label_rank_base"] <= 3).mean()
    assert not any("top" in name for name in paired_metrics.differences(table, np.arange(100), top_k=5)["metric"])


def test_the_calibration_error_is_that_of_evaluate():
    table = exam(2000, 3, overconfident=0.6)
    row = paired_metrics.differences(table, np.arange(2000)).set_index("metric").loc["expected_calibration_error"]
    for side in ("base", "head"):
        correct = (table[f"predicted_{side}"] == table["label"]).to_numpy()
        confidence = table[f"confidence_{side}"].to_numpy()
        stated = calibration.calibration_error(confidence, correct, metrics.group_numbers(table)).value
        assert row[side] == pytest.approx(stated, abs=0.003)
    assert row["low"] > 0  # an overconfident model is told from a calibrated one


@pytest.mark.parametrize("overconfident", [0.0, 0.5])
def test_equal_calibration_is_seldom_called_different(overconfident, monkeypatch):
    """Both sides as overconfident, or not at all."""
    monkeypatch.setattr(paired_metrics, "SAMPLES", 300)
    called = 0
    for seed in range(60):
        first, second = exam(300, seed, overconfident), exam(300, 1000 + seed, overconfident)
        for name in ("predicted", "confidence", "label_probability", "label_rank"):
            first[f"{name}_base"] = second[f"{name}_head"]
        first["predicted_base"] = np.where(
            second["predicted_head"] == second["label"], first["label"], (first["label"].astype(int) + 1) % 5
        ).astype(str)
        row = paired_metrics.differences(first, np.arange(300)).set_index("metric").loc["expected_calibration_error"]
        called += row["low"] > 0 or row["high"] < 0
    assert called <= stats.binom.ppf(0.99, 60, 0.05)


def test_calibrated_scores_where_both_sides_have_them():
    table = exam(100, 4)
    for side in ("base", "head"):
        for name in ("confidence", "label_probability"):
            table[f"calibrated_{name}_{side}"] = table[f"{name}_{side}"]
    rows = paired_metrics.differences(table, np.arange(100)).set_index("metric")
    for name in ("log_loss", "expected_calibration_error"):
        assert rows.loc[f"calibrated_{name}"].tolist() == rows.loc[name].tolist()
    without = paired_metrics.differences(table.drop(columns="calibrated_confidence_base"), np.arange(100))
    assert not any(name.startswith("calibrated") for name in without["metric"])
