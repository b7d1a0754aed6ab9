"""Slices: nothing is flagged by chance, with and without groups; what is bad is found; each value by hand."""

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from heldout.data import shards
from heldout.evaluation import slices
from heldout.evaluation.significance import slice_tests
from heldout.evaluation.slices import Cut


def text_cut(name, codes):
    return Cut(name, [str(value) for value in range(codes.max() + 1)], codes)


def quarters(values):
    return np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values)


def exam(rng, n, accuracy, correlation, group_size):
    """Mistakes (n,) whose latent difficulty correlates within groups, and the groups."""
    groups = np.repeat(np.arange(n), rng.integers(1, 2 * group_size, n))[:n]
    shared, own = rng.normal(size=n)[groups], rng.normal(size=n)
    difficulty = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return difficulty > stats.norm.ppf(accuracy), groups


def cuts_of(rng, groups):
    """Classes and a number, each by image and by group."""
    n = len(groups)
    by_group = rng.normal(size=n)[groups] + 0.3 * rng.normal(size=n)
    return [
        text_cut("class", rng.integers(0, 10, n)),
        text_cut("kind", rng.integers(0, 5, n)[groups]),
        text_cut("brightness", quarters(rng.normal(size=n))),
        text_cut("sharpness", quarters(by_group)),
    ]


@pytest.mark.parametrize(
    ("accuracy", "correlation", "group_size"), [(0.5, 0, 1), (0.9, 0, 1), (0.5, 0.4, 8), (0.9, 0.4, 8), (0.9, 0.1, 30)]
)
def test_chance_flags_nothing(accuracy, correlation, group_size):
    rng, exams, flagged = np.random.default_rng(0), 300, 0
    for _ in range(exams):
        wrong, groups = exam(rng, 600, accuracy, correlation, group_size)
        parts = []
        for cut in cuts_of(rng, groups):
            p_values = slice_tests.p_values(wrong, cut.codes, groups)
            parts.append(p_values[np.bincount(cut.codes, minlength=len(p_values)) >= 20])
        flagged += (stats.false_discovery_control(np.concatenate(parts)) < slices.FALSE_DISCOVERY_RATE).any()
    assert flagged <= stats.binom.ppf(0.99, exams, 0.05)


def test_images_in_groups_are_not_taken_for_independent():
    """Twenty groups, all of whose images are right or wrong together: Fisher's test alone would flag most exams."""
    rng, fisher, robust = np.random.default_rng(0), 0, 0
    groups = np.repeat(np.arange(20), 30)
    for _ in range(200):
        wrong, codes = rng.random(20)[groups] < 0.3, (rng.permutation(20) < 8).astype(int)[groups]
        fisher += slice_tests.p_values(wrong, codes, np.arange(600)).min() < 0.05
        robust += slice_tests.p_values(wrong, codes, groups).min() < 0.05
    assert fisher > 100 and robust <= stats.binom.ppf(0.99, 200, 0.1)  # both slices: two one-sided tests at 5 %


@pytest.mark.parametrize("group_size", [1, 4])
def test_a_bad_slice_is_found(group_size):
    rng = np.random.default_rng(0)
    wrong, groups = exam(rng, 1000, 0.95, 0.2 * (group_size > 1), group_size)
    cuts = cuts_of(rng, groups)
    wrong |= (cuts[0].codes == 3) & (rng.random(1000) < 0.3)
    table = slices.slices(wrong, cuts, groups, 20)
    assert table["flagged"].tolist() == [True] + [False] * 22
    assert tuple(table.loc[0, ["slice", "value"]]) == ("class", "3")
    images, accuracy, rest = table.loc[0, ["images", "accuracy", "rest_accuracy"]]
    assert slices.describe(table) == (
        f"1 of 23 slices is worse than the rest after correction for 23 looks: class 3 ({accuracy:.3f} of {images:.0f} "
        f"images, the rest {rest:.3f})"
    )


def test_a_group_is_compared_by_its_images_and_nothing_else_within_one_is_flagged():
    groups = np.repeat(np.arange(10), 30)
    wrong = (groups == 4) & (np.arange(300) % 3 > 0)
    table = slices.slices(wrong, [text_cut("group", groups), text_cut("site", groups)], groups, 20)
    assert table[table["flagged"]][["slice", "value"]].to_numpy().tolist() == [["group", "4"]]
    assert (table.loc[table["slice"] == "site", "p_value"] > 0.09).all()


def test_fisher_by_hand():
    wrong = np.array([1, 1, 0, 0, 0, 0], bool)
    p_values = slice_tests.p_values(wrong, np.array([0, 0, 1, 1, 1, -1]), np.arange(6))
    assert p_values == pytest.approx([1 / 15, 1])  # one of the 15 pairs of images holds both mistakes
    expected = stats.fisher_exact([[2, 0], [0, 4]], alternative="greater").pvalue
    assert p_values[0] == pytest.approx(expected)


def test_the_cluster_robust_statistic_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    groups, codes = rng.integers(0, 30, 400), rng.integers(0, 2, 400)
    wrong = rng.random(400) < 0.2 + 0.25 * (codes == 1)
    inside, rest = codes == 1, codes != 1
    influence = np.where(
        inside, (wrong - wrong[inside].mean()) / inside.sum(), -(wrong - wrong[rest].mean()) / rest.sum()
    )
    sums = np.array([influence[groups == group].sum() for group in range(30)])
    effective = min(part.sum() ** 2 / (np.bincount(groups[part]) ** 2).sum() for part in (inside, rest))
    difference = wrong[inside].mean() - wrong[rest].mean()
    t = difference / np.sqrt((sums**2).sum() * effective / (effective - 1))
    expected = max(stats.t.sf(t, effective - 1), slice_tests.p_values(wrong, codes, np.arange(400))[1])
    assert slice_tests.p_values(wrong, codes, groups)[1] == pytest.approx(expected)


def test_too_small_and_all():
    wrong = np.zeros(30, bool)
    cuts = [text_cut("class", np.array([0] * 19 + [1] * 11)), text_cut("site", np.zeros(30, int))]
    table = slices.slices(wrong, cuts, np.arange(30), 20)
    assert table.columns.tolist() == slices.COLUMNS and not len(table)
    assert slices.describe(table) == "no slice has enough images to be looked at (evaluate.min_slice)"
    table = slices.slices(wrong, cuts[:1], np.arange(30), 11)
    assert slices.describe(table) == "no slice is worse than the rest by more than chance (2 looked at)"


@pytest.fixture
def drawn(tmp_path):
    """Forty images, half dark and half bright, of which the dark ones are wrong; manifests with a user's columns."""
    ids = sorted(hashlib.md5(str(number).encode()).hexdigest() for number in range(40))
    rows = pd.DataFrame({"id": ids, "label": "a"})
    pixels = np.zeros((40, 8, 8, 3), np.uint8)
    pixels[:] = np.where(np.arange(40) < 20, np.arange(40), 200 + np.arange(40))[:, None, None, None]
    pixels[20:, ::2] = 0
    for shard in shards.create_shards(rows, (8, 8, 3), tmp_path):
        with shard.path.open("ab") as file:
            file.truncate(shard.header_bytes)
            file.write(pixels[shard.start : shard.stop].tobytes())
    table = rows.assign(predicted=["b"] * 20 + ["a"] * 20)
    test = rows.assign(
        path=ids, width=10, height=20, orientation=[6] * 20 + [1] * 20, cluster=[ids[0]] * 20 + [""] * 20
    )
    test = test.assign(site=["x", "y"] * 20, age=[*map(str, range(39)), ""], grade=["1", "2"] * 20)
    return table, test.sample(frac=1, random_state=0), test.iloc[:1], shards.Images(tmp_path)


def sliced(table, test, train, images, columns):
    wrong = (table["label"] != table["predicted"]).to_numpy()
    return slices.slices(wrong, slices.cuts(table, test, train, images, columns), np.arange(len(table)), 5)


def test_members_are_a_word_an_image(drawn):
    members = slices.members(slices.cuts(*drawn, ["site", "age"]))
    assert list(members) == [
        *("slice_aspect", "slice_brightness", "slice_sharpness", "slice_near_duplicate_of_train"),
        *("slice_site", "slice_age"),
    ]
    assert (
        members["slice_brightness"].tolist() == ["darkest"] * 10 + ["second"] * 10 + ["third"] * 10 + ["brightest"] * 10
    )
    assert set(members["slice_aspect"]) == {"0.5", "2"} and members["slice_site"].tolist() == ["x", "y"] * 20
    assert members["slice_age"][-1] == "" and members["slice_age"][0] == "lowest"


def test_every_cut(drawn):
    table = sliced(*drawn, ["site", "age", "grade"])
    rows = table.set_index(["slice", "value"])
    assert rows.loc[("aspect", "2"), "accuracy"] == 0 and rows.loc[("aspect", "0.5"), "accuracy"] == 1
    assert rows.loc[("near_duplicate_of_train", "yes"), "images"] == 20
    assert rows.loc[("brightness", "darkest quarter (up to 9.75)"), "images"] == 10
    assert rows.loc[("site", "y"), "images"] == 20 and rows.loc[("grade", "2"), "images"] == 20
    assert rows.loc[("age", "highest quarter (above 28.5)"), "images"] == 10
    assert "size" not in rows.index and "class" not in rows.index  # all images are in one slice
    assert rows.loc[("aspect", "2"), "p_value"] == pytest.approx(1 / 137846528820)  # of 40 over 20 draws
    assert rows["flagged"].sum() == 7
    again = sliced(*drawn, ["site", "age", "grade"])
    assert table.to_csv() == again.to_csv()


def test_a_column_that_is_not_there(drawn):
    with pytest.raises(ValueError, match=r"names 'Site', which is no column of .*test.csv: expected site, age, grade$"):
        slices.cuts(*drawn, ["Site"])
    table, test, train, images = drawn
    with pytest.raises(ValueError, match=r"the images' CSV has no further columns$"):
        slices.cuts(table, test[["id", "label", "width"]], train, images, ["label"])
    with pytest.raises(ValueError, match="not of the images of"):
        slices.cuts(table.iloc[::-1], test, train, images, [])


def test_appearance_by_hand(drawn):
    brightness, sharpness = slices.appearance(drawn[3])
    assert brightness[:20].tolist() == list(range(20)) and brightness[20] == 110
    assert sharpness[:20].tolist() == [0] * 20
    gray = np.zeros((8, 8), np.uint8)
    gray[1::2] = 220
    assert sharpness[20] == pytest.approx(cv2.Laplacian(gray, cv2.CV_64F).var())
