"""Which images are held out: a keyed hash of each image's bytes, so that growing data never move an image."""

import hashlib
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

SPLITS = ("train", "val", "test")
FEWEST = 3  # an image each for train, val and test
Fraction = Annotated[float, Field(gt=0, lt=0.5)]


def assign(index: pd.DataFrame, *, val: Fraction, test: Fraction, seed: Annotated[int, Field(ge=0)]) -> pd.Series:
    """The split of every row of the index: `train`, `val` or `test`.

    Each image's bytes and `seed` give it a position in [0, 1). Test is what lies below `test`, val what lies at
    1 - `val` or above: either boundary can be moved without moving an image between val and test, and adding,
    renaming or removing images moves no other image. A class of three images or more in which a split would stay empty
    gives it its nearest image, the one exception. Given splits are kept; only what they lack is drawn, out of train.

    Args:
        index: rows with id (md5), label, and the given split or ''.
        val: the fraction of each class to draw for validation.
        test: the fraction of each class to draw for the test.
        seed: draws another split; independent of the training's seed.

    Raises:
        ValueError: where a class has too few images for the splits to be drawn.
    """
    result = index["split"].where(index["split"] != "", "train")
    position = pd.Series([_position(identity, seed) for identity in index["id"]], index.index)
    draw_test = not (index["split"] == "test").any()
    draw_val = not (index["split"] == "val").any()
    for label, rows in index[result == "train"].groupby("label").groups.items():
        if len(rows) < 1 + draw_test + draw_val:
            raise ValueError(
                f"class {label} has {len(rows)} image{'s' * (len(rows) != 1)} to train on and draw from: "
                f"expected {FEWEST} or more; add images, or remove its folder"
            )
        order = position[rows].sort_values(kind="stable")
        tests = int(np.clip((order < test).sum(), 1, len(rows) - 1 - draw_val)) if draw_test else 0
        vals = int(np.clip((order >= 1 - val).sum(), 1, len(rows) - 1 - tests)) if draw_val else 0
        result[order.index[:tests]] = "test"
        result[order.index[len(rows) - vals :]] = "val"
    _refuse_gaps(index["label"], result)
    return result


def table(labels: pd.Series, splits: pd.Series) -> pd.DataFrame:
    """How many images each class (rows) has in each split (columns train, val, test)."""
    return pd.crosstab(labels, splits).reindex(columns=list(SPLITS), fill_value=0)


def far_classes(counts: pd.DataFrame) -> list[str]:
    """Classes whose share of test or val is far from all the images' share: more than three standard deviations.

    A share drawn by a hash spreads like a binomial's, so one class in some hundreds is listed by chance.
    """
    total = counts.sum(axis=1)
    share = counts.sum() / counts.to_numpy().sum()
    spread = np.sqrt(np.outer(total, share * (1 - share)))
    far = (counts - np.outer(total, share)).abs() > np.maximum(3 * spread, 1)
    return [str(label) for label in counts.index[far[["val", "test"]].any(axis=1)]]


def summary(counts: pd.DataFrame, far: list[str]) -> dict[str, float | int]:
    """The figures of metrics/data.json: images by split, and how uneven the classes are (largest / smallest)."""
    total = counts.sum(axis=1)
    return {
        "images": int(total.sum()),
        "classes": len(counts),
        **{name: int(counts[name].sum()) for name in SPLITS},
        "smallest_class": int(total.min()),
        "imbalance_ratio": float(total.max() / total.min()),
        "classes_far_from_share": len(far),
    }


def _position(identity: str, seed: int) -> float:
    digest = hashlib.blake2b(identity.encode(), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest) / 2**64


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
