"""The index: which layout a folder has, identities, and a clear line for everything that cannot be used."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from conftest import write_image
from PIL import Image

from heldout.data import components, index
from heldout.data import split as splitting

SETTINGS = {
    "dir": "data/raw",
    "layout": "auto",
    "class_depth": 1,
    "group_pattern": "",
    "captions": False,
    "on_problem": "error",
    "on_conflict": "error",
    "max_megapixels": 100,
    "unlabelled": "",
}


def scan(**changed):
    return index.scan(**(SETTINGS | changed))[:2]


def kinds(problems) -> dict[str, str]:
    """Each problem's path and kind."""
    return dict(zip(problems["path"], problems["kind"], strict=True))


def test_class_folders(photos):
    table, problems = scan()
    given = ["id", "path", "label", "split", "group", "text"]
    assert list(table.columns) == [
        *given,
        *("width", "height", "bytes", "format", "orientation", "channels", "bits", "cluster"),
    ]
    assert len(table) == 24 and len(problems) == 0
    first = table.iloc[0]
    content = Path("data/raw/cat/0.jpg").read_bytes()
    assert (first["path"], first["label"], first["split"]) == ("data/raw/cat/0.jpg", "cat", "")
    assert (first["width"], first["height"], first["bytes"], first["format"]) == (32, 24, len(content), "JPEG")
    assert first["id"] == hashlib.md5(content).hexdigest()
    assert table["path"].is_monotonic_increasing


def test_given_splits(photos):
    for number, name in enumerate(("Training", "validation", "TEST")):
        write_image(Path("data/given", name, "cat", "a.png"), 300 + number)
        write_image(Path("data/given", name, "dog", "deep/er", "b.png"), 400 + number)
    table, _ = scan(dir="data/given")
    assert sorted(set(table["split"])) == ["test", "train", "val"]
    assert sorted(set(table["label"])) == ["cat", "dog"]


def test_an_ambiguous_layout_is_an_error_until_it_is_set(photos):
    Path("data/raw/wolf").rename("data/raw/train")
    with pytest.raises(ValueError, match=r"holds train, which look like splits, beside cat, dog: .* set data.layout"):
        scan()
    assert set(scan(layout="classes")[0]["label"]) == {"cat", "dog", "train"}
    with pytest.raises(ValueError, match=r"data\.layout is splits, but data/raw also holds cat, dog"):
        scan(layout="splits")


def test_test_without_train(photos):
    for name in ("cat", "dog", "wolf"):
        shutil.move(f"data/raw/{name}", f"data/raw/test/{name}")
    with pytest.raises(ValueError, match="holds test but no train/"):
        scan()


def test_hidden_files_are_skipped_and_counted(photos):
    Path("data/raw/cat/.DS_Store").write_bytes(b"x")
    Path("data/raw/.ipynb_checkpoints").mkdir()
    Path("data/raw/README.txt").write_text("beside the classes")
    table, problems = scan()
    assert len(table) == 24
    assert kinds(problems) == {
        "data/raw/cat/.DS_Store": "hidden",
        "data/raw/.ipynb_checkpoints": "hidden",
        "data/raw/README.txt": "other",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty \\(0 bytes\\): fetch it again or remove it"),
        (b"just text\n", "cannot be decoded as an image: convert it to JPEG or PNG, or remove it"),
        (b"<html><body>404</body></html>", "cannot be decoded as an image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, r"is a damaged PNG \(wrong checksum\): fetch it again or remove it"),
    ],
)
def test_a_file_that_is_not_an_image(photos, content, message):
    path = "data/raw/cat/broken name.jpg"
    Path(path).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} {message}.*; or set data.on_problem: skip$"):
        scan()
    table, problems = scan(on_problem="skip")
    assert len(table) == 24
    assert problems["path"].tolist() == [path]


def test_names_and_symlinks(photos):
    Path(os.fsdecode(b"data/raw/cat/\xff\xfe.jpg")).write_bytes(Path("data/raw/cat/0.jpg").read_bytes())
    Path("data/raw/cat/broken.jpg").symlink_to("missing.jpg")
    Path("data/raw/cat/loop.jpg").symlink_to("loop.jpg")
    Path("data/raw/linked").symlink_to(Path("data/raw/dog").resolve())
    shutil.copy("data/raw/dog/1.jpg", "outside.jpg")
    Path("data/raw/dog/outside.jpg").symlink_to(Path("outside.jpg").resolve())
    Path("data/raw/cat/inside.jpg").symlink_to("2.jpg")
    cached = Path("cache/files/md5/ab/cdef")
    write_image(cached.with_suffix(".png"), 77)
    cached.with_suffix(".png").rename(cached)
    Path("data/raw/cat/from-dvc.png").symlink_to(cached.resolve())
    Path("data/raw/dog/two\nlines.jpg").write_bytes(Path("data/raw/dog/0.jpg").read_bytes())
    Path("data/raw/dog/übung 1.jpg").write_bytes(Path("data/raw/dog/0.jpg").read_bytes() + b"\0")
    table, problems = scan(on_problem="skip")
    assert {"data/raw/dog/übung 1.jpg", "data/raw/cat/from-dvc.png"} <= set(table["path"])
    assert kinds(problems[problems["kind"] == "copy"]) == {"data/raw/cat/inside.jpg": "copy"}
    unusable = problems[problems["kind"] == "unusable"]
    assert dict(zip(unusable["path"], unusable["reason"], strict=True)) == {
        "data/raw/cat/\\udcff\\udcfe.jpg": "has a name that is not UTF-8",
        "data/raw/cat/broken.jpg": "is a broken symlink",
        "data/raw/cat/loop.jpg": "is a symlink that leads to itself"
        if sys.version_info < (3, 13)
        else "is a broken symlink",
        r"data/raw/dog/two\nlines.jpg": "has a line break in its name",
        "data/raw/dog/outside.jpg": "is a symlink to a file outside the image folder",
        "data/raw/linked": "is a symlink to a folder",
    }


def test_a_pipe_is_not_waited_for(photos):
    os.mkfifo("data/raw/cat/pipe.jpg")
    with pytest.raises(ValueError, match=r"data/raw/cat/pipe\.jpg is a pipe, socket or device, not a file: remove it"):
        scan()


def test_identical_images_count_once(photos):
    shutil.copy("data/raw/cat/0.jpg", "data/raw/cat/copy.jpg")
    table, problems = scan()
    assert len(table) == 24
    assert problems.iloc[0].tolist() == [
        "data/raw/cat/copy.jpg",
        "copy",
        "has the same bytes as data/raw/cat/0.jpg",
        "nothing: it is counted once",
    ]


def test_identical_images_in_two_given_splits_are_all_kept(photos):
    for start, split in enumerate(("train", "test", "val")):
        for number, label in enumerate(("cat", "dog")):
            write_image(Path("data/given", split, label, f"{split}.png"), 50 + 10 * start + number)
    write_image(Path("data/given/train/cat/first.png"), 7)
    shutil.copy("data/given/train/cat/first.png", "data/given/test/cat/second.png")
    table, _ = scan(dir="data/given")
    duplicates = table[table["cluster"] != ""]
    assert duplicates["path"].tolist() == ["data/given/test/cat/second.png", "data/given/train/cat/first.png"]
    assert set(duplicates["cluster"]) == set(duplicates["id"])


def near_copy(source: str, to: str, quality: int = 70, scale: float = 0.8) -> None:
    """The same image, smaller and encoded again."""
    with Image.open(source) as image:
        size = [round(side * scale) for side in image.size]
        image.resize(size, Image.Resampling.BICUBIC).save(to, quality=quality)


@pytest.fixture
def large(photos):
    """The photos, large enough to be searched for near-duplicates."""
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        write_image(path, number, (96, 128))
    return photos


def test_near_duplicates_share_a_cluster(large):
    near_copy("data/raw/cat/0.jpg", "data/raw/cat/smaller.jpg")
    near_copy("data/raw/cat/smaller.jpg", "data/raw/cat/smallest.png", scale=0.7)
    table, problems = scan()
    cluster = table[table["cluster"] != ""]
    assert [Path(path).name for path in cluster["path"]] == ["0.jpg", "smaller.jpg", "smallest.png"]
    assert set(cluster["cluster"]) == {min(cluster["id"])}
    assert len(problems) == 0


@pytest.mark.parametrize("exact", [True, False])
def test_one_image_in_two_classes(large, exact):
    (shutil.copy if exact else near_copy)("data/raw/cat/0.jpg", "data/raw/dog/copy.jpg")
    message = (
        r"^data/raw/cat/0.jpg is the same image as data/raw/dog/copy.jpg, but one is cat, the other dog: "
        r"remove the wrong one; or set data.on_conflict: drop \(all of them\) or keep$"
    )
    with pytest.raises(ValueError, match=message):
        scan()
    paths = {"data/raw/cat/0.jpg", "data/raw/dog/copy.jpg"}
    table, problems = scan(on_conflict="drop")
    assert len(table) == 23 and not paths & set(table["path"])
    assert kinds(problems) == dict.fromkeys(paths, "conflict")
    table, problems = scan(on_conflict="keep")
    assert len(table) == 25 and paths <= set(table["path"])
    assert kinds(problems) == dict.fromkeys(paths, "conflict")


def test_a_folder_of_copies_beside_the_classes_is_named(large):
    Path("data/raw/Examples").mkdir()
    for name in ("cat", "dog", "wolf"):
        shutil.copy(f"data/raw/{name}/0.jpg", f"data/raw/Examples/{name}.jpg")
    message = (
        "^data/raw/Examples/cat.jpg is in Examples, which holds nothing but copies of images of other classes: "
        r"remove Examples, which is not a class \(2 more\); or set data.on_problem: skip$"
    )
    with pytest.raises(ValueError, match=message):
        scan()
    table, problems = scan(on_problem="skip")
    assert set(table["label"]) == {"cat", "dog", "wolf"} and not table["cluster"].any()
    assert set(problems["kind"]) == {"stray"} and len(problems) == 3


def test_identical_images_join_their_groups_and_the_split_counts_them_once(photos):
    Path("data/raw/cat/1.jpg").write_bytes(Path("data/raw/cat/0.jpg").read_bytes())
    result = index.scan(**(SETTINGS | {"group_pattern": r"(\d)\.jpg"}))
    table, notes = result.images, result.notes
    assert len(table) == 24 and notes == ["1 identical images join groups, which stay on one side of the split"]
    reason = "has the same bytes as data/raw/cat/0.jpg, which joins the groups '0' and '1'"
    assert result.problems[["path", "kind", "reason"]].to_numpy().tolist() == [["data/raw/cat/1.jpg", "copy", reason]]
    component = components.label(table)
    assert component[table["group"] == "0"].nunique() == 1
    assert set(component[table["group"] == "1"]) == set(component[table["group"] == "0"])
    for seed in range(20):
        splits, _ = splitting.assign(table, method="hash", val=0.3, test=0.3, seed=seed, on_leak="error")
        assert splits[table["group"].isin(["0", "1"])].nunique() == 1


def test_a_copy_without_a_group_is_of_the_others_group(photos):
    Path("data/raw/cat/1.jpg").write_bytes(Path("data/raw/cat/0.jpg").read_bytes())
    lines = ["path,label,group", *(f"{name}/{n}.jpg,{name}," for name in ("dog", "wolf") for n in range(8))]
    Path("data/raw/labels.csv").write_text("\n".join([*lines, "cat/0.jpg,cat,", "cat/1.jpg,cat,rex"]))
    table, problems = scan()
    assert table.loc[table["label"] == "cat", ["path", "group"]].to_numpy().tolist() == [["data/raw/cat/1.jpg", "rex"]]
    assert kinds(problems)["data/raw/cat/0.jpg"] == "copy"


def test_identical_images_keep_the_texts_of_all(photos):
    for name in ("1", "2", "3"):
        Path(f"data/raw/cat/{name}.jpg").write_bytes(Path("data/raw/cat/0.jpg").read_bytes())
    texts = {"cat/0": "a tabby", "cat/1": "", "cat/2": "on a mat", "cat/3": "a tabby", "dog/0": "a dog"}
    lines = [f"{path}.jpg,{path[:3]},{text}" for path, text in texts.items()]
    Path("data/raw/labels.csv").write_text("\n".join(["path,label,text", *lines]))
    table, problems = scan()
    assert table["text"].tolist() == ["a tabby / on a mat", "a dog"]
    assert sorted(kinds(problems).values()).count("copy") == 3


def test_folders_that_hold_too_little(photos):
    with pytest.raises(ValueError, match=r"data\.dir is data/none: no such folder; set data\.dir in params\.yaml"):
        scan(dir="data/none")
    Path("data/empty").mkdir()
    with pytest.raises(ValueError, match="data/empty holds no images: expected one folder a class"):
        scan(dir="data/empty")
    Path("data/one/cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="class folder data/one/cat is empty: add its images, or remove the folder"):
        scan(dir="data/one")
    write_image(Path("data/one/cat/a.jpg"), 1)
    with pytest.raises(ValueError, match=r"data/one holds one class \(cat\): expected two or more"):
        scan(dir="data/one")
    write_image(Path("data/one/loose.jpg"), 1)
    with pytest.raises(ValueError, match=r"data/one itself holds images \(the first loose.jpg\)"):
        scan(dir="data/one")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_image_is_a_problem(photos, image_format):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save("data/raw/dog/truncated.img", image_format)
    assert len(scan()[0]) == 25
    content = Path("data/raw/dog/truncated.img").read_bytes()
    Path("data/raw/dog/truncated.img").write_bytes(content[: len(content) * 2 // 3])
    table, problems = scan(on_problem="skip")
    assert len(table) == 24
    assert problems["path"].tolist() == ["data/raw/dog/truncated.img"]


def test_a_decompression_bomb_is_noticed_by_its_header(photos):
    Image.new("1", (20000, 20000)).save("data/raw/dog/bomb.png")
    with pytest.raises(ValueError, match=r"bomb.png has 20000 x 20000 pixels, more than data.max_megapixels \(100\)"):
        scan()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(photos):
    Path("data/raw/dog/1.jpg").chmod(0)
    with pytest.raises(ValueError, match=r"data/raw/dog/1\.jpg cannot be read \(Permission denied\): give yourself"):
        scan()


def test_heic_is_not_supported(photos):
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    heif.save("data/raw/dog/phone.heic")
    with pytest.raises(
        ValueError, match=r"phone\.heic is HEIC, which is not supported: convert it to JPEG or PNG, or remove it"
    ):
        scan()


def test_bit_rot_in_a_png_is_noticed(photos):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save("data/raw/dog/rot.png")
    content = bytearray(Path("data/raw/dog/rot.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path("data/raw/dog/rot.png").write_bytes(content)
    assert kinds(scan(on_problem="skip")[1]) == {"data/raw/dog/rot.png": "unusable"}


def test_image_info(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save("data/raw/cat/rotated.jpg", exif=exif)
    cv2.imwrite("data/raw/cat/deep.png", np.zeros((10, 12, 3), np.uint16))
    Image.new("L", (9, 8)).save("data/raw/cat/gray.named-jpg", "PNG")
    Image.new("RGBA", (9, 8)).save("data/raw/cat/transparent.webp")
    rows = scan()[0].set_index("path")[["width", "height", "format", "orientation", "channels", "bits"]]
    assert rows.loc["data/raw/cat/rotated.jpg"].tolist() == [40, 20, "JPEG", 6, 3, 8]
    assert rows.loc["data/raw/cat/deep.png"].tolist() == [12, 10, "PNG", 1, 3, 16]
    assert rows.loc["data/raw/cat/gray.named-jpg"].tolist() == [9, 8, "PNG", 1, 1, 8]
    assert rows.loc["data/raw/cat/transparent.webp"].tolist() == [9, 8, "WEBP", 1, 4, 8]


def test_skipping_does_not_leave_one_class(photos):
    for image in [*Path("data/raw/dog").iterdir(), *Path("data/raw/wolf").iterdir()]:
        image.write_bytes(b"text")
    message = r"data/raw is left with 8 images in 1 classes after 16 files were left out \(the first: data/raw/dog/0"
    with pytest.raises(ValueError, match=message):
        scan(on_problem="skip")


def test_a_class_that_is_left_out_as_a_whole_is_told(photos):
    for number in range(3):
        path = Path("data/raw/owl", f"{number}.heic")
        path.parent.mkdir(exist_ok=True)
        pillow_heif.from_pillow(Image.new("RGB", (32, 32), (number, 0, 0))).save(path)
    scanned = index.scan(**SETTINGS | {"on_problem": "skip"})
    assert set(scanned.images["label"]) == {"cat", "dog", "wolf"}
    assert scanned.notes == [
        "class owl is gone, since all its images are left out "
        "(3; the first: data/raw/owl/0.heic is HEIC, which is not supported)"
    ]
