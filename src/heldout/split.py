"""Which images are held out: a keyed hash of each group or image, so that growing data take nothing out of the test."""

import hashlib
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from heldout import leaks, units

SPLITS = ("train", "val", "test")  # from the least to the most held out
Fraction = Annotated[float, Field(gt=0, lt=0.5)]


def assign(
    index: pd.DataFrame,
    *,
    method: Literal["stable", "quota"],
    val: Fraction,
    test: Fraction,
    seed: Annotated[int, Field(ge=0)],
    on_leak: Literal["error", "move", "keep"],
) -> tuple[pd.Series, pd.Series]:
    """The split of every row of the index: `train`, `val` or `test`.

    What belongs together stays together: the images of a group, near-duplicates, and groups that share one make a
    unit. A hash gives each group (or image without one) and `seed` a position in [0, 1).

    `stable`: test is what lies below `test`, val what lies at 1 - `val` or above; a unit goes where its most held-out
    member does. So adding or renaming images takes none out of test or val, and a moved boundary moves none between
    them. Where a split would stay empty in a class, the nearest unit fills it, the one exception: such a unit can
    leave again when its class grows.

    `quota`: each class meets the fractions as nearly as its units allow, taken in the order of their positions; adding
    images moves others between splits.

    Given splits are kept; what they lack altogether is drawn from train.

    Args:
        index: rows with id (md5), label, split and group (as given, or ''), cluster (of duplicates, or '') and path.
        method: `stable` or `quota`.
        val: the fraction of each class to draw for validation.
        test: the fraction of each class to draw for the test.
        seed: draws another split; independent of the training's seed.
        on_leak: where given splits tear a unit apart: `error`; `move` it to its most held-out split; or `keep` them.

    Returns:
        The split of each row; and whether it is there to fill a split that would have been empty in a class.

    Raises:
        ValueError: where a class has too few units for the splits to be drawn, or given splits leak.
    """
    fractions = {"test": test, "val": val}
    draw = {name: fraction for name, fraction in fractions.items() if name not in set(index["split"])}
    table = index[["label"]].assign(unit=units.of(index), position=_positions(index, seed))
    table["split"] = _given(index, table["unit"], draw, on_leak)
    free = table[table["split"] == ""]
    chosen, filled = pd.Series(dtype=object), list[int]()
    if draw:
        _refuse_few(table, len(draw) + 1)
        chosen, filled = (_stable if method == "stable" else _quota)(free, draw)
    result = table["split"].where(table["split"] != "", table["unit"].map(chosen))
    _refuse_gaps(index["label"], result)
    found = leaks.find(index, result)
    if found and on_leak != "keep":
        raise RuntimeError(f"the split leaks, which is a fault of the program: {found[0]}")
    return result, table["unit"].isin(filled) & (table["split"] == "")


def table(labels: pd.Series, splits: pd.Series) -> pd.DataFrame:
    """How many images each class (rows) has in each split (columns train, val, test)."""
    return pd.crosstab(labels, splits).reindex(columns=list(SPLITS), fill_value=0)


def far_classes(counts: pd.DataFrame, fractions: dict[str, float]) -> list[str]:
    """Classes whose share of a split is far from its fraction: more than three standard deviations of a fair draw.

    Args:
        counts: from `table`.
        fractions: of each split that was drawn; for a given one the share of all images stands in.
    """
    total = counts.sum(axis=1)
    far = pd.Series(False, counts.index)
    for name in ("val", "test"):
        share = fractions.get(name, counts[name].sum() / total.sum())
        spread = np.sqrt(total * share * (1 - share))
        far |= (counts[name] - total * share).abs() > np.maximum(3 * spread, 1)
    return [str(label) for label in counts.index[far]]


def _positions(index: pd.DataFrame, seed: int) -> np.ndarray:
    key = str(seed).encode()

    def position(name: str) -> float:
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()) / 2**64

    # A group's name is marked, so that it is never taken for an image's md5.
    grouped = index["group"] != ""
    return np.array([position(name) for name in index["id"].where(~grouped, "group " + index["group"])])


def _given(index: pd.DataFrame, unit: pd.Series, draw: dict[str, float], on_leak: str) -> pd.Series:
    """The split of each row that is not free to be drawn, '' for the others."""
    rank = index["split"].map({"": -1, **{name: number for number, name in enumerate(SPLITS)}})
    most = rank.groupby(unit).transform("max")
    torn = (rank >= 0) & (rank < most)
    if torn.any() and on_leak == "error":
        lines = leaks.find(index[index["split"] != ""], index.loc[index["split"] != "", "split"])
        more = f" ({len(lines) - 1} more)" if len(lines) > 1 else ""
        raise ValueError(
            f"the given splits leak: {lines[0]}{more}: put them into one split, or set split.on_leak: "
            "move (to the most held-out one) or keep"
        )
    kept = torn & (on_leak == "keep")
    result = most.mask(kept, rank)
    if draw:
        result[(result == 0) & ~kept] = -1  # train is what is drawn from
    return result.map({-1: "" if draw else "train", **dict(enumerate(SPLITS))})


def _stable(free: pd.DataFrame, draw: dict[str, float]) -> tuple[pd.Series, list[int]]:
    """The split of each unit by the hash, and the units that fill what it leaves empty."""
    rank = pd.Series(0, free.index)
    if "val" in draw:
        rank[free["position"] >= 1 - draw["val"]] = 1
    if "test" in draw:
        rank[free["position"] < draw["test"]] = 2
    chosen = rank.groupby(free["unit"]).max().map(dict(enumerate(SPLITS)))
    return _filled(free, draw, chosen)


def _filled(free: pd.DataFrame, draw: dict[str, float], chosen: pd.Series) -> tuple[pd.Series, list[int]]:
    """Move the nearest unit into each split that a class lacks, where that empties no other."""
    members = free.groupby(["label", "unit"])["position"].min().reset_index()
    cells = pd.crosstab(members["label"], members["unit"].map(chosen)).reindex(columns=list(SPLITS), fill_value=0)
    count = cells.to_dict("index")
    labels_of: dict[int, list[str]] = members.groupby("unit")["label"].agg(list).to_dict()
    moved = []
    for name in (*draw, "train"):
        for label in cells.index[cells[name] == 0]:
            if count[label][name]:
                continue  # filled by a unit that another class has moved
            mine = members[members["label"] == label].sort_values("position", ascending=name != "val")
            for unit in mine["unit"]:
                giver = chosen[unit]
                if all(count[other][giver] > 1 for other in labels_of[unit]):
                    for other in labels_of[unit]:
                        count[other][giver] -= 1
                        count[other][name] += 1
                    chosen[unit] = name
                    moved.append(unit)
                    break
    return chosen, moved


def _quota(free: pd.DataFrame, draw: dict[str, float]) -> tuple[pd.Series, list[int]]:
    """Take units by position for each split as long as they bring its classes nearer to their fractions."""
    chosen = pd.Series("train", sorted(free["unit"].unique()))
    sizes = free.groupby(["unit", "label"]).size()
    by_unit = {unit: list(part.droplevel(0).items()) for unit, part in sizes.groupby(level=0)}
    images, left = free["label"].value_counts(), sizes.groupby(level=1).size().to_dict()
    order = free.groupby("unit")["position"].min().sort_values().index
    for still, (name, fraction) in zip((len(draw), 1), draw.items(), strict=False):
        wanted = {label: max(1, round(fraction * count)) for label, count in images.items()}
        for unit in order if name == "test" else order[::-1]:
            if chosen[unit] != "train" or any(left[label] <= still for label, _ in by_unit[unit]):
                continue
            gain = sum(abs(wanted[label]) - abs(wanted[label] - size) for label, size in by_unit[unit])
            if gain > 0:
                chosen[unit] = name
                for label, size in by_unit[unit]:
                    wanted[label] -= size
                    left[label] -= 1
    return chosen, []


def _refuse_few(table: pd.DataFrame, fewest: int) -> None:
    """Where splits are drawn, every class needs a unit for each of them and for train."""
    for label, rows in table[table["split"].isin(["", "train"])].groupby("label"):
        count = rows["unit"].nunique()
        if count < fewest:
            alone = len(rows) == count
            what = f"image{'s' * (count != 1)}" if alone else "independent images or groups (relatives count as one)"
            raise ValueError(
                f"class {label} has {count} {what} to train on and draw from: expected {fewest} or more; "
                "add images, or remove its folder"
            )


def _refuse_gaps(labels: pd.Series, splits: pd.Series) -> None:
    counts = table(labels, splits)
    for name in SPLITS:
        if counts[name].sum() == 0:
            raise ValueError(f"no image is in {name}: expected some in each of {', '.join(SPLITS)}")
    untrained = counts.index[counts["train"] == 0]
    if len(untrained):
        raise ValueError(
            f"class {untrained[0]} has no image in train: "
            "add some there, or remove its folder from the other splits (is its name spelled the same everywhere?)"
        )
