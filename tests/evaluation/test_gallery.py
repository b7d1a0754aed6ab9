"""Which images are worth a look."""

import pandas as pd

from heldout.evaluation import gallery

TABLE = pd.DataFrame(
    [
        ("i0", "a", "b", 0.9),
        ("i1", "a", "b", 0.8),
        ("i2", "a", "a", 0.4),
        ("i3", "b", "b", 0.99),
        ("i4", "b", "a", 0.95),
        ("i5", "b", "b", 0.6),
    ],
    columns=["id", "label", "predicted", "confidence"],
)
SUSPECTS = pd.DataFrame({"split": ["val", "test", "test"], "id": ["other", "i1", "i3"]})


def test_each_kind_in_turn_and_no_image_twice():
    chosen = gallery.select(TABLE, SUSPECTS, 99)
    assert chosen[["id", "reason"]].to_numpy().tolist() == [
        ["i4", gallery.MISTAKE],
        ["i2", gallery.HIT],
        ["i1", gallery.SUSPECT],
        ["i0", "confusion a -> b"],
        ["i5", gallery.HIT],
        ["i3", gallery.SUSPECT],
    ]
    assert gallery.select(TABLE, SUSPECTS, 2)["id"].tolist() == ["i4", "i2"]


def test_nothing_to_show():
    assert gallery.select(TABLE, SUSPECTS, 0).columns.tolist() == ["id", "label", "predicted", "reason"]
    right = TABLE.assign(predicted=TABLE["label"])
    chosen = gallery.select(right, SUSPECTS[:0], 3)
    assert chosen["reason"].tolist() == [gallery.HIT] * 3 and chosen["id"].tolist() == ["i2", "i5", "i1"]
    assert len(gallery.select(TABLE[:0], SUSPECTS[:0], 3)) == 0
