"""The figures of metrics/data.json: what the data are, what was left out of them, and what the splits share."""

import pandas as pd

from heldout import leaks, split

LEFT_OUT = ("unusable", "stray", "copy", "conflict", "hidden", "unlisted")  # the kinds of data/problems.csv


def figures(index: pd.DataFrame, splits: pd.Series, problems: pd.DataFrame) -> dict[str, object]:
    """Counts and ratios, each a plain number, in an order to be read.

    Args:
        index: the index's rows.
        splits: of every row.
        problems: of the index.
    """
    counts = split.table(index["label"], splits)
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
        "problems": {kind: int((problems["kind"] == kind).sum()) for kind in LEFT_OUT},
        "leaks": leaks.counts(index, splits),
        "shared_by_a_random_split": leaks.by_chance(index, float((splits == "train").mean())),
        "by_class": counts.to_dict("index"),
    }


def lines(figures: dict, counts: pd.DataFrame, far: list[str], filled: pd.DataFrame) -> list[str]:
    """The same for the person who waits, with what they should know about the split.

    Args:
        figures: from `figures`.
        counts: images by class and split.
        far: classes whose shares are far from the fractions asked for.
        filled: the index's rows that fill a split which a class would have lacked.
    """
    shown = [counts.to_string(max_rows=20)]
    shown.append("split: " + ", ".join(f"{figures[name]:,} {name}" for name in split.SPLITS) + " images")
    shown.append(f"split: far from their share: {', '.join(far)}" if far else "split: no class is far from its share")
    together = f"{figures['groups']:,} groups" if figures["groups"] else "no groups were given"
    torn = sum(figures["leaks"].values())
    kept = "none crosses the splits" if not torn else f"{torn} CROSS THE SPLITS, as given and kept"
    shown.append(f"split: {together}, {figures['near_duplicate_clusters']:,} near-duplicate clusters: {kept}")
    if figures["shared_by_a_random_split"]:
        shown[-1] += (
            f"; of a random split's test images {figures['shared_by_a_random_split']:.2%} have a relative in train"
        )
    if len(filled):
        first = filled.iloc[0]
        shown.append(
            f"split: {len(filled)} images fill a split that their class would lack (the first: {first['path']}, in "
            f"{first['split']}); one can move while its class grows: pin it by a CSV's split column"
        )
    return shown
