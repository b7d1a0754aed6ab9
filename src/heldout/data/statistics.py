"""The statistics of metrics/data.json: what the data are, what was left out of them, and what leaks."""

import pandas as pd

from heldout.data import leakage, manifest, split

PROBLEM_KINDS = ("unusable", "stray", "copy", "conflict", "hidden", "unlisted", "other")  # of data/problems.csv


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
        "median_width": float(index["width"].median()),
        "median_height": float(index["height"].median()),
        "groups": int(index.loc[index["group"] != "", "group"].nunique()),
        "near_duplicate_clusters": int((clusters > 1).sum()),
        **{f"problems_{kind}": int((problems["kind"] == kind).sum()) for kind in PROBLEM_KINDS},
        **{f"leaks_{name}": count for name, count in leakage.counts(index, splits).items()},
        "test_fingerprint": manifest.fingerprint(index[splits == "test"]),
        "random_split_leakage": leakage.random_split_leakage(index, float((splits == "train").mean())),
    }


def describe(
    summary: dict[str, float | int], counts: pd.DataFrame, off_target: list[str], gap_fillers: pd.DataFrame
) -> list[str]:
    """The lines that the stage prints: the same, and what a person should know about the split.

    Args:
        summary: from `summarize`.
        counts: images by class and split, from `split.class_counts`.
        off_target: from `split.off_target_classes`.
        gap_fillers: the index's rows that fill a gap, a split in which their class would have had no images.
    """
    lines = [counts.to_string(max_rows=20)]
    lines.append("split: " + ", ".join(f"{summary[name]:,} {name}" for name in split.SPLITS) + " images")
    off_target_text = f"class fractions off target: {', '.join(off_target)}"
    lines.append(f"split: {off_target_text if off_target else 'no class fraction is off target'}")
    groups = _count(summary["groups"], "group") if summary["groups"] else "no groups were given"
    clusters = _count(summary["near_duplicate_clusters"], "near-duplicate cluster")
    num_leaks = sum(summary[f"leaks_{name}"] for name in leakage.NAMES.values())
    leaks = _count(num_leaks, "leak") + (" kept (split.on_leak: keep)" if num_leaks else "")
    lines.append(f"split: {groups}, {clusters}, {leaks}")
    if summary["random_split_leakage"]:
        percentage = 100 * summary["random_split_leakage"]
        lines[-1] += f"; a random split would leak {percentage:.2f} % of the test images"
    if len(gap_fillers):
        first = gap_fillers.iloc[0]
        lines.append(
            f"split: {_count(len(gap_fillers), 'image')} moved to a split without images of the class (the first: "
            f"{first['path']}, to {first['split']}); such an image can move again when its class grows: "
            "set its split in a CSV to keep it there"
        )
    return lines


def _count(number: float | int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
