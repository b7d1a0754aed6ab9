"""The gallery: each image once, by hand; deterministic; nothing to show."""

import pandas as pd
import pytest

from heldout.evaluation import gallery

TABLE = pd.DataFrame(
    [
        ("i0", "a", "b", 0.99), ("i1", "a", "b", 0.6), ("i2", "b", "c", 0.8), ("i3", "a", "a", 0.4),
        ("i4", "b", "b", 0.5), ("i5", "c", "c", 0.9), ("i5", "d", "c", 0.9), ("i6", "c", "a", 0.5),
    ],
    columns=["id", "label", "predicted", "confidence"],
)  # fmt: skip
SUSPECTS = pd.DataFrame(
    [("val", 1, "i3", "a"), ("test", 2, "i1", "a"), ("test", 1, "i5", "d"), ("train", 1, "i9", "a")],
    columns=["split", "rank", "id", "label"],
)


def test_by_hand():
    assert gallery.select(TABLE, SUSPECTS, 6).to_numpy().tolist() == [
        ["i0", "a", "b", "confident mistake"],
        ["i1", "a", "b", "confident mistake"],  # by then the others are shown for other reasons
        ["i5", "d", "c", "label suspect"],
        ["i2", "b", "c", "confusion b -> c"],  # of a -> b the first is shown already
        ["i6", "c", "a", "confusion c -> a"],
        ["i3", "a", "a", "least confident hit"],
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 8, 100])
def test_each_image_once_whatever_the_order(count):
    chosen = gallery.select(TABLE, SUSPECTS, count)
    assert len(chosen) == min(count, len(TABLE)) and not chosen.duplicated(["id", "label"]).any()
    assert chosen.columns.tolist() == gallery.COLUMNS
    shuffled = gallery.select(TABLE.sample(frac=1, random_state=1), SUSPECTS.sample(frac=1, random_state=2), count)
    assert shuffled.to_csv() == chosen.to_csv()


def test_the_most_frequent_confusion_comes_first():
    rows = [("i0", "b", "a", 0.95), ("i1", "a", "b", 0.7), ("i2", "a", "b", 0.9), ("i3", "c", "a", 0.94)]
    chosen = gallery.select(pd.DataFrame(rows, columns=TABLE.columns), SUSPECTS[:0], 2)
    assert chosen[["id", "reason"]].to_numpy().tolist() == [["i0", "confident mistake"], ["i2", "confusion a -> b"]]


def test_perfect_predictions_show_hits():
    table = TABLE[3:6]
    assert set(gallery.select(table, SUSPECTS[:0], 9)["reason"]) == {"least confident hit"}
