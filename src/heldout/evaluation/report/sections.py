"""What the sections of the page say: rows and lines, from the tables and numbers."""

from typing import Any

import pandas as pd

from heldout.data import leakage, statistics
from heldout.evaluation import diagnosis

MEANINGS = {
    "accuracy": "fraction of the images that are predicted right",
    "balanced_accuracy": "mean recall of the classes: each class counts the same",
    "macro_f1": "mean F1 of the classes",
    "weighted_f1": "mean F1, each class by its number of images",
    "macro_auc": "mean area under ROC, one class against the rest: 0.5 is chance",
    "log_loss": "cross-entropy in nats: lower is better, ln(classes) is chance",
    "loss": "cross-entropy in nats: lower is better, ln(classes) is chance",
    "brier_score": "mean squared error of the probabilities: lower is better",
    "expected_calibration_error": "how far confidence is from accuracy, on average: lower is better",
    "area_under_risk_coverage": "mean error rate over all coverages: lower is better",
    "image_alone_accuracy": "of the same model without the texts",
    "text_alone_accuracy": "of the same model with black images",
    "shuffled_text_accuracy": "of the same model with the text of another image",
    "gain_of_text": "accuracy less that without the texts, on the same images",
    "gain_of_image": "accuracy less that with black images, on the same images",
    "gain_of_text_p_value": "how often chance alone does as much, were there no gain",
    "gain_of_image_p_value": "how often chance alone does as much, were there no gain",
    "test_texts": "fraction of the test images that have a text",
    "texts_in_train": "of these texts: stand verbatim in train",
    "texts_naming_class": "of these texts: hold the name of their class",
    "selective_accuracy": "of the images that are not left as unsure",
    "selective_coverage": "fraction of the images that are not left as unsure",
}
COUNTS = ("images", "groups", "searched_trials", "search_fingerprint")
PROBLEMS = {
    "unusable": "cannot be read as images",
    "stray": "are no images",
    "copy": "are copies of another",
    "conflict": "have conflicting labels",
    "hidden": "are hidden files",
    "unlisted": "are not in the CSV",
    "other": "left out for other reasons",
}
LEAKS = {"identical_images": "identical images", "near_duplicate_clusters": "near-duplicates", "groups": "groups"}
MAX_PAIRS = 15
MAX_SLICES = 20


def verdict(scores: dict[str, float]) -> str:
    """`0.953 [0.935, 0.966] of 733 images`."""
    return f"{interval(scores, 'accuracy')} of {scores['images']:,.0f} images"


def interval(values: Any, name: str) -> str:
    """`0.953 [0.935, 0.966]`, or without the interval where there is none; a hyphen where there is no value."""
    value = values.get(name)
    if value is None or pd.isna(value):
        return "-"
    low, high = values.get(f"{name}_low"), values.get(f"{name}_high")
    bounds = "" if low is None or pd.isna(low) else f" [{low:.3f}, {high:.3f}]"
    return f"{value:.3f}{bounds}"


def metric_rows(scores: dict[str, float]) -> list[dict[str, str]]:
    """name, text and meaning of each score, the bounds of intervals beside their score."""
    rows = []
    for name in scores:
        if name not in COUNTS and not name.endswith(("_low", "_high")):
            calibrated = name.startswith("calibrated_")
            meaning = MEANINGS.get(name.removeprefix("calibrated_"), "")
            if name.startswith("top_"):
                meaning = "fraction of the images whose label is among the most probable classes"
            meaning += " (after temperature scaling)" * calibrated
            rows.append({"name": name.replace("_", " "), "text": interval(scores, name), "meaning": meaning})
    return rows


def how_sure(scores: dict[str, float]) -> str:
    """What the intervals rest on."""
    if "accuracy_low" not in scores:
        return ""
    searched = ""
    if trials := scores.get("searched_trials", 0):
        searched = f" The params were chosen from {trials:,.0f} trials on val (heldout search)."
    if groups := scores.get("groups", 0):
        draws = f"by the {groups:,.0f} groups of the images, which are not independent draws."
        return f"Brackets hold 95 % intervals {draws}{searched}"
    return f"Brackets hold 95 % intervals; each image counts as an independent draw.{searched}"


def left_out(numbers: dict[str, float], problems: pd.DataFrame) -> list[dict[str, str]]:
    """count, words, the first path and the reason of each kind of problem that occurred."""
    rows = []
    for kind in statistics.PROBLEM_KINDS:
        if count := int(numbers.get(f"problems_{kind}", 0)):
            of_kind = problems[problems["kind"] == kind] if len(problems) else problems
            first = of_kind.iloc[0] if len(of_kind) else {}
            rows.append(
                {
                    "count": f"{count:,}",
                    "words": PROBLEMS[kind],
                    "path": first.get("path", ""),
                    "reason": first.get("reason", ""),
                }
            )
    return rows


def leak_lines(numbers: dict[str, float]) -> list[str]:
    """What belongs together and lies in two splits, and what a random split would have done."""
    leaks = {LEAKS.get(name, name): int(numbers.get(f"leaks_{name}", 0)) for name in leakage.NAMES.values()}
    lines = ["No leak: nothing that belongs together lies in two splits."]
    if any(leaks.values()):
        kinds = ", ".join(f"{count:,} by {words}" for words, count in leaks.items() if count)
        lines = [f"Leaks were kept (split.on_leak: keep): {kinds}. The scores may be too good."]
    groups = int(numbers.get("groups", 0))
    without = f", {int(numbers.get('images_without_group', 0)):,} images without one" if groups else ""
    lines.append(f"{groups:,} groups were given{without}." if groups else "No groups were given.")
    clusters = int(numbers.get("near_duplicate_clusters", 0))
    lines.append(
        f"{clusters:,} clusters of near-duplicates were seen." if clusters else "No near-duplicates were seen."
    )
    if numbers.get("random_split_leakage", 0):
        lines.append(f"A random split would have leaked {numbers['random_split_leakage']:.1%} of the test images.")
    return lines


def training_lines(history: pd.DataFrame, train: dict[str, float], epochs: int, num_classes: int) -> list[str]:
    """How training went, and what its curves say."""
    if not len(history):
        return []
    kept = f"Kept: epoch {train['best_epoch']:.0f} of {train['epochs']:.0f} ({epochs} allowed), validation accuracy "
    kept += f"{train['val_accuracy']:.3f}, {train['parameters']:,.0f} parameters."
    words = diagnosis.diagnose(history, epochs, num_classes)
    return [kept, *(f"The curves: {line}." for line in words)]


def confused_pairs(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """label, predicted, count and fraction of the label's images, of the most frequent confusions."""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    counts = wrong.groupby(["label", "predicted"]).size().sort_values(ascending=False, kind="stable")
    totals = predictions["label"].value_counts()
    return [
        {"label": label, "predicted": predicted, "count": int(count), "fraction": f"{count / totals[label]:.1%}"}
        for (label, predicted), count in counts.head(MAX_PAIRS).items()
    ]


def slice_rows(slices: pd.DataFrame) -> tuple[list[dict[str, Any]], str]:
    """The flagged and the worst slices, and a line on how many there are."""
    if not len(slices):
        return [], "No slice has enough images (evaluate.min_slice)."
    flagged = slices["flagged"].str.lower() == "true"
    line = f"Of {len(slices):,} slices that were looked at, {flagged.sum():,} are worse than the rest after correction "
    line += "for how many they are (Benjamini-Hochberg). The others' differences may be chance."
    shown = slices[flagged | (slices.reset_index().index < MAX_SLICES)].head(2 * MAX_SLICES)
    rows = [
        row | {"text": interval(row, "accuracy"), "is_flagged": str(row["flagged"]).lower() == "true"}
        for row in shown.to_dict("records")
    ]
    return rows, line


def shipped(export: dict[str, float]) -> list[dict[str, str]]:
    """name, bytes, difference, changed predictions and accuracy difference of each exported file."""
    suffix = "_max_abs_difference"
    names = [key.removesuffix(suffix) for key in export if key.endswith(suffix)]
    return [
        {
            "name": name,
            "bytes": f"{export[f'{name}_bytes']:,.0f}",
            "difference": f"{export[name + suffix]:.1g}",
            "changed": f"{export[f'{name}_changed_predictions']:,.0f}",
            "accuracy": _signed_interval(export, f"{name}_accuracy_difference"),
        }
        for name in names
    ]


def _signed_interval(values: dict[str, float], key: str) -> str:
    """A difference with its interval, such as `-0.0030 [-0.0080, +0.0020]`; '' where it is unknown."""
    if key not in values:
        return ""
    value, low, high = (f"{values[key + end]:+.4f}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Keys and values of sections, a row each: ("train.epochs", "12")."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        rows += flat(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return rows
