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
    with pytest.raises(ValueError, match=r"class b has 1 independent images or groups \(duplicates count once\)"):
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
    near = pd.DataFrame({"train": [700, 72], "val": [150, 13], "test": [150, 15]}, index=["a", "b"])
    assert split.off_target_classes(near, {}) == []


# Six of the 40 images have a relative, each in train with probability 29/40: the last number is 6/40 x 29/40.
DATA_JSON = b"""{
  "images": 40,
  "classes": 2,
  "train": 29,
  "val": 5,
  "test": 6,
  "smallest_class": 20,
  "imbalance_ratio": 1.0,
  "median_width": 32.0,
  "median_height": 22.0,
  "groups": 1,
  "near_duplicate_clusters": 1,
  "problems_unusable": 0,
  "problems_stray": 0,
  "problems_copy": 2,
  "problems_conflict": 0,
  "problems_hidden": 1,
  "problems_unlisted": 0,
  "leaks_identical_images": 1,
  "leaks_near_duplicate_clusters": 1,
  "leaks_groups": 1,
  "random_split_leakage": 0.10875
}
"""


def test_the_stage_writes_flat_metrics_and_a_table_of_classes(leaking, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    table = leaking.assign(text="", width=32, height=[20, 24] * 20)
    manifest.write(table, tmp_path / "index.csv")
    manifest.write(pd.DataFrame({"kind": ["copy", "hidden", "copy"]}), tmp_path / "problems.csv")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"split": SETTINGS | {"on_leak": "keep"}}))
    execute(sys.executable, "-m", "stages.code", "code.yaml", cwd=tmp_path)
    paths = ("index.csv", "problems.csv", "splits", "classes.txt", "data.json", "classes.csv", "split.png")
    stdout = execute(sys.executable, "-m", "stages.split", *paths, cwd=tmp_path).stdout
    assert (tmp_path / "classes.csv").read_bytes() == b"label,train,val,test\na,16,1,3\nb,13,4,3\n"
    assert (tmp_path / "classes.txt").read_bytes() == b"a\nb\n"
    assert (tmp_path / "data.json").read_bytes() == DATA_JSON
    assert stdout.splitlines()[-3:] == [
        "split: 29 train, 5 val, 6 test images",
        "split: no class fraction is off target",
        "split: 1 group, 1 near-duplicate cluster, 3 leaks kept (split.on_leak: keep); "
        "a random split would leak 10.87 % of the test images",
    ]


@pytest.mark.parametrize(
    ("num_leaks", "text"),
    [(0, "0 leaks"), (1, "1 leak kept (split.on_leak: keep)"), (3, "3 leaks kept (split.on_leak: keep)")],
)
def test_leaks_are_printed(num_leaks, text):
    table = index({"a": 20, "b": 20}).assign(width=32, height=24)
    splits = pd.Series(["test"] * 10 + ["train"] * 10 + ["val"] * 20)
    for number in range(num_leaks):
        table.loc[[number, 10 + number], "group"] = f"group-{number}"
    summary = statistics.summarize(table, splits, pd.DataFrame({"kind": []}))
    line = statistics.describe(summary, split.class_counts(table["label"], splits), [], table[:0])[-1]
    groups = {0: "no groups were given", 1: "1 group", 3: "3 groups"}[num_leaks]
    assert line.split(";")[0] == f"split: {groups}, 0 near-duplicate clusters, {text}"


def test_gap_fillers_are_printed():
    table = index({"a": 3, "b": 3}).assign(width=32, height=24)
    splits, gap_fillers = split.assign(table, **SETTINGS)
    summary = statistics.summarize(table, splits, pd.DataFrame({"kind": []}))
    rows = table.assign(split=splits)[gap_fillers]
    lines = statistics.describe(summary, split.class_counts(table["label"], splits), ["a", "b"], rows)
    assert lines[2] == "split: class fractions off target: a, b"
    assert lines[-1] == (
        "split: 3 images moved to a split without images of the class (the first: a-1, to test); "
        "such an image can move again when its class grows: set its split in a CSV to keep it there"
    )


def scan(folder: str, **changed) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = {"layout": "auto", "class_depth": 1, "group_pattern": "", "max_megapixels": 100}
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
    assert summary["groups"] == 220
    assert summary["random_split_leakage"] == pytest.approx(0.9965, abs=0.002)
    lines = statistics.describe(summary, split.class_counts(table["label"], splits), [], table[:0])
    assert lines[-1] == (
        "split: 220 groups, 0 near-duplicate clusters, 0 leaks; a random split would leak 99.61 % of the test images"
    )
    assert leakage.random_split_leakage(table, 0.8) == pytest.approx(0.9965, abs=0.002)  # known of a random 80/20 split


def test_signs_without_groups_say_so(signs):
    table, problems = signs
    table = table.assign(group="")
    splits, _ = split.assign(table, **SETTINGS)
    summary = statistics.summarize(table, splits, problems)
    assert summary["groups"] == 0 and summary["random_split_leakage"] == 0
    lines = statistics.describe(summary, split.class_counts(table["label"], splits), [], table[:0])
    assert lines[-1] == "split: no groups were given, 0 near-duplicate clusters, 0 leaks"
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
