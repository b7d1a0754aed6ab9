"""All that the page is made from, by the formats of the stages, of classes with hostile names."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml
from conftest import ROOT
from scipy.stats import binomtest

from heldout.core import atomic
from heldout.data import manifest
from heldout.evaluation.plots.by_class import f1_by_class
from heldout.evaluation.plots.confusion import confusion
from heldout.evaluation.plots.curves import curves
from heldout.evaluation.plots.one_against_rest import one_against_rest
from heldout.evaluation.plots.reliability import reliability
from heldout.evaluation.plots.risk_coverage import risk_coverage
from heldout.evaluation.plots.robustness import robustness
from heldout.evaluation.plots.slices import slices
from heldout.evaluation.plots.splits import class_by_split

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b`c`",
    "{{ 7 * 7 }}",
    "\u202egnp.exe",
    "שלום \u200f12",
    '" onmouseover="alert(1)',
    "w" * 200,
    "NA",
    "007",
]


def write(
    root: Path, num_classes: int = 12, images: int = 240, side: int = 24, errors: float = 0.2, optional: bool = True
) -> Path:
    """Write metrics, plots, data and models below `root`.

    Args:
        num_classes: the first of them are HOSTILE.
        images: of test; val has a tenth.
        side: of an image in pixels.
        errors: fraction of the test images that are predicted wrong.
        optional: whether there are tables and plots of slices, suspects, calibration, robustness and explanations.
    """
    names = sorted((HOSTILE + [f"class {number:04}" for number in range(num_classes)])[:num_classes])
    rng = np.random.default_rng(0)
    for split, count in (("val", max(2, images // 10)), ("test", images)):
        _write_split(root, split, names, count, side, rng)
    atomic.write_text(root / "data/classes.txt", "".join(f"{name}\n" for name in names))
    numbers, probabilities, table = _predict(root, names, errors, rng)
    manifest.write(table, root / "metrics/predictions.csv")
    _write_numbers(root, table, names)
    _write_training(root, names)
    confusion(table, names, root / "plots/confusion.png")
    if optional:
        one_against_rest(numbers, probabilities, names, root / "plots/one_against_rest.png")
        _write_by_class(root, table, names)
        _write_calibration(root, table)
        _write_slices(root, table, names)
        _write_findings(root, table, names, rng)
    return root


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's, at 95 %."""
    if not count:
        return np.nan, np.nan
    bounds = binomtest(int(right), int(count)).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)


def _write_split(root: Path, split: str, names: list[str], count: int, side: int, rng: np.random.Generator) -> None:
    ids = sorted(hashlib.md5(f"{split}{number}".encode()).hexdigest() for number in range(count))
    labels = [names[number % len(names)] for number in range(count)]
    paths = [f"data/raw/{label.replace('/', '_')}/{number} <b>x</b>.jpg" for number, label in enumerate(labels)]
    folder = root / "data/processed" / split
    manifest.write(pd.DataFrame({"id": ids, "path": paths, "label": labels}), root / f"data/splits/{split}.csv")
    manifest.write(pd.DataFrame({"id": ids, "label": labels}), folder / "images.csv")
    coarse = rng.integers(0, 256, (64, 4, 4, 3), np.uint8)
    pixels = np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC) for picture in coarse])
    np.save(folder / "images-00000.npy", pixels[np.arange(count) % 64])


def _predict(root: Path, names: list[str], errors: float, rng: np.random.Generator) -> tuple:
    rows = manifest.read(root / "data/splits/test.csv")
    numbers = pd.Index(names).get_indexer(rows["label"])
    logits = rng.normal(size=(len(rows), len(names)))
    favored = np.where(rng.random(len(rows)) < errors, (numbers + 1) % len(names), numbers)
    logits[np.arange(len(rows)), favored] += 6
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = rows.assign(
        predicted=np.array(names, object)[probabilities.argmax(axis=1)],
        confidence=probabilities.max(axis=1).round(6),
        label_probability=probabilities[np.arange(len(rows)), numbers].round(6),
        label_rank=1,
    )
    table["calibrated_confidence"] = (table["confidence"] ** 1.2).round(6)
    return numbers, probabilities, table


def _write_numbers(root: Path, table: pd.DataFrame, names: list[str]) -> None:
    right, count = int((table["label"] == table["predicted"]).sum()), len(table)
    low, high = interval(right, count)
    scores: dict[str, float] = {}
    keys = ("accuracy", "balanced_accuracy", "top_5_accuracy", "macro_f1", "weighted_f1", "macro_auc", "log_loss")
    calibrated = tuple(f"calibrated_{key}" for key in ("log_loss", "brier_score", "expected_calibration_error"))
    for key in (*keys, "brier_score", "expected_calibration_error", *calibrated):
        scores |= {key: right / count, f"{key}_low": low, f"{key}_high": high}
    scores |= {"area_under_risk_coverage": 0.02, "selective_accuracy": 0.99, "selective_accuracy_low": 0.97}
    scores |= {"selective_accuracy_high": 0.999, "selective_coverage": 0.85, "images": count, "groups": 0}
    atomic.write_metrics(root / "metrics/eval.json", scores)
    data = json.loads((ROOT / "metrics/data.json").read_text("utf-8"))
    data |= {"classes": len(names), "problems_unusable": 2, "imbalance_ratio": 3.5, "groups": 30}
    atomic.write_metrics(root / "metrics/data.json", data | {"random_split_leakage": 0.9965})
    problems = [{"path": f"data/raw/{number}|`<i>`.jpg", "kind": "unusable", "reason": "is empty"} for number in (1, 2)]
    manifest.write(pd.DataFrame(problems), root / "data/problems.csv")
    export = {"tflite_max_abs_difference": 7.2e-07, "tflite_changed_predictions": 0, "tflite_bytes": 1449216}
    export |= {
        f"tflite_accuracy_difference{end}": value for end, value in (("", 0.0), ("_low", -0.004), ("_high", 0.004))
    }
    atomic.write_metrics(root / "metrics/export.json", export, digits=12)


def _write_training(root: Path, names: list[str]) -> None:
    epochs = np.arange(1, 13)
    history = pd.DataFrame({"epoch": epochs, "loss": 2 / epochs, "accuracy": 1 - 0.7 / epochs})
    history = history.assign(val_loss=2.2 / epochs, val_accuracy=1 - 0.8 / epochs, learning_rate=0.001)
    manifest.write(history, root / "metrics/history.csv")
    train = {"best_epoch": 12, "epochs": 12, "loss": 0.17, "val_accuracy": 0.93, "parameters": 361034}
    atomic.write_metrics(root / "metrics/train.json", train)
    model = {"class_names": names, "model": {"architecture": "cnn"}, "environment": {"device": "CPU", "replicas": 1}}
    atomic.write_json(root / "models/model.json", model)
    (root / "models/model.weights.h5").write_bytes(b"weights")
    curves(history, root / "plots/curves.png")
    counts = pd.DataFrame({"train": 30, "val": 5, "test": 5}, index=names)
    class_by_split(counts, root / "plots/split.png")
    for name in ("params.yaml", "env.yaml"):
        (root / name).write_text(yaml.safe_dump(yaml.safe_load((ROOT / name).read_text("utf-8"))), "utf-8")


def _write_by_class(root: Path, table: pd.DataFrame, names: list[str]) -> None:
    right = table[table["label"] == table["predicted"]]["label"].value_counts()
    support, predicted = table["label"].value_counts(), table["predicted"].value_counts()
    rows = []
    for name in names:
        hits, count = int(right.get(name, 0)), int(support.get(name, 0))
        low, high = interval(hits, count)
        value = hits / count if count else np.nan
        row: dict = {"label": name, "support": count, "predicted": int(predicted.get(name, 0))}
        for key in ("precision", "recall", "f1"):
            row |= {key: value, f"{key}_low": low, f"{key}_high": high}
        rows.append(row | {"most_confused_with": names[0], "most_confused_count": count - hits})
    by_class = pd.DataFrame(rows)
    manifest.write(by_class.round(6), root / "metrics/by_class.csv")
    f1_by_class(by_class, names, root / "plots/by_class.png")


def _write_calibration(root: Path, table: pd.DataFrame) -> None:
    calibration = {"temperature": 1.31, "threshold": 0.62, "target_accuracy": 0.99}
    calibration |= {"val_accuracy_at_threshold": 0.991, "val_coverage_at_threshold": 0.9}
    atomic.write_metrics(root / "metrics/calibration.json", calibration)
    bins = [
        (when, number, 20, 0.5 + number / 32, 0.5 + number / 32 - gap, 0.4 + number / 32, 0.52 + number / 32)
        for when, gap in (("before", 0.05), ("after", 0.0))
        for number in range(15)
    ]
    columns = ["when", "bin", "images", "confidence", "accuracy", "accuracy_low", "accuracy_high"]
    reliable = pd.DataFrame(bins, columns=columns)
    manifest.write(reliable, root / "metrics/reliability.csv")
    reliability(reliable, {"before": 0.05, "after": 0.002}, root / "plots/reliability.png")
    ordered = table.sort_values("calibrated_confidence", ascending=False)
    risk = (ordered["label"] != ordered["predicted"]).expanding().mean().to_numpy()
    rows = np.linspace(0, len(table) - 1, min(len(table), 200)).astype(int)
    curve = pd.DataFrame({"coverage": (rows + 1) / len(table), "risk": risk[rows]})
    curve["threshold"] = ordered["calibrated_confidence"].to_numpy()[rows]
    manifest.write(curve, root / "metrics/risk_coverage.csv")
    scores = {"area_under_risk_coverage": 0.02, "selective_accuracy": 0.99, "selective_coverage": 0.85}
    risk_coverage(curve, scores, calibration, root / "plots/risk_coverage.png")


def _write_slices(root: Path, table: pd.DataFrame, names: list[str]) -> None:
    rows = []
    for number, value in enumerate(["darkest quarter", *names[:40]]):
        accuracy = min(0.99, 0.5 + number / 40)
        row = {"slice": "class" if number else "brightness", "value": value, "images": 30, "accuracy": accuracy}
        row |= {"accuracy_low": accuracy - 0.1, "accuracy_high": min(1, accuracy + 0.1), "rest_accuracy": 0.9}
        row |= {"difference": accuracy - 0.9, "p_value": 0.01, "q_value": 0.03 if number < 2 else 0.4}
        rows.append(row | {"flagged": "true" if number < 2 else "false"})
    result = pd.DataFrame(rows)
    manifest.write(result, root / "metrics/slices.csv")
    slices(result.assign(flagged=result["flagged"] == "true"), 0.9, root / "plots/slices.png")
    strengths = [(name, strength, 0.95 - 0.1 * strength) for name in ("fog", "blur") for strength in range(1, 6)]
    corrupted = pd.DataFrame(strengths, columns=["corruption", "strength", "accuracy"])
    manifest.write(corrupted, root / "metrics/robustness.csv")
    robustness(corrupted, 0.95, root / "plots/robustness.png")


def _write_findings(root: Path, table: pd.DataFrame, names: list[str], rng: np.random.Generator) -> None:
    wrong = table[table["label"] != table["predicted"]].head(100)
    suspects = pd.DataFrame({"split": "test", "rank": range(1, len(wrong) + 1), "id": wrong["id"].to_numpy()})
    suspects = suspects.assign(path=wrong["path"].to_numpy(), label=wrong["label"].to_numpy())
    suspects = suspects.assign(suggested=wrong["predicted"].to_numpy(), label_probability=0.01)
    suspects = suspects.assign(suggested_probability=0.97, expected_precision=0.8)
    manifest.write(suspects, root / "metrics/suspects.csv")
    explained = wrong[["id", "label", "predicted"]].head(60).assign(explained=wrong["predicted"])
    explained["reason"] = [
        f"confusion {row.label} -> {row.predicted}" if number % 2 else "confident mistake"
        for number, row in enumerate(explained.itertuples())
    ]
    manifest.write(explained, root / "data/explanations/images.csv")
    np.save(root / "data/explanations/heatmaps.npy", rng.integers(0, 256, (len(explained), 8, 8), np.uint8))
