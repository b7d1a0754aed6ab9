"""Which images are held out: a keyed hash of each group or image, so that growing data take nothing out of the test."""

import hashlib
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from heldout.data import components, leakage

SPLITS = ("train", "val", "test")  # from the least to the most held out
Fraction = Annotated[float, Field(gt=0, lt=0.5)]


def assign(
    index: pd.DataFrame,
    *,
    method: Literal["hash", "stratified"],
    val: Fraction,
    test: Fraction,
    seed: Annotated[int, Field(ge=0)],
    on_leak: Literal["error", "move", "keep"],
) -> tuple[pd.Series, pd.Series]:
    """The split of every row of the index: `train`, `val` or `test`.

    What belongs together stays together: the images of a group, near-duplicates, and groups that share one are a
    component. A hash gives each group (or image without one) and `seed` a position in [0, 1).

    `hash`: test is what lies below `test`, val what lies at 1 - `val` or above; a component goes where its most
    held-out member does. So adding or renaming images takes none out of test or val, and a moved boundary moves none
    between them. Where a class would have no images in a split, its nearest component fills the gap, the one exception:
    such a component can leave again when its class grows.

    `stratified`: each class meets the fractions as nearly as its components allow, taken in the order of their
    positions; adding images moves others between splits.

    Given splits are kept; a split that no row is given is drawn from train.

    Args:
        index: rows with id (md5), label, split and group (as given, or ''), cluster (of duplicates, or '') and path.
        method: `hash` or `stratified`.
        val: the fraction of each class to draw for validation.
        test: the fraction of each class to draw for the test.
        seed: another seed draws another split; independent of the training's seed.
        on_leak: where given splits separate a component: `error`; `move` it to its most held-out split; or `keep` them.

    Returns:
        The split of each row; and whether it fills a gap, a split in which its class would have had no images.

    Raises:
        ValueError: where a class has too few components for the splits to be drawn, or given splits leak.
    """
    fractions = {"test": test, "val": val}
    given = set(index["split"])
    to_draw = {name: fraction for name, fraction in fractions.items() if name not in given}
    table = index[["label"]].assign(component=components.label(index), position=_positions(index, seed))
    table["split"] = _predefined(index, table["component"], to_draw, on_leak)
    free = table[table["split"] == ""]
    drawn, gap_fillers = pd.Series(dtype=object), list[int]()
    if to_draw:
        _check_components(table, len(to_draw) + 1)
        drawn, gap_fillers = (_hash if method == "hash" else _stratified)(free, to_draw)
    splits = table["split"].where(table["split"] != "", table["component"].map(drawn))
    _check_splits(index["label"], splits)
    leaks = leakage.find(index, splits)
    if leaks and on_leak != "keep":
        raise RuntimeError(f"the split leaks, which is a fault of the program: {leaks[0]}")
    return splits, table["component"].isin(gap_fillers) & (table["split"] == "")


def unlabelled(index: pd.DataFrame, splits: pd.Series) -> pd.DataFrame:
    """The images without a label that may be learned from: none that is a copy or near-duplicate of an image of val or
    test, or in its group, directly or through others, and none that is given to those.

    Args:
        index: all rows, of which those without a label have the label ''.
        splits: of `assign`, of the rows with one.

    Raises:
        RuntimeError: where one of them leaks.
    """
    every_split = splits.reindex(index.index).fillna(index["split"]).replace({"": "unlabelled", "val": "test"})
    is_held_out = every_split == "test"
    component = components.label(index)
    kept = (index["label"] == "") & ~is_held_out.groupby(component).transform("any")
    leaks = leakage.find(index[kept | is_held_out], every_split[kept | is_held_out].mask(kept, "unlabelled"))
    if leaks:
        raise RuntimeError(f"an image without a label leaks, which is a fault of the program: {leaks[0]}")
    return index[kept]


def class_counts(labels: pd.Series, splits: pd.Series) -> pd.DataFrame:
    """How many images each class (rows) has in each split (columns train, val, test)."""
    # pd.crosstab takes 13 times as long at 10,000 classes of 6 images.
    counts = labels.groupby([labels, splits]).size().unstack(fill_value=0)
    return counts.reindex(columns=list(SPLITS), fill_value=0)


def off_target_classes(counts: pd.DataFrame, fractions: dict[str, float]) -> list[str]:
    """Classes of which a drawn split has a fraction more than three standard deviations of a fair draw off its target.

    The fraction is that of `drawable`: a given split has no target.

    Args:
        counts: from `class_counts`.
        fractions: the target of each split that was drawn.
    """
    total = drawable(counts, fractions).sum(axis=1)
    off_target = pd.Series(False, counts.index)
    for name, fraction in fractions.items():
        deviation = np.sqrt(total * fraction * (1 - fraction))
        off_target |= (counts[name] - total * fraction).abs() > np.maximum(3 * deviation, 1)
    return [str(label) for label in counts.index[off_target]]


def drawable(counts: pd.DataFrame, fractions: dict[str, float]) -> pd.DataFrame:
    """The columns of `counts` with the images that were drawn from: those given as train, or not at all."""
    return counts[["train", *fractions]]


def _positions(index: pd.DataFrame, seed: int) -> np.ndarray:
    key = str(seed).encode()

    def position(name: str) -> float:
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()) / 2**64

    # A group's name is marked, so that it is never taken for an image's md5.
    names = index["id"].where(index["group"] == "", "group " + index["group"]).to_numpy()
    return np.array([position(name) for name in names])


def _predefined(index: pd.DataFrame, component: pd.Series, to_draw: dict[str, float], on_leak: str) -> pd.Series:
    """The split of each row whose split is not to be drawn, '' for the rest."""
    rank = index["split"].map({"": -1, **{name: number for number, name in enumerate(SPLITS)}})
    max_rank = rank.groupby(component).transform("max")
    leaking = (rank >= 0) & (rank < max_rank)
    if leaking.any() and on_leak == "error":
        leaks = leakage.find(index[index["split"] != ""], index.loc[index["split"] != "", "split"])
        more = f" ({len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise ValueError(
            f"the given splits leak: {leaks[0]}{more}: put them into one split, or set split.on_leak: "
            "move (to the most held-out one) or keep"
        )
    kept = leaking & (on_leak == "keep")
    result = max_rank.mask(kept, rank)
    if to_draw:
        result[(result == 0) & ~kept] = -1  # val and test are drawn from train
    return result.map({-1: "" if to_draw else "train", **dict(enumerate(SPLITS))})


def _hash(free: pd.DataFrame, to_draw: dict[str, float]) -> tuple[pd.Series, list[int]]:
    """The split of each component by its hash, and the components that fill gaps."""
    rank = pd.Series(0, free.index)
    if "val" in to_draw:
        rank[free["position"] >= 1 - to_draw["val"]] = 1
    if "test" in to_draw:
        rank[free["position"] < to_draw["test"]] = 2
    drawn = rank.groupby(free["component"]).max().map(dict(enumerate(SPLITS)))
    return _fill_gaps(free, to_draw, drawn)


def _fill_gaps(free: pd.DataFrame, to_draw: dict[str, float], drawn: pd.Series) -> tuple[pd.Series, list[int]]:
    """Move the nearest component into each split that a class lacks, where that empties no other."""
    members = free.groupby(["label", "component"])["position"].min().reset_index()
    table = class_counts(members["label"], members["component"].map(drawn))
    counts = table.to_dict("index")
    names = [*to_draw, "train"]
    lacking = members[members["label"].isin(table.index[(table[names] == 0).any(axis=1)])].sort_values("position")
    ascending = {label: rows.to_list() for label, rows in lacking.groupby("label")["component"]}
    labels_of = _labels_of(members[members["component"].isin(lacking["component"])])
    moved = []
    for name in names:
        for label in table.index[table[name] == 0]:
            if counts[label][name]:
                continue  # filled by a component that was moved for another class
            for component in reversed(ascending[label]) if name == "val" else ascending[label]:
                source, labels = drawn[component], labels_of[component]
                if all(counts[member_label][source] > 1 for member_label in labels):
                    for member_label in labels:
                        counts[member_label][source] -= 1
                        counts[member_label][name] += 1
                    drawn[component] = name
                    moved.append(component)
                    break
    return drawn, moved


def _labels_of(members: pd.DataFrame) -> dict[int, list[str]]:
    """The classes of each component."""
    result: dict[int, list[str]] = {}
    for label, component in zip(members["label"], members["component"], strict=True):
        result.setdefault(component, []).append(label)
    return result


def _stratified(free: pd.DataFrame, to_draw: dict[str, float]) -> tuple[pd.Series, list[int]]:
    """Take components by position for each split as long as they bring its classes nearer to their fractions."""
    sizes = free.groupby(["component", "label"]).size()
    members: dict[int, list[tuple[str, int]]] = {}
    for (component, label), size in sizes.items():
        members.setdefault(component, []).append((label, size))
    drawn = dict.fromkeys(members, "train")
    num_images, remaining = free["label"].value_counts(), sizes.groupby(level=1).size().to_dict()
    order = free.groupby("component")["position"].min().sort_values().index
    for reserve, (name, fraction) in zip((len(to_draw), 1), to_draw.items(), strict=False):
        missing = {label: max(1, round(fraction * count)) for label, count in num_images.items()}
        for component in order if name == "test" else order[::-1]:
            if drawn[component] != "train" or any(remaining[label] <= reserve for label, _ in members[component]):
                continue
            gain = sum(abs(missing[label]) - abs(missing[label] - size) for label, size in members[component])
            if gain > 0:
                drawn[component] = name
                for label, size in members[component]:
                    missing[label] -= size
                    remaining[label] -= 1
    return pd.Series(drawn), []


def _check_components(table: pd.DataFrame, required: int) -> None:
    """Where splits are drawn, every class needs a component for each of them and for train."""
    components_of = table[table["split"].isin(["", "train"])].groupby("label")["component"]
    counts = components_of.nunique()
    for label, count in counts[counts < required].items():
        plural = "s" * (count != 1)
        ungrouped = components_of.size()[label] == count
        noun = f"image{plural}" if ungrouped else f"independent image{plural} or group{plural} (duplicates count once)"
        raise ValueError(
            f"class {label} has {count} {noun} to train on and draw from: expected {required} or more; "
            "add images, or remove its folder"
        )


def _check_splits(labels: pd.Series, splits: pd.Series) -> None:
    counts = class_counts(labels, splits)
    for name in SPLITS:
        if counts[name].sum() == 0:
            raise ValueError(
                f"no image is in {name}: expected some in each of {', '.join(SPLITS)}; "
                "add images to it, or give no splits"
            )
    untrained = counts.index[counts["train"] == 0]
    if len(untrained):
        raise ValueError(
            f"class {untrained[0]} has no image in train: "
            "add some there, or remove its folder from the other splits (is its name spelled the same everywhere?)"
        )
