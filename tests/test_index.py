"""The index: layouts told apart, identities, and a clear line for everything that cannot be used."""

import hashlib
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from conftest import write_image
from PIL import Image

from heldout import index

SETTINGS = {
    "dir": "data/raw",
    "layout": "auto",
    "class_depth": 1,
    "group_pattern": "",
    "on_problem": "error",
    "on_conflict": "error",
    "max_megapixels": 100,
}


def scan(**changed):
    return index.scan(**(SETTINGS | changed))[:2]


def listed(problems) -> dict[str, str]:
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


def test_doubt_is_an_error_until_the_layout_is_stated(photos):
    Path("data/raw/wolf").rename("data/raw/train")
    with pytest.raises(ValueError, match=r"holds train, which look like splits, beside cat, dog: .* data.layout"):
        scan()
    assert set(scan(layout="classes")[0]["label"]) == {"cat", "dog", "train"}
    with pytest.raises(ValueError, match=r"data\.layout is splits, but data/raw also holds cat, dog"):
        scan(layout="splits")


def test_test_without_train(photos):
    for name in ("cat", "dog", "wolf"):
        shutil.move(f"data/raw/{name}", f"data/raw/test/{name}")
    with pytest.raises(ValueError, match="holds test but no train/"):
        scan()


def test_hidden_files_are_passed_over_and_counted(photos):
    Path("data/raw/cat/.DS_Store").write_bytes(b"x")
    Path("data/raw/.ipynb_checkpoints").mkdir()
    Path("data/raw/README.txt").write_text("beside the classes")
    table, problems = scan()
    assert len(table) == 24
    assert listed(problems) == {"data/raw/cat/.DS_Store": "hidden", "data/raw/.ipynb_checkpoints": "hidden"}


def bad(path: str, content: bytes) -> str:
    Path(path).write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is empty \\(0 bytes\\): fetch it again or remove it"),
        (b"just text\n", "is no image that can be read: convert it to JPEG or PNG, or remove it"),
        (b"<html><body>404</body></html>", "is no image that can be read"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "is no image that can be read"),
    ],
)
def test_a_file_that_is_no_image(photos, content, line):
    path = bad("data/raw/cat/broken name.jpg", content)
    with pytest.raises(ValueError, match=f"^{path} {line}.*; or set data.on_problem: skip$"):
        scan()
    table, problems = scan(on_problem="skip")
    assert len(table) == 24
    assert problems["path"].tolist() == [path]


def test_names_and_links(photos):
    Path(os.fsdecode(b"data/raw/cat/\xff\xfe.jpg")).write_bytes(Path("data/raw/cat/0.jpg").read_bytes())
    Path("data/raw/cat/gone.jpg").symlink_to("nowhere.jpg")
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
    assert listed(problems[problems["kind"] == "copy"]) == {"data/raw/cat/inside.jpg": "copy"}
    unusable = problems[problems["kind"] == "unusable"]
    assert dict(zip(unusable["path"], unusable["reason"], strict=True)) == {
        "data/raw/cat/\\udcff\\udcfe.jpg": "has a name that is not UTF-8",
        "data/raw/cat/gone.jpg": "is a link that leads nowhere",
        "data/raw/dog/two\nlines.jpg": "has a line break in its name",
        "data/raw/dog/outside.jpg": "is a link that leads out of the image folder",
        "data/raw/linked": "is a link to a folder",
    }


def test_a_pipe_is_not_waited_for(photos):
    os.mkfifo("data/raw/cat/pipe.jpg")
    with pytest.raises(ValueError, match=r"data/raw/cat/pipe\.jpg is no file but a pipe, socket or device: remove it"):
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


def test_identical_images_in_two_given_splits_stay_to_be_seen(photos):
    for start, split in enumerate(("train", "test", "val")):
        for number, label in enumerate(("cat", "dog")):
            write_image(Path("data/given", split, label, f"{split}.png"), 50 + 10 * start + number)
    write_image(Path("data/given/train/cat/same.png"), 7)
    shutil.copy("data/given/train/cat/same.png", "data/given/test/cat/again.png")
    table, _ = scan(dir="data/given")
    same = table[table["cluster"] != ""]
    assert same["path"].tolist() == ["data/given/test/cat/again.png", "data/given/train/cat/same.png"]
    assert set(same["cluster"]) == set(same["id"])


def near_copy(source: str, to: str, quality: int = 70, scale: float = 0.8) -> None:
    """The same picture, smaller and encoded again."""
    with Image.open(source) as image:
        size = [round(side * scale) for side in image.size]
        image.resize(size, Image.Resampling.BICUBIC).save(to, quality=quality)


@pytest.fixture
def large(photos):
    """The photos at a size at which near-duplicates are looked for."""
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
    line = (
        r"^data/raw/cat/0.jpg is the same image as data/raw/dog/copy.jpg, but one is cat, the other dog: "
        r"remove the wrong one; or set data.on_conflict: drop \(all of them\) or keep$"
    )
    with pytest.raises(ValueError, match=line):
        scan()
    both = {"data/raw/cat/0.jpg", "data/raw/dog/copy.jpg"}
    table, problems = scan(on_conflict="drop")
    assert len(table) == 23 and not both & set(table["path"])
    assert listed(problems) == dict.fromkeys(both, "conflict")
    table, problems = scan(on_conflict="keep")
    assert len(table) == 25 and both <= set(table["path"])
    assert listed(problems) == dict.fromkeys(both, "conflict")


def test_a_folder_of_copies_beside_the_classes_is_named(large):
    Path("data/raw/Examples").mkdir()
    for name in ("cat", "dog", "wolf"):
        shutil.copy(f"data/raw/{name}/0.jpg", f"data/raw/Examples/{name}.jpg")
    line = "^data/raw/Examples/cat.jpg is in Examples, which holds copies of images of other classes alone: remove Ex"
    with pytest.raises(ValueError, match=line):
        scan()
    table, problems = scan(on_problem="skip")
    assert set(table["label"]) == {"cat", "dog", "wolf"} and not table["cluster"].any()
    assert set(problems["kind"]) == {"stray"} and len(problems) == 3


def test_identical_images_in_two_groups_are_an_error(photos):
    Path("data/raw/cat/1.jpg").write_bytes(Path("data/raw/cat/0.jpg").read_bytes())
    line = r"cat/1\.jpg and data/raw/cat/0\.jpg are the same image in the groups '1' and '0': remove one"
    with pytest.raises(ValueError, match=line):
        scan(group_pattern=r"(\d)\.jpg")


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
    with pytest.raises(ValueError, match=r"data/one holds one class only \(cat\): expected two or more"):
        scan(dir="data/one")
    write_image(Path("data/one/loose.jpg"), 1)
    with pytest.raises(ValueError, match=r"data/one itself holds images \(the first loose.jpg\)"):
        scan(dir="data/one")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_cut_short_is_found_here_already(photos, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save("data/raw/dog/whole.img", kind)
    assert len(scan()[0]) == 25
    content = Path("data/raw/dog/whole.img").read_bytes()
    Path("data/raw/dog/whole.img").write_bytes(content[: len(content) * 2 // 3])
    table, problems = scan(on_problem="skip")
    assert len(table) == 24
    assert problems["path"].tolist() == ["data/raw/dog/whole.img"]


def test_a_bomb_is_refused_by_its_header(photos):
    Image.new("1", (20000, 20000)).save("data/raw/dog/bomb.png")
    with pytest.raises(ValueError, match=r"bomb.png has 20000 x 20000 pixels, more than data.max_megapixels \(100\)"):
        scan()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(photos):
    Path("data/raw/dog/1.jpg").chmod(0)
    with pytest.raises(ValueError, match=r"data/raw/dog/1\.jpg cannot be read \(Permission denied\): give yourself"):
        scan()


def test_heic_is_named(photos):
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    heif.save("data/raw/dog/phone.heic")
    with pytest.raises(ValueError, match=r"phone\.heic is HEIC, which is not read here: convert it to JPEG or PNG"):
        scan()


def test_bit_rot_in_a_png_is_found(photos):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save("data/raw/dog/rot.png")
    content = bytearray(Path("data/raw/dog/rot.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path("data/raw/dog/rot.png").write_bytes(content)
    assert listed(scan(on_problem="skip")[1]) == {"data/raw/dog/rot.png": "unusable"}


def test_what_the_header_says(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save("data/raw/cat/turned.jpg", exif=exif)
    cv2.imwrite("data/raw/cat/deep.png", np.zeros((10, 12, 3), np.uint16))
    Image.new("L", (9, 8)).save("data/raw/cat/grey.named-jpg", "PNG")
    Image.new("RGBA", (9, 8)).save("data/raw/cat/clear.webp")
    rows = scan()[0].set_index("path")[["width", "height", "format", "orientation", "channels", "bits"]]
    assert rows.loc["data/raw/cat/turned.jpg"].tolist() == [40, 20, "JPEG", 6, 3, 8]
    assert rows.loc["data/raw/cat/deep.png"].tolist() == [12, 10, "PNG", 1, 3, 16]
    assert rows.loc["data/raw/cat/grey.named-jpg"].tolist() == [9, 8, "PNG", 1, 1, 8]
    assert rows.loc["data/raw/cat/clear.webp"].tolist() == [9, 8, "WEBP", 1, 4, 8]


def test_skipping_does_not_leave_one_class(photos):
    for image in [*Path("data/raw/dog").iterdir(), *Path("data/raw/wolf").iterdir()]:
        image.write_bytes(b"text")
    line = r"data/raw is left with 8 images in 1 classes after 16 files were left out \(the first: data/raw/dog/0"
    with pytest.raises(ValueError, match=line):
        scan(on_problem="skip")
