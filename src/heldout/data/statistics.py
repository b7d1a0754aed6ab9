"""The statistics of metrics/data.json: what the data are, what was left out of them, and what leaks."""

import pandas as pd

from heldout.data import leakage, manifest, split

PROBLEM_KINDS = ("unusable", "stray", "copy", "conflict", "hidden", "unlisted", "other")  # of data/problems.csv
# Beside nine digits with 300 training images, one with 5, 10, 20, 50 or 300 has a recall of .28, .44, .57, .74 or .94
# by the nearest neighbor (benchmarks/classes.py --recall): below 10 most of a class is missed.
MIN_TRAIN = 10
# With 4 test images one more that is right moves the class's recall by 25 points, and 4 of 4 leave it anywhere above
# .51 (Wilson, 95 %).
MIN_TEST = 5
MIN_GROUPED = 0.9  # a pattern that misses a tenth of the paths is more often wrong than right
LARGE_FILL = 0.05  # of the images: a third of what val and test draw by default
MAX_NAMES = 5  # of the classes that a line names


def summarize(index: pd.DataFrame, splits: pd.Series, problems: pd.DataFrame) -> dict[str, float | int]:
    """Counts and ratios by name, flat, in the order in which they are read.

    Args:
        index: the index's rows.
        splits: of every row.
        problems: of the index.
    """
    counts = split.class_counts(index["label"], splits)
    total = counts.sum(axis=1)
    clusters = index[index["cluster"] != ""].groupby("cluster")["id"].nunique()
    return {
        "images": int(total.sum()),
        "classes": len(counts),
        **{name: int(counts[name].sum()) for name in split.SPLITS},
        "smallest_class": int(total.min()),
        "imbalance_ratio": float(total.max() / total.min()),
        f"classes_under_{MIN_TRAIN}_train": int((counts["train"] < MIN_TRAIN).sum()),
        f"classes_under_{MIN_TEST}_test": int((counts["test"] < MIN_TEST).sum()),
        "median_width": float(index["width"].median()),
        "median_height": float(index["height"].median()),
        "groups": int(index.loc[index["group"] != "", "group"].nunique()),
        "images_without_group": int((index["group"] == "").sum()),
        "near_duplicate_clusters": int((clusters > 1).sum()),
        **{f"problems_{kind}": int((problems["kind"] == kind).sum()) for kind in PROBLEM_KINDS},
        **{f"leaks_{name}": count for name, count in leakage.counts(index, splits).items()},
        "test_fingerprint": manifest.fingerprint(index[splits == "test"]),
        "random_split_leakage": leakage.random_split_leakage(index, float((splits == "train").mean())),
    }


def describe(
    summary: dict[str, float | int], counts: pd.DataFrame, fractions: dict[str, float], gap_fillers: pd.DataFrame
) -> list[str]:
    """The lines that the stage prints: the same, and what a person should know about the split.

    Args:
        summary: from `summarize`.
        counts: images by class and split, from `split.class_counts`.
        fractions: the target of each split that was drawn; a given one has none.
        gap_fillers: the index's rows that fill a gap, a split in which their class would have had no images.
    """
    lines = [
        ", ".join(f"{summary[name]:,} {name}" for name in split.SPLITS) + " images",
        _off_target(counts, fractions),
        *_small_classes(counts["train"], MIN_TRAIN, "training", "learn from"),
        *_small_classes(counts["test"], MIN_TEST, "test", "score"),
        _relations(summary),
        *_gaps(counts, fractions, gap_fillers),
        *_missing_groups(summary),
    ]
    return [counts.to_string(max_rows=20), *(f"split: {line}" for line in lines)]


def _off_target(counts: pd.DataFrame, fractions: dict[str, float]) -> str:
    if not fractions:
        return "val and test are as given"
    off_target = split.off_target_classes(counts, fractions)
    return f"class fractions off target: {_names(off_target)}" if off_target else "no class fraction is off target"


def _small_classes(counts: pd.Series, minimum: int, noun: str, purpose: str) -> list[str]:
    small = counts[counts < minimum].sort_values(kind="stable")
    if small.empty:
        return []
    verb = "has" if len(small) == 1 else "have"
    names = _names([f"{label} ({count})" for label, count in small.items()])
    classes = f"{len(small):,} class{'es' * (len(small) != 1)}"
    return [f"{classes} {verb} fewer than {minimum} {noun} images, too few to {purpose}: {names}"]


def _relations(summary: dict[str, float | int]) -> str:
    """Groups, near-duplicates and leaks."""
    groups = "no groups were given"
    if summary["groups"]:
        without = summary["images_without_group"]
        groups = _count(summary["groups"], "group") + (f" ({_count(without, 'image')} without one)" if without else "")
    clusters = _count(summary["near_duplicate_clusters"], "near-duplicate cluster")
    num_leaks = sum(summary[f"leaks_{name}"] for name in leakage.NAMES.values())
    leaks = _count(num_leaks, "leak") + (" kept (split.on_leak: keep)" if num_leaks else "")
    percentage = 100 * summary["random_split_leakage"]
    would = f"; a random split would leak {percentage:.2f} % of the test images" if percentage else ""
    return f"{groups}, {clusters}, {leaks}{would}"


def _gaps(counts: pd.DataFrame, fractions: dict[str, float], gap_fillers: pd.DataFrame) -> list[str]:
    if gap_fillers.empty:
        return []
    first = gap_fillers.iloc[0]
    lines = [
        f"{_count(len(gap_fillers), 'image')} moved to a split without images of the class (the first: "
        f"{first['path']}, to {first['split']}); such an image can move again when its class grows: "
        "set its split in a CSV to keep it there"
    ]
    drawable = split.drawable(counts, fractions).sum()
    moved = len(gap_fillers) / drawable.sum()
    if moved >= LARGE_FILL:
        asked = {"train": 1 - sum(fractions.values())} | fractions
        changes = [f"{name} {_percent(asked[name])} -> {_percent(drawable[name] / drawable.sum())}" for name in asked]
        lines.append(
            f"warning: these moves are {_percent(moved)} of the images ({', '.join(changes)}), because classes are "
            "small: add images, or lower split.val and split.test, or set split.method: stratified"
        )
    return lines


def _missing_groups(summary: dict[str, float | int]) -> list[str]:
    without, images = summary["images_without_group"], summary["images"]
    if not summary["groups"] or images - without >= MIN_GROUPED * images:
        return []
    return [
        f"warning: {without:,} of {images:,} images ({_percent(without / images)}) have no group, so each is drawn by "
        "itself: correct data.group_pattern, or the column group of the CSV"
    ]


def _names(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _count(number: float | int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
