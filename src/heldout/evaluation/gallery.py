"""Which test images are worth a look: where the model is surely wrong, hardly right, or in doubt of the label."""

from pathlib import Path

import pandas as pd

TEXT = ("split", "id", "path", "label", "group", "predicted", "suggested")
MISTAKE, HIT, SUSPECT, CONFUSION = "confident mistake", "least confident hit", "label suspect", "confusion {} -> {}"


def select(table: pd.DataFrame, suspects: pd.DataFrame, count: int) -> pd.DataFrame:
    """A few images of each kind in turn, none twice.

    Args:
        table: of metrics/predictions.csv.
        suspects: of metrics/suspects.csv, by rank; those of other splits are passed over.
        count: how many, at most.

    Returns:
        id, label, predicted and reason: the most confident mistakes, the least confident hits, the labels most in
        doubt, and the most confident image of each of the most frequent confusions.
    """
    table = table.sort_values(["confidence", "id", "label"], ascending=[False, True, True], kind="stable")
    right = table["label"] == table["predicted"]
    wrong = table[~right]
    doubted = suspects["id"][suspects["split"] == "test"] if len(suspects) else []
    kinds = [
        wrong.assign(reason=MISTAKE),
        table[right].iloc[::-1].assign(reason=HIT),
        table.set_index("id", drop=False).loc[list(doubted)].assign(reason=SUSPECT),
        _confusions(wrong),
    ]
    ordered = pd.concat([kind.assign(turn=range(len(kind))) for kind in kinds], ignore_index=True)
    ordered = ordered.sort_values("turn", kind="stable").drop_duplicates(["id", "label"])
    return ordered[["id", "label", "predicted", "reason"]].head(count).reset_index(drop=True)


def _confusions(wrong: pd.DataFrame) -> pd.DataFrame:
    """Of each pair of classes that is confused more than once its most confident mistake, the commonest pair first."""
    pairs = ["label", "predicted"]
    counts = wrong.groupby(pairs, sort=False)["id"].transform("size")
    repeated = wrong.assign(count=counts)[counts > 1].drop_duplicates(pairs)
    repeated = repeated.sort_values("count", ascending=False, kind="stable").drop(columns="count")
    reasons = [CONFUSION.format(row.label, row.predicted) for row in repeated.itertuples()]
    return repeated.assign(reason=pd.Series(reasons, index=repeated.index, dtype=object))


def read(path: str | Path) -> pd.DataFrame:
    """A table of metrics/ with a row an image: names as text (a class may be called NA or 007), numbers as numbers."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, encoding="utf-8")
