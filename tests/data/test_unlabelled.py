"""Images without a label: what is listed, and that no relative of a held-out image is learned from."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import write_image

from heldout.data import index, leakage, split
from heldout.data.listing import image_folder

SPLIT = {"method": "hash", "val": 0.2, "test": 0.2, "seed": 0, "on_leak": "error"}


def scan(unlabelled: str = "more", **changed) -> index.Scan:
    settings = {"layout": "auto", "group_pattern": "", "on_problem": "error", "on_conflict": "error"} | changed
    return index.scan(dir="data/raw", class_depth=1, max_megapixels=9, unlabelled=unlabelled, **settings)


def splits_of(images: pd.DataFrame) -> pd.Series:
    return split.assign(images[images["label"] != ""], **SPLIT)[0]


def held_out_paths(images: pd.DataFrame) -> dict[str, str]:
    """The first image of each split, by what the labelled images alone give."""
    splits = splits_of(images)
    return {name: images.loc[splits.index[splits == name][0], "path"] for name in split.SPLITS}


def enlarged(path: str, to: str) -> None:
    """A near-duplicate: the same picture at another size and quality."""
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.resize(cv2.imread(path), (80, 60), interpolation=cv2.INTER_CUBIC)
    assert cv2.imwrite(to, picture, [cv2.IMWRITE_JPEG_QUALITY, 90])


@pytest.fixture
def large_photos(photos):
    """The photos, large enough for near-duplicates to be looked for, and four without a label."""
    for path in photos.rglob("*.jpg"):
        write_image(path, int(path.stem) + 100 * ord(path.parent.name[0]), (60, 80))
    for number in range(4):
        write_image(photos / f"more/deep/{number}.jpg", 9000 + number, (60, 80))
    return photos


def test_planted_relatives_of_held_out_images_are_not_learned_from(large_photos):
    first = held_out_paths(scan().images)
    for name, path in first.items():
        shutil.copy(path, f"data/raw/more/copy-{name}.jpg")
        enlarged(path, f"data/raw/more/near-{name}.jpg")
    found = scan()
    learned = split.unlabelled(found.images, splits_of(found.images))
    names = {Path(path).name for path in learned["path"]}
    # A near-duplicate of a training image is no harm; a copy of one is there already.
    assert names == {"0.jpg", "1.jpg", "2.jpg", "3.jpg", "near-train.jpg"}
    copies = {Path(problem.path).name for problem in found.problems.itertuples() if problem.kind == "copy"}
    assert copies == {"copy-train.jpg", "copy-val.jpg", "copy-test.jpg"}


def test_group_mates_of_held_out_images_are_not_learned_from(large_photos):
    """Also through others: a near-duplicate of a group-mate."""
    settings = {"group_pattern": r"(\d)\.jpg|mate-(\w+)-of"}
    images = scan(**settings).images
    splits = splits_of(images)
    group_of = {name: images.loc[splits.index[splits == name][0], "group"] for name in split.SPLITS}
    for number, (name, group) in enumerate(group_of.items()):
        write_image(large_photos / f"more/mate-{group}-of-{name}.jpg", 9100 + number, (60, 80))
        enlarged(f"data/raw/more/mate-{group}-of-{name}.jpg", f"data/raw/more/other-{name}.jpg")
    images = scan(**settings).images
    learned = split.unlabelled(images, splits_of(images))
    names = {Path(path).name for path in learned["path"] if "deep" not in path}
    assert names == {f"mate-{group_of['train']}-of-train.jpg", "other-train.jpg"}


def test_the_gate_sees_a_leak(large_photos, monkeypatch):
    """Were the rule itself broken, the independent look at the finished pool would end the stage."""
    enlarged(held_out_paths(scan().images)["test"], "data/raw/more/near.jpg")
    images = scan().images
    splits = splits_of(images)
    monkeypatch.setattr(split.components, "label", lambda table: pd.Series(np.arange(len(table)), table.index))
    with pytest.raises(RuntimeError, match=r"without a label leaks, .*near.jpg .* are near-duplicates"):
        split.unlabelled(images, splits)
    assert leakage.find(images, splits.reindex(images.index, fill_value="unlabelled"))


def test_labelled_images_keep_their_rows_and_splits(large_photos):
    found = scan().images
    shutil.rmtree(large_photos / "more")
    alone = scan("").images
    labelled = found[found["label"] != ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(labelled, alone)
    assert splits_of(found).tolist() == splits_of(alone).tolist()
    assert split.unlabelled(alone, splits_of(alone)).empty


def test_rows_of_a_csv_give_groups_and_splits_without_labels(large_photos):
    paths = sorted(path.relative_to(large_photos).as_posix() for path in large_photos.rglob("*.jpg"))
    lines = [f"{path},{'' if path.startswith('more') else path.split('/')[0]},{path[:-4]},,x" for path in paths]
    lines = [line.replace(",,x", ",test,x") if "deep/1" in line else line for line in lines if "deep/2" not in line]
    Path("data/raw/labels.csv").write_text("path,label,group,split,site\n" + "\n".join(lines) + "\n", encoding="utf-8")
    images = scan().images.set_index("path")
    rows = images[images["label"] == ""]
    assert rows["group"].tolist() == ["more/deep/0", "more/deep/1", "", "more/deep/3"]  # the third has no row
    assert rows["site"].tolist() == ["x", "x", "", "x"]
    images = images.reset_index()
    learned = split.unlabelled(images, split.assign(images[images["label"] != ""], **SPLIT)[0])
    assert [Path(path).name for path in learned["path"]] == ["0.jpg", "2.jpg", "3.jpg"]  # given to test: held out


def test_an_empty_label_elsewhere_is_an_error(photos):
    Path("data/raw/labels.csv").write_text("path,label\ncat/0.jpg,cat\ncat/1.jpg,\n", encoding="utf-8")
    (photos / "more").mkdir()
    with pytest.raises(ValueError, match=r"labels.csv line 3 has no label: give one, or remove the row"):
        scan()


@pytest.mark.parametrize("name", ["none", "..", ".", "../raw2"])
def test_a_folder_that_is_not_inside_is_an_error(photos, name):
    Path("data/raw2").mkdir()
    with pytest.raises(ValueError, match=r"data.unlabelled is .*: expected a folder inside data/raw, or nothing"):
        scan(name)


def test_beside_given_splits(photos):
    for name in ("train", "val", "test"):
        shutil.copytree(photos, f"data/given/{name}")
    write_image(Path("data/given/more/a.jpg"), 1)
    listing = image_folder.list_images("data/given", unlabelled="more")
    assert listing.layout == "given splits"
    assert [file for file in listing.files if not file.label] == [("data/given/more/a.jpg", "", "", "", "")]
