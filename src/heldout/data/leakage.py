"""Leaks: what splits have in common though they must not, looked for in the finished split, however it was made."""

import pandas as pd

from heldout.data import components

NAMES = {"id": "identical_images", "cluster": "near_duplicate_clusters", "group": "groups"}
RELATIONS = {"id": "are the same image", "cluster": "are near-duplicates", "group": "belong to the group"}


def counts(index: pd.DataFrame, splits: pd.Series) -> dict[str, int]:
    """How many identical images, near-duplicate clusters and groups are in more than one split."""
    return {name: len(_leaking_values(index, splits, column)) for column, name in NAMES.items()}


def find(index: pd.DataFrame, splits: pd.Series) -> list[str]:
    """A line for each leak: two of its images, and the splits that they are in."""
    lines = []
    for column in NAMES:
        values = _leaking_values(index, splits, column)
        rows = index.assign(split=splits)[index[column].isin(values)]
        for value, members in rows.groupby(column):
            first, second = list(members.drop_duplicates("split").sort_values("split").itertuples())[:2]
            relation = f"{RELATIONS[column]} {value}" if column == "group" else RELATIONS[column]
            lines.append(f"{first.path} ({first.split}) and {second.path} ({second.split}) {relation}")
    return lines


def random_split_leakage(index: pd.DataFrame, train: float) -> float:
    """The fraction of test images that would have a relative in train if single images were drawn at random.

    A relative is another image of the same component. An image with m relatives is expected to have none of them in
    train with probability (1 - train)^m, whichever split it is in itself.

    Args:
        index: rows with id, group and cluster.
        train: the fraction of images that is in train.
    """
    component = components.label(index)
    num_relatives = component.map(component.value_counts()) - 1
    return float((1 - (1 - train) ** num_relatives).mean())


def _leaking_values(index: pd.DataFrame, splits: pd.Series, column: str) -> list[str]:
    """The values of a column that are in more than one split."""
    has_value = index[column] != ""
    num_splits = splits[has_value].groupby(index.loc[has_value, column]).nunique()
    return list(num_splits.index[num_splits > 1])
