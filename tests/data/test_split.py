"""The split: complete, stable under growth, without leaks, and honest about classes that are small."""

import hashlib
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, SHARED, execute
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.data import components, leakage, manifest, split, statistics
from heldout.data import index as indexing

SETTINGS = {"method": "hash", "val": 0.15, "test": 0.15, "seed": 0, "on_leak": "error"}
RANK = {name: rank for rank, name in enumerate(split.SPLITS)}


def rows(images: list[tuple]) -> pd.DataFrame:
    """An index of (name, label, given split, group, cluster), the last three optional."""
    padded = [(*image, "", "", "")[:5] for image in images]
    table = pd.DataFrame(padded, columns=["path", "label", "split", "group", "cluster"])
    table.insert(0, "id", [hashlib.md5(path.encode()).hexdigest() for path in table["path"]])
    return table


def index(counts: dict[str, int], given: str = "") -> pd.DataFrame:
    return rows([(f"{label}-{number}", label, given) for label, count in counts.items() for number in range(count)])


def assign(table: pd.DataFrame, **changed) -> dict[str, str]:
    return dict(zip(table["path"], split.assign(table, **(SETTINGS | changed))[0], strict=True))


def test_three_images_worked_by_hand():
    # Keyed by seed 0, blake2b puts class a's images at .859, .401 and .535: the lowest is test, the highest val.
    splits, gap_fillers = split.assign(index({"a": 3, "b": 3}), **SETTINGS)
    assert splits[:3].tolist() == ["val", "test", "train"]
    assert gap_fillers[:3].tolist() == [False, True, False]  # .859 is val by itself; .401 fills the gap in test


def test_the_fractions_are_near_their_targets():
    fractions = pd.Series(assign(index({"a": 4000, "b": 4000}))).value_counts(normalize=True)
    assert fractions["test"] == pytest.approx(0.15, abs=0.015)
    assert fractions["val"] == pytest.approx(0.15, abs=0.015)


@pytest.mark.parametrize("added", [1, 20, 100, 1000])
def test_adding_and_removing_images_moves_none(added):
    before = assign(index({"a": 200, "b": 300}))
    after = assign(index({"a": 200 + added, "b": 300, "c": added + 2}))
    assert {path: after[path] for path in before} == before


def test_the_order_of_the_rows_does_not_matter():
    table = index({"a": 50, "b": 50})
    assert assign(table) == assign(table.sample(frac=1, random_state=1).reset_index(drop=True))


@pytest.mark.parametrize("key", ["test", "val"])
def test_a_moved_boundary_only_takes_from_train(key):
    table = index({"a": 500, "b": 500})
    before, after = assign(table), assign(table, **{key: 0.3})
    moves = {(before[path], after[path]) for path in before if before[path] != after[path]}
    assert moves == {("train", key)}


@pytest.mark.parametrize("method", ["hash", "stratified"])
def test_another_seed_is_another_split(method):
    table = index({"a": 500, "b": 500})
    assert assign(table, method=method) != assign(table, seed=1, method=method)


def test_a_group_stays_together_and_is_not_taken_for_an_image():
    images = [(f"{label}-{number}", label, "", f"person-{number % 40}") for label in "ab" for number in range(400)]
    table = rows(images)
    splits, _ = split.assign(table, **SETTINGS)
    assert splits.groupby(table["group"]).nunique().max() == 1
    assert set(splits) == set(split.SPLITS)
    assert components.label(table).nunique() == 40


def test_a_cluster_goes_where_its_most_held_out_member_goes():
    unclustered = assign(index({"a": 300, "b": 300}))
    for more, less in (("test", "train"), ("val", "train"), ("test", "val")):
        first = next(path for path in unclustered if unclustered[path] == more)
        second = next(path for path in unclustered if unclustered[path] == less and path[0] == first[0])
        table = index({"a": 300, "b": 300})
        table.loc[table["path"].isin([first, second]), "cluster"] = "x"
        assert assign(table) == unclustered | {second: more}


def test_groups_that_share_a_cluster_are_one_component():
    table = rows([("1", "a", "", "g"), ("2", "a", "", "g"), ("3", "b", "", "h"), ("4", "b", "", "h"), ("5", "b")])
    assert components.label(table).nunique() == 3
    table.loc[[1, 2], "cluster"] = "x"
    assert components.label(table).tolist() == [0, 0, 0, 0, 1]


# A data set that grows: each image has a class, perhaps a group, and perhaps an older image that it nearly repeats.
repeats = st.one_of(st.none(), st.none(), st.none(), st.none(), st.integers(0, 10**6))
image = st.tuples(st.sampled_from("ab"), st.sampled_from([*[""] * 6, *"ghijkl"]), repeats)
data_sets = st.lists(image, min_size=20, max_size=80)


def grown(images: list[tuple], seed: int) -> pd.DataFrame:
    """The index of such images: clusters are what the repetitions connect."""
    table = rows([(f"{seed}-{number}", label, "", group) for number, (label, group, _) in enumerate(images)])
    edges = [(number, older % number) for number, (*_, older) in enumerate(images) if number and older is not None]
    # A new image may also join two older clusters: it repeats the image before the older one as well.
    edges += [(number, older - 1) for number, older in edges if older and number % 2 == 0]
    component = components.connected(len(table), np.array(edges, int).reshape(-1, 2))
    smallest = table["id"].groupby(component)
    table["cluster"] = smallest.transform("min").where(smallest.transform("size") > 1, "")
    return table


@settings(max_examples=150, deadline=None)
@given(data_sets, data_sets, st.integers(0, 1000))
def test_whatever_is_added_no_image_is_less_held_out(old, new, seed):
    try:
        before, gap_fillers_before = split.assign(grown(old, seed), **SETTINGS)
        after, gap_fillers_after = split.assign(grown(old + new, seed), **SETTINGS)
    except ValueError as error:
        assert "expected 3 or more" in str(error)  # too few components to draw from, which may happen as well
        return
    for number in range(len(old)):
        if not gap_fillers_before[number] and not gap_fillers_after[number]:
            assert RANK[after[number]] >= RANK[before[number]]


@settings(max_examples=100, deadline=None)
@given(data_sets, st.integers(0, 1000), st.sampled_from(["hash", "stratified"]))
def test_no_split_ever_leaks(images, seed, method):
    table = grown(images, seed)
    try:
        splits, _ = split.assign(table, **(SETTINGS | {"method": method}))
    except ValueError as error:
        assert "expected 3 or more" in str(error) or "no image" in str(error)
        return
    assert leakage.counts(table, splits) == {"identical_images": 0, "near_duplicate_clusters": 0, "groups": 0}
    assert splits.isin(split.SPLITS).all()


@pytest.mark.parametrize("count", [3, 4, 10, 97, 200])
def test_stratified_is_exact(count):
    table = index({"a": count, "b": 2 * count})
    counts = split.class_counts(table["label"], pd.Series(assign(table, method="stratified")).reset_index(drop=True))
    for label, size in (("a", count), ("b", 2 * count)):
        assert counts.loc[label, ["val", "test"]].tolist() == [max(1, round(0.15 * size))] * 2


def test_stratified_with_groups_is_near():
    table = rows([(f"{n}", "abcde"[n % 5], "", f"g{n // 10}") for n in range(2000)])
    splits, _ = split.assign(table, **(SETTINGS | {"method": "stratified"}))
    assert splits.value_counts().to_dict() == {"train": 1400, "val": 300, "test": 300}
    assert leakage.counts(table, splits)["groups"] == 0


@pytest.mark.parametrize(
    ("method", "digest"),
    [("hash", "4ea39d7376e113031e8fc6f8b97d9efc"), ("stratified", "2bcfebe2962fa48fc85cd02a9ebe9d51")],
)
def test_the_split_is_the_same_byte_for_byte_in_every_version(method, digest):
    """300 classes of 3 to 12 images, a quarter of them in groups: most have a gap that is filled. A rule that draws
    another split moves every user's test set."""
    images = [
        (f"{label}-{number}", f"class-{label}", "", f"group-{label * number % 97}" if number % 4 == 3 else "")
        for label in range(300)
        for number in range(3 + label % 10)
    ]
    splits, _ = split.assign(rows(images), **(SETTINGS | {"method": method}))
    assert hashlib.md5(",".join(splits).encode()).hexdigest() == digest


def test_given_splits_are_kept_and_completed():
    table = pd.concat([index({"a": 40, "b": 40}, "train"), index({"c": 0, "a": 90}, "test").iloc[40:]])
    table = table.reset_index(drop=True)
    splits, _ = split.assign(table, **SETTINGS)
    assert set(splits[table["split"] == "test"]) == {"test"}
    assert set(splits[table["split"] == "train"]) == {"train", "val"}


def test_three_given_splits_are_all_kept():
    table = pd.concat([index({"a": 5, "b": 5}, "train"), index({"a": 7, "b": 7}, "val").iloc[[5, 6, 12, 13]]])
    table = pd.concat([table, index({"a": 9, "b": 9}, "test").iloc[[7, 8, 16, 17]]], ignore_index=True)
    table.loc[len(table)] = [*rows([("new", "a")]).iloc[0]]
    splits, _ = split.assign(table, **SETTINGS)
    assert splits[:-1].tolist() == table["split"][:-1].tolist()
    assert splits.iloc[-1] == "train"  # given no split, where all three splits are given to other rows


@pytest.fixture
def leaking():
    """Given train and test that share a group, near-duplicates and an identical image."""
    given = [(f"{label}{n}", label, "test" if n < 3 else "train") for label in "ab" for n in range(20)]
    table = rows(given)
    table.loc[table["path"].isin(["a0", "a5"]), "group"] = "rex"
    table.loc[table["path"].isin(["b1", "b9"]), "cluster"] = "x"
    table.loc[table["path"].isin(["a2", "a8"]), "id"] = "0" * 32
    return table


def test_given_splits_that_leak_fail_with_the_pairs_named(leaking):
    message = r"the given splits leak: a2 \(test\) and a8 \(train\) are the same image \(2 more\): put them into one "
    with pytest.raises(ValueError, match=message + r"split, or set split\.on_leak: move"):
        assign(leaking)
    assert leakage.find(leaking, leaking["split"]) == [
        "a2 (test) and a8 (train) are the same image",
        "b1 (test) and b9 (train) are near-duplicates",
        "a0 (test) and a5 (train) belong to the group rex",
    ]


def test_given_splits_that_leak_can_be_moved_or_kept(leaking):
    moved = assign(leaking, on_leak="move")
    assert [moved[name] for name in ("a5", "b9", "a8", "a0")] == ["test"] * 4
    kept, _ = split.assign(leaking, **(SETTINGS | {"on_leak": "keep"}))
    assert kept[leaking["path"].isin(["a5", "b9", "a8"])].tolist() == ["train"] * 3
    assert leakage.counts(leaking, kept) == {"identical_images": 1, "near_duplicate_clusters": 1, "groups": 1}


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_too_few_images(count):
    with pytest.raises(ValueError, match=f"class tiny has {count} image.* expected 3 or more; add images, or remove"):
        assign(index({"a": 20, "tiny": count}))


def test_a_class_of_one_group():
    table = rows([(f"{label}{n}", label, "", "rex" if label == "b" else "") for label in "ab" for n in range(9)])
    with pytest.raises(ValueError, match=r"class b has 1 independent image or group \(duplicates count once\)"):
        assign(table)


def test_every_class_of_three_has_all_splits():
    for number in range(30):
        table = index({f"class-{number}": 3, "other": 3})
        counts = split.class_counts(table["label"], split.assign(table, **SETTINGS)[0])
        assert (counts == 1).all(axis=None)


def test_a_class_without_training_images():
    table = pd.concat([index({"a": 9}, "train"), index({"a": 12, "b": 3}, "test").iloc[9:]], ignore_index=True)
    with pytest.raises(ValueError, match="class b has no image in train"):
        split.assign(table, **SETTINGS)


def test_off_target_classes():
    counts = pd.DataFrame({"train": [700, 990], "val": [150, 5], "test": [150, 5]}, index=["even", "odd"])
    assert split.off_target_classes(counts, {"val": 0.15, "test": 0.15}) == ["odd"]
    assert split.off_target_classes(counts, {}) == []


def test_the_target_of_val_is_a_fraction_of_what_it_is_drawn_from():
    """As in Fashion-MNIST: of 7,000 images a class 1,000 are given as test; 900 of the other 6,000 are 15 %."""
    counts = pd.DataFrame({"train": [5100, 5018], "val": [900, 982], "test": [1000, 1000]}, index=["coat", "bag"])
    assert split.off_target_classes(counts, {"val": 0.15}) == []  # 982 is 82 off; three deviations are 82.98
    counts.loc["bag", ["train", "val"]] = [5017, 983]
    assert split.off_target_classes(counts, {"val": 0.15}) == ["bag"]
    assert split.off_target_classes(counts, {}) == []


# Six of the 40 images have a relative, each in train with probability 29/40: the last number is 6/40 x 29/40.
DATA_JSON = b"""{
  "images": 40,
  "classes": 2,
  "train": 29,
  "val": 5,
  "test": 6,
  "smallest_class": 20,
  "imbalance_ratio": 1.0,
  "classes_under_10_train": 0,
  "classes_under_5_test": 2,
  "median_width": 32.0,
  "median_height": 22.0,
  "groups": 1,
  "images_without_group": 38,
  "near_duplicate_clusters": 1,
  "problems_unusable": 0,
  "problems_stray": 0,
  "problems_copy": 2,
  "problems_conflict": 0,
  "problems_hidden": 1,
  "problems_unlisted": 0,
  "problems_other": 0,
  "leaks_identical_images": 1,
  "leaks_near_duplicate_clusters": 1,
  "leaks_groups": 1,
  "test_fingerprint": 39011911810805,
  "random_split_leakage": 0.10875
}
"""


def test_the_stage_writes_flat_metrics_and_a_table_of_classes(leaking, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    table = leaking.assign(text="", width=32, height=[20, 24] * 20, orientation=1)
    manifest.write(table, tmp_path / "index.csv")
    manifest.write(pd.DataFrame({"kind": ["copy", "hidden", "copy"]}), tmp_path / "problems.csv")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"split": SETTINGS | {"on_leak": "keep"}}))
    (tmp_path / "env.yaml").write_bytes((ROOT / "env.yaml").read_bytes())
    execute(sys.executable, "-m", "stages.code", "code.yaml", cwd=tmp_path)
    paths = ("index.csv", "problems.csv", "splits", "classes.txt", "data.json", "classes.csv", "split.png")
    stdout = execute(sys.executable, "-m", "stages.split", *paths, cwd=tmp_path).stdout
    assert (tmp_path / "classes.csv").read_bytes() == b"label,train,val,test\na,16,1,3\nb,13,4,3\n"
    assert (tmp_path / "classes.txt").read_bytes() == b"a\nb\n"
    assert (tmp_path / "data.json").read_bytes() == DATA_JSON
    assert stdout.splitlines()[-5:] == [
        "split: 29 train, 5 val, 6 test images",
        "split: no class fraction is off target",
        "split: 2 classes have fewer than 5 test images, too few to score: a (3), b (3)",
        "split: 1 group (38 images without one), 1 near-duplicate cluster, 3 leaks kept (split.on_leak: keep); "
        "a random split would leak 10.87 % of the test images",
        "split: warning: 38 of 40 images (95.0 %) have no group, so each is drawn by itself: "
        "correct data.group_pattern, or the column group of the CSV",
    ]


def describe(table: pd.DataFrame, splits: pd.Series, fractions: dict[str, float], gap_fillers=None) -> list[str]:
    """The lines below the table of classes, as the stage prints them."""
    table = table.assign(split=splits, width=32, height=24)
    summary = statistics.summarize(table, splits, pd.DataFrame({"kind": []}))
    fillers = table[:0] if gap_fillers is None else table[gap_fillers]
    counts = split.class_counts(table["label"], splits)
    lines = "\n".join(statistics.describe(summary, counts, fractions, fillers)).splitlines()
    return [line for line in lines if line.startswith("split: ")]


@pytest.mark.parametrize(
    ("num_leaks", "text"),
    [
        (0, "no groups were given, 0 near-duplicate clusters, 0 leaks"),
        (1, "1 group (38 images without one), 0 near-duplicate clusters, 1 leak kept (split.on_leak: keep)"),
        (3, "3 groups (34 images without one), 0 near-duplicate clusters, 3 leaks kept (split.on_leak: keep)"),
    ],
)
def test_groups_and_leaks_are_printed(num_leaks, text):
    table = index({"a": 20, "b": 20})
    splits = pd.Series(["test"] * 10 + ["train"] * 10 + ["val"] * 20)
    for number in range(num_leaks):
        table.loc[[number, 10 + number], "group"] = f"group-{number}"
    (line,) = [line for line in describe(table, splits, {}) if "near-duplicate" in line]
    assert line.split(";")[0] == f"split: {text}"


@pytest.mark.parametrize(("grouped", "warned"), [(36, False), (35, True)])
def test_a_group_pattern_that_misses_a_tenth_of_the_paths_is_a_warning(grouped, warned):
    table = index({"a": 20, "b": 20})
    table.loc[: grouped - 1, "group"] = "rex"
    *_, relations, last = describe(table, pd.Series(["train", "train", "val", "test"] * 10), {})
    if warned:
        assert relations.startswith("split: 1 group (5 images without one)")
        assert last == (
            "split: warning: 5 of 40 images (12.5 %) have no group, so each is drawn by itself: "
            "correct data.group_pattern, or the column group of the CSV"
        )
    else:
        assert last.startswith("split: 1 group (4 images without one)")


def test_given_splits_are_not_judged():
    """Class b has no val at all, as given."""
    table = index({"a": 30, "b": 30})
    splits = pd.Series((["train", "val", "test"] * 10) + ["train", "test"] * 15)
    assert describe(table, splits, {})[1] == "split: val and test are as given"
    assert describe(table, splits, {"val": 0.49})[1] == "split: class fractions off target: b"


def test_classes_too_small_to_learn_or_to_score_are_named_whatever_their_fractions():
    table = index({"tiny": 5, "small": 14, "large": 100, **{f"rare-{number:04d}": 13 for number in range(1200)}})
    splits = pd.Series("train", table.index)
    for label, val, test in (("tiny", 2, 2), ("small", 0, 4), ("large", 5, 4)):
        rows = table.index[table["label"] == label]
        splits[rows[:val]], splits[rows[val : val + test]] = "val", "test"
    splits[table["label"].str.startswith("rare") & table["path"].str.endswith(("-7", "-8", "-9", "-10", "-11"))] = (
        "test"
    )
    lines = describe(table, splits, {"val": 0.15, "test": 0.15})
    assert lines[2:4] == [
        "split: 1,201 classes have fewer than 10 training images, too few to learn from: "
        "tiny (1), rare-0000 (8), rare-0001 (8), rare-0002 (8), rare-0003 (8) and 1,196 more",
        "split: 3 classes have fewer than 5 test images, too few to score: tiny (2), large (4), small (4)",
    ]


def test_gap_fillers_are_printed():
    table = index({"a": 3, "b": 3})
    lines = describe(table, *split_and_fractions(table))
    assert lines[-2:] == [
        "split: 3 images moved to a split without images of the class (the first: a-1, to test); "
        "such an image can move again when its class grows: set its split in a CSV to keep it there",
        "split: warning: these moves are 50.0 % of the images (train 70.0 % -> 33.3 %, val 15.0 % -> 33.3 %, "
        "test 15.0 % -> 33.3 %), because classes are small: "
        "add images, or lower split.val and split.test, or set split.method: stratified",
    ]
    lines = describe(index({"a": 200, "b": 3}), *split_and_fractions(index({"a": 200, "b": 3})))
    assert lines[-1].startswith("split: 2 images moved") and "warning" not in "".join(lines)


def split_and_fractions(table: pd.DataFrame) -> tuple:
    splits, gap_fillers = split.assign(table, **SETTINGS)
    return splits, {"val": 0.15, "test": 0.15}, gap_fillers


def test_gaps_of_a_thousand_classes_of_six_take_an_eighth_out_of_train():
    table = index({f"class-{number}": 6 for number in range(1000)})
    *_, fill, warning = describe(table, *split_and_fractions(table))
    assert fill.startswith("split: 749 images moved")
    assert warning.startswith(
        "split: warning: these moves are 12.5 % of the images (train 70.0 % -> 57.5 %, "
        "val 15.0 % -> 21.6 %, test 15.0 % -> 20.9 %), "
    )


def scan(folder: str, **changed) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = {
        "layout": "auto",
        "class_depth": 1,
        "group_pattern": "",
        "captions": False,
        "max_megapixels": 100,
        "unlabelled": "",
    }
    return indexing.scan(**settings, dir=folder, **({"on_problem": "error", "on_conflict": "error"} | changed))[:2]


@pytest.fixture(scope="module")
def signs():
    if not SHARED.is_dir():
        pytest.skip(f"the data sets are not beside the repository, in {SHARED.parent.name}/")
    return scan((SHARED / "signs").as_posix())


def test_signs_leak_no_signer(signs):
    table, problems = signs
    assert len(table) == 2062 and table["group"].nunique() == 220
    splits, gap_fillers = split.assign(table, **SETTINGS)
    assert leakage.counts(table, splits) == {"identical_images": 0, "near_duplicate_clusters": 0, "groups": 0}
    assert not gap_fillers.any()
    summary = statistics.summarize(table, splits, problems)
    assert (summary["groups"], summary["images_without_group"]) == (220, 0)
    assert summary["random_split_leakage"] == pytest.approx(0.9965, abs=0.002)
    assert describe(table, splits, {})[-1] == (
        "split: 220 groups, 0 near-duplicate clusters, 0 leaks; a random split would leak 99.61 % of the test images"
    )
    assert leakage.random_split_leakage(table, 0.8) == pytest.approx(0.9965, abs=0.002)  # known of a random 80/20 split


def test_signs_without_groups_say_so(signs):
    table, problems = signs
    table = table.assign(group="")
    splits, _ = split.assign(table, **SETTINGS)
    summary = statistics.summarize(table, splits, problems)
    assert summary["groups"] == 0 and summary["random_split_leakage"] == 0
    assert summary["images_without_group"] == 2062
    assert describe(table, splits, {})[-1] == "split: no groups were given, 0 near-duplicate clusters, 0 leaks"
    # What it hides: the signers that the test images share with train.
    signers = signs[0]["group"]
    assert signers[splits == "test"].isin(set(signers[splits == "train"])).mean() > 0.98


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("count", [1, 20, 100, 1000])
def test_signs_that_are_added_move_none(signs, count, groups):
    table = signs[0] if groups else signs[0].assign(group="")
    late = table.sample(count, random_state=count).index
    early = table.drop(late)
    before, gap_fillers = split.assign(early, **SETTINGS)
    after, _ = split.assign(table, **SETTINGS)
    assert not gap_fillers.any()
    assert (after[early.index] == before).all()


def test_signs_that_are_renamed_move_none(signs):
    renamed = signs[0].assign(path=signs[0]["path"].str[::-1]).sort_values("path")
    splits, _ = split.assign(renamed, **SETTINGS)
    assert (split.assign(signs[0], **SETTINGS)[0] == splits.sort_index()).all()


def test_clothing_has_one_pair_of_near_duplicates():
    if not SHARED.is_dir():
        pytest.skip(f"the data sets are not beside the repository, in {SHARED.parent.name}/")
    folder = (SHARED / "clothing").as_posix()
    pair = {"shorts/6075b4a5-5b1a-4ce0-aea0-9dbfbca7c35c.jpg", "skirt/637a56e4-7fa6-4f75-8859-0f8902461554.jpg"}
    message = (
        "train/shorts/6075b4a5.*is the same image as .*train/skirt/637a56e4.*one is shorts, the other skirt: remove"
    )
    with pytest.raises(ValueError, match=message):
        scan(folder)
    table, problems = scan(folder, on_conflict="keep")
    clustered = table[table["cluster"] != ""]
    assert {path.split("train/")[1] for path in clustered["path"]} == pair
    assert set(problems["kind"]) == {"conflict"} and len(problems) == 2
    table, _ = scan(folder, on_conflict="drop")
    assert len(table) == 3781 - 2 and not table["cluster"].any()
    splits, _ = split.assign(table, **SETTINGS)
    assert splits.value_counts().to_dict() == {"train": 3066, "val": 341, "test": 372}
