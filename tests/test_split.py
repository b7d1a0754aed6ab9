"""The split: complete, stable under growth and moved boundaries, and honest about classes that are too small."""

import hashlib

import pandas as pd
import pytest

from heldout import split

SETTINGS = {"val": 0.15, "test": 0.15, "seed": 0}


def index(counts: dict[str, int], given: str = "") -> pd.DataFrame:
    rows = [
        (hashlib.md5(f"{label}-{number}".encode()).hexdigest(), label, given)
        for label, count in counts.items()
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["id", "label", "split"])


def assign(table: pd.DataFrame, **changed) -> dict[str, str]:
    return dict(zip(table["id"], split.assign(table, **(SETTINGS | changed)), strict=True))


def test_three_images_worked_by_hand():
    # Keyed by seed 0, blake2b puts class a's images at .859, .401 and .535: the lowest is test, the highest val.
    table = index({"a": 3, "b": 3})
    found = assign(table)
    assert [found[identity] for identity in table["id"][:3]] == ["val", "test", "train"]


def test_the_fractions_are_near_what_was_asked():
    found = pd.Series(assign(index({"a": 4000, "b": 4000}))).value_counts(normalize=True)
    assert found["test"] == pytest.approx(0.15, abs=0.015)
    assert found["val"] == pytest.approx(0.15, abs=0.015)


@pytest.mark.parametrize("more", [1, 20, 100, 1000])
def test_adding_and_removing_images_moves_none(more):
    before = assign(index({"a": 200, "b": 300}))
    after = assign(index({"a": 200 + more, "b": 300, "c": more + 2}))
    assert {identity: after[identity] for identity in before} == before


def test_the_order_of_the_rows_does_not_matter():
    table = index({"a": 50, "b": 50})
    assert assign(table) == assign(table.sample(frac=1, random_state=1))


@pytest.mark.parametrize(("key", "other"), [("test", "val"), ("val", "test")])
def test_a_moved_boundary_only_takes_from_train(key, other):
    table = index({"a": 500, "b": 500})
    before, after = assign(table), assign(table, **{key: 0.3})
    moves = {(before[identity], after[identity]) for identity in before if before[identity] != after[identity]}
    assert moves == {("train", key)}


def test_another_seed_is_another_split():
    table = index({"a": 500, "b": 500})
    assert assign(table) != assign(table, seed=1)


def test_given_splits_are_kept_and_completed():
    parts = [index({"a": 40, "b": 40}, "train"), index({"c": 0, "a": 0}, "test")]
    table = pd.concat([*parts, index({"a": 50, "b": 50}, "test").iloc[40:60]], ignore_index=True)
    table = table.drop_duplicates("id", keep="last").reset_index(drop=True)
    found = split.assign(table, **SETTINGS)
    assert set(found[table["split"] == "test"]) == {"test"}
    assert set(found[table["split"] == "train"]) == {"train", "val"}


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_too_few_images(count):
    with pytest.raises(ValueError, match=f"class tiny has {count} image.* expected 3 or more; add images, or remove"):
        assign(index({"a": 20, "tiny": count}))


def test_every_class_of_three_has_all_splits():
    for number in range(30):
        table = index({f"class-{number}": 3, "other": 3})
        counts = split.table(table["label"], split.assign(table, **SETTINGS))
        assert (counts == 1).all(axis=None)


def test_a_class_that_is_only_tested():
    table = pd.concat([index({"a": 9}, "train"), index({"a": 12, "b": 3}, "test").iloc[9:]], ignore_index=True)
    with pytest.raises(ValueError, match="class b has no image in train"):
        split.assign(table, **SETTINGS)


def test_classes_far_from_their_share_are_named():
    counts = pd.DataFrame({"train": [700, 990], "val": [150, 5], "test": [150, 5]}, index=["even", "odd"])
    assert "odd" in split.far_classes(counts)
    even = pd.DataFrame({"train": [700, 72], "val": [150, 13], "test": [150, 15]}, index=["a", "b"])
    assert split.far_classes(even) == []
