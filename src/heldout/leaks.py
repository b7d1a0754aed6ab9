"""Leaks: what the splits share though they must not, looked for in the finished split whoever drew it."""

import pandas as pd

from heldout import units

NAMES = {"id": "identical_images", "cluster": "near_duplicate_clusters", "group": "groups"}
WORDS = {"id": "are the same image", "cluster": "are near-duplicates", "group": "belong to the group"}


def counts(index: pd.DataFrame, splits: pd.Series) -> dict[str, int]:
    """How many identical images, near-duplicate clusters and groups lie in more than one split."""
    return {name: len(_torn(index, splits, column)) for column, name in NAMES.items()}


def find(index: pd.DataFrame, splits: pd.Series) -> list[str]:
    """A line for each of them: two of its images, and the splits that they are in."""
    lines = []
    for column in NAMES:
        torn = _torn(index, splits, column)
        rows = index.assign(split=splits)[index[column].isin(torn)]
        for value, members in rows.groupby(column):
            first, other = list(members.drop_duplicates("split").sort_values("split").itertuples())[:2]
            what = f"{WORDS[column]} {value}" if column == "group" else WORDS[column]
            lines.append(f"{first.path} ({first.split}) and {other.path} ({other.split}) {what}")
    return lines


def by_chance(index: pd.DataFrame, train: float) -> float:
    """The share of test images that would have a relative in train, were single images drawn at random.

    A relative is another image of the same unit. With m of them each image is expected to have none in train with
    probability (1 - train)^m, wherever it lies itself.

    Args:
        index: rows with id, group and cluster.
        train: the fraction of images that is in train.
    """
    unit = units.of(index)
    relatives = unit.map(unit.value_counts()) - 1
    return float((1 - (1 - train) ** relatives).mean())


def _torn(index: pd.DataFrame, splits: pd.Series, column: str) -> list[str]:
    """The values of a column that lie in more than one split."""
    named = index[column] != ""
    spread = splits[named].groupby(index.loc[named, column]).nunique()
    return list(spread.index[spread > 1])
