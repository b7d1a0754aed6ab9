"""All that follows from the predictions of the held-out images: scores with intervals, calibration, and tables."""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from heldout.data import manifest
from heldout.data.shards import Images
from heldout.evaluation import (
    ablation,
    by_class,
    calibration,
    intervals,
    label_errors,
    metrics,
    probabilities,
    robustness,
    selective,
)
from heldout.evaluation import slices as slicing
from heldout.evaluation.intervals import Interval
from heldout.evaluation.probabilities import Probabilities

SCORES = ("accuracy", "balanced_accuracy", "top_{}_accuracy", "macro_f1", "weighted_f1", "macro_auc")
LOSSES = ("log_loss", "brier_score", "expected_calibration_error")


class Evaluation(NamedTuple):
    """What metrics/ holds: eval.json, calibration.json, the tables by the name of their file, and lines to print."""

    scores: dict[str, float | int]
    calibration: dict[str, float | int]
    tables: dict[str, pd.DataFrame]
    notes: list[str]


def evaluate(
    predicted: dict[str, Probabilities],
    manifests: dict[str, pd.DataFrame],
    class_names: list[str],
    images: Images,
    folder: str | Path,
    *,
    top_k: Annotated[int, Field(ge=1)],
    target_accuracy: Annotated[float, Field(gt=0, lt=1)],
    min_slice: Annotated[int, Field(ge=1)],
    slices: list[str],
) -> Evaluation:
    """Score the test images; temperature and threshold are fitted on the validation images alone.

    Args:
        predicted: of val and test.
        manifests: of train, val and test, as the split has them.
        class_names: by number.
        images: the preprocessed test images, for slices by brightness and sharpness.
        folder: of the stage `predict`, which may hold predictions of test images that are corrupted, or without their
            text or pixels.
        top_k: k of the top-k accuracy, which is left out where there are no more than k classes.
        target_accuracy: what the images that are not "unsure" shall reach.
        min_slice: the fewest images of a slice.
        slices: columns of the user's CSV by which to cut slices, beside the built-in ones.
    """
    fitted, notes = _fit(predicted["val"], class_names, target_accuracy)
    table = _table(predicted["test"], manifests["test"], class_names, fitted["temperature"])
    values = metrics.table_scores(table, len(class_names), top_k=top_k)
    values |= probability_scores(predicted["test"], table, class_names, fitted["temperature"])
    ordered = {name: values[name] for name in _order(top_k) if name in values}
    scores = flatten(ordered) | abstention_scores(table, fitted["threshold"]) | counts(table)
    tables = {"predictions": table, "by_class": by_class.by_class(table, class_names)} | _curves(table)
    tables["suspects"] = label_errors.suspects(predicted, manifests, class_names)
    groups, wrong = metrics.group_numbers(table), (table["label"] != table["predicted"]).to_numpy()
    cuts = slicing.cuts(table, manifests["test"], manifests["train"], images, slices)
    tables["predictions"] = table.assign(**slicing.members(cuts))
    tables["slices"] = slicing.slices(wrong, cuts, groups, min_slice)
    numbers = probabilities.class_numbers(predicted["test"], class_names)
    tables["robustness"] = robustness.summarize(folder, numbers, groups)
    scores |= robustness.scores(tables["robustness"], scores["accuracy"])
    scores |= _text_scores(predicted["test"], manifests, numbers, table, folder)
    notes += ablation.describe(scores)
    if len(tables["robustness"]):
        notes.append(robustness.describe(tables["robustness"], scores["accuracy"]))
    notes += [slicing.describe(tables["slices"]), label_errors.describe(tables["suspects"])]
    if absent := metrics.absent_classes(table, class_names):
        notes.append(f"no test image, so no score, for {len(absent)} classes: {', '.join(absent[:20])}")
    return Evaluation(scores, fitted, tables, notes)


def search_looks(
    *, trials: Annotated[int, Field(ge=0)], md5: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")]
) -> dict[str, int]:
    """What eval.json says of the search that chose the params: searched_trials, and search_fingerprint, 48 bits of
    its file's md5 (a metric is a number). Nothing where there was none.

    Args:
        trials: of the search.
        md5: of its file; empty where there is none.
    """
    return {"searched_trials": trials, "search_fingerprint": int(md5[:12] or "0", 16)} if trials else {}


def _text_scores(
    test: Probabilities, manifests: dict[str, pd.DataFrame], labels: np.ndarray, table: pd.DataFrame, folder: str | Path
) -> dict[str, float]:
    """What `ablation` says of a model that sees texts; {} of another."""
    classes = test.values.argmax(axis=1)
    values = ablation.scores(folder, labels, classes, metrics.group_numbers(table))
    return values | ablation.leaks(manifests["test"], manifests["train"]) if values else {}


def probability_scores(
    test: Probabilities, table: pd.DataFrame, class_names: list[str], temperature: float
) -> dict[str, Interval]:
    """The scores that need the probabilities of all classes.

    They are macro_auc, left out where it is not defined, brier_score and calibrated_brier_score.
    """
    labels, groups = probabilities.class_numbers(test, class_names), metrics.group_numbers(table)
    auc = metrics.macro_auc(test.values, labels, groups)
    return ({} if auc is None else {"macro_auc": auc}) | {
        "brier_score": metrics.brier_score(test.values, labels, groups),
        "calibrated_brier_score": metrics.brier_score(test.values, labels, groups, temperature),
    }


def flatten(values: dict[str, Interval]) -> dict[str, float | int]:
    """Each score followed by the ends of its interval: NAME, NAME_low and NAME_high."""
    ends = ("", "_low", "_high")
    return {name + end: value for name, interval in values.items() for end, value in zip(ends, interval, strict=True)}


def abstention_scores(table: pd.DataFrame, threshold: float) -> dict[str, float | int]:
    """The area under the risk-coverage curve of the test images, and what the threshold of val gives on them.

    selective_accuracy is left out where no image reaches the threshold.
    """
    confidence, correct = _confidence(table)
    accepted = selective.accept(confidence, threshold)
    result: dict[str, float | int] = {"area_under_risk_coverage": selective.area(selective.curve(confidence, correct))}
    if accepted.any():
        groups = metrics.group_numbers(table)[accepted]
        result |= flatten({"selective_accuracy": intervals.proportion(correct[accepted], groups)})
    return result | {"selective_coverage": float(accepted.mean())}


def verdict(scores: dict[str, float | int]) -> str:
    """The scores in a line: accuracy 0.9809 [0.968, 0.989] of 733 images in 220 groups, macro_f1 0.981, ..."""
    low, high = scores["accuracy_low"], scores["accuracy_high"]
    groups = f" in {scores['groups']:,} groups" if scores["groups"] else ""
    others = [f"{name} {scores[name]:.4g}" for name in ("macro_f1", "log_loss", *LOSSES[2:])]
    first = f"accuracy {scores['accuracy']:.4f} [{low:.3f}, {high:.3f}] of {scores['images']:,} images{groups}"
    return ", ".join([first, *others])


def counts(table: pd.DataFrame) -> dict[str, float | int]:
    """How many images, and how many groups among them (0 where none is known)."""
    groups = set(table["group"]) - {""} if "group" in table else ()
    return {"images": len(table), "groups": len(groups)}


def _order(top_k: int) -> list[str]:
    """The names of the scores, as eval.json has them."""
    names = [*SCORES, *LOSSES, *(f"calibrated_{name}" for name in LOSSES)]
    return [name.format(top_k) for name in names]


def _fit(
    val: Probabilities, class_names: list[str], target_accuracy: float
) -> tuple[dict[str, float | int], list[str]]:
    """Temperature and threshold by the validation images, for calibration.json; and what is to be said of them."""
    labels = probabilities.class_numbers(val, class_names)
    temperature, said_of_temperature = calibration.fit_temperature(val.values, labels)
    table = metrics.predictions(val.ids, labels, val.values, class_names, temperature=temperature)
    confidence, correct = _confidence(table)
    threshold, said_of_threshold = selective.choose_threshold(selective.curve(confidence, correct), target_accuracy)
    accepted = selective.accept(confidence, threshold)
    fitted = {"temperature": temperature, "threshold": threshold, "target_accuracy": target_accuracy}
    if accepted.any():
        fitted["val_accuracy_at_threshold"] = float(correct[accepted].mean())
    fitted["val_coverage_at_threshold"] = float(accepted.mean())
    return fitted, [line for line in (said_of_temperature, said_of_threshold) if line]


def _table(test: Probabilities, rows: pd.DataFrame, class_names: list[str], temperature: float) -> pd.DataFrame:
    """The table of predictions, with each image's path and, where any is known, its group."""
    labels = probabilities.class_numbers(test, class_names)
    table = metrics.predictions(test.ids, labels, test.values, class_names, temperature=temperature)
    rows = manifest.match(rows, test.ids, "the predictions", "data/splits/test.csv")
    table.insert(1, "path", rows["path"].to_numpy())
    if "group" in rows and (rows["group"] != "").any():
        table.insert(3, "group", rows["group"].to_numpy())
    return table


def _curves(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The reliability before and after temperature scaling, and the risk-coverage curve."""
    groups, (confidence, correct) = metrics.group_numbers(table), _confidence(table)
    before = calibration.reliability(table["confidence"].to_numpy(), correct, groups)
    after = calibration.reliability(confidence, correct, groups)
    both = pd.concat([before.assign(when="before"), after.assign(when="after")])
    return {
        "reliability": both[["when", *before.columns]],
        "risk_coverage": selective.thin(selective.curve(confidence, correct)),
    }


def _confidence(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The calibrated confidences (n,) and whether the predictions are right, bool (n,)."""
    return table["calibrated_confidence"].to_numpy(), (table["label"] == table["predicted"]).to_numpy()
