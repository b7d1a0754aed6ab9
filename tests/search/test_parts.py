"""Val in two: whole groups, whatever the seed, and nothing lost."""

import numpy as np
import pandas as pd
import pytest
from conftest import scan, write_shards

from heldout.data import shards
from heldout.search import parts


def test_the_parts_are_a_partition_that_keeps_groups_and_duplicates_together(images):
    rows = scan().sort_values(["id", "label"], ignore_index=True)
    rows["group"] = [f"s{number // 3}" for number in range(len(rows))]
    rows["cluster"] = ""
    rows.loc[[0, 23], "cluster"] = "c"  # joins the first group and the last
    chosen, component = parts.cut(images, rows)
    assert chosen.any() and not chosen.all()
    assert pd.Series(chosen).groupby(component).nunique().max() == 1
    assert chosen[0] == chosen[23] and len(set(component)) == 7
    again, _ = parts.cut(images, rows.sample(frac=1, random_state=1))
    assert (again == chosen).all()
    part, rest = parts.Part(images, np.flatnonzero(chosen)), parts.Part(images, np.flatnonzero(~chosen))
    assert sorted([*part.ids, *rest.ids]) == sorted(images.ids)
    assert (part[np.arange(len(part))] == images[np.flatnonzero(chosen)]).all()
    assert part.digest() != rest.digest() != images.digest()
    assert np.concatenate(list(part.batches())).shape == (len(part), 16, 16, 3)


def test_more_images_move_none_between_the_parts(photos):
    write_shards(scan(), "data/all")
    fewer = scan().iloc[::2]
    write_shards(fewer, "data/fewer")
    all_chosen, _ = parts.cut(shards.Images("data/all"), scan())
    few_chosen, _ = parts.cut(shards.Images("data/fewer"), fewer)
    of_all = dict(zip(shards.Images("data/all").ids, all_chosen, strict=True))
    assert [of_all[identity] for identity in shards.Images("data/fewer").ids] == few_chosen.tolist()


def test_other_images_and_a_single_group_are_one_line(images):
    with pytest.raises(
        ValueError, match=r"the images of data/processed/val are not of the images of data/splits/val\.csv"
    ):
        parts.cut(images, scan().iloc[1:])
    with pytest.raises(ValueError, match=r"of too few groups to be cut in two \(1\)"):
        parts.cut(images, scan().assign(group="one"))


def test_which_images_are_right_comes_back():
    correct = np.random.default_rng(0).random(371) < 0.7
    assert (parts.unpack(parts.pack(correct), 371) == correct).all()
