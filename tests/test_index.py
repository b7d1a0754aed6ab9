"""The index: layouts told apart, identities, and a clear line for everything that cannot be used."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_image
from PIL import Image

from heldout import index

SETTINGS = {"dir": "data/raw", "layout": "auto", "on_problem": "error", "max_megapixels": 100}


def scan(**changed):
    return index.scan(**(SETTINGS | changed))


def test_class_folders(photos):
    table, problems = scan()
    assert list(table.columns) == ["id", "path", "label", "split", "width", "height", "bytes", "format"]
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


def test_hidden_files_are_passed_over(photos):
    Path("data/raw/cat/.DS_Store").write_bytes(b"x")
    Path("data/raw/.ipynb_checkpoints").mkdir()
    Path("data/raw/README.txt").write_text("beside the classes")
    assert len(scan()[0]) == 24


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
    Path("data/raw/dog/two\nlines.jpg").write_bytes(Path("data/raw/dog/0.jpg").read_bytes())
    Path("data/raw/dog/übung 1.jpg").write_bytes(Path("data/raw/dog/0.jpg").read_bytes() + b"\0")
    table, problems = scan(on_problem="skip")
    assert "data/raw/dog/übung 1.jpg" in set(table["path"])
    assert dict(zip(problems["path"], problems["reason"], strict=True)) == {
        "data/raw/cat/\\udcff\\udcfe.jpg": "has a name that is not UTF-8",
        "data/raw/cat/gone.jpg": "is a link that leads nowhere",
        "data/raw/dog/two\nlines.jpg": "has a line break in its name",
        "data/raw/linked": "is a link to a folder",
    }


def test_identical_images_count_once(photos):
    shutil.copy("data/raw/cat/0.jpg", "data/raw/cat/copy.jpg")
    table, problems = scan()
    assert len(table) == 24
    assert problems.iloc[0].tolist()[:2] == ["data/raw/cat/copy.jpg", "has the same bytes as data/raw/cat/0.jpg"]


def test_identical_images_go_to_the_most_held_out_split(photos):
    for start, split in enumerate(("train", "test", "val")):
        for number, label in enumerate(("cat", "dog")):
            write_image(Path("data/given", split, label, f"{split}.png"), 50 + 10 * start + number)
    write_image(Path("data/given/train/cat/same.png"), 7)
    shutil.copy("data/given/train/cat/same.png", "data/given/test/cat/again.png")
    table, _ = scan(dir="data/given")
    assert "data/given/test/cat/again.png" in set(table["path"])
    assert "data/given/train/cat/same.png" not in set(table["path"])


def test_one_image_in_two_classes_is_an_error(photos):
    shutil.copy("data/raw/cat/0.jpg", "data/raw/dog/copy.jpg")
    with pytest.raises(ValueError, match=r"data/raw/cat/0.jpg and data/raw/dog/copy.jpg are the same image in two"):
        scan()


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
    with pytest.raises(ValueError, match=r"data/one itself holds images \(1, the first loose.jpg\)"):
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


def test_skipping_does_not_leave_one_class(photos):
    for image in [*Path("data/raw/dog").iterdir(), *Path("data/raw/wolf").iterdir()]:
        image.write_bytes(b"text")
    line = r"data/raw is left with 8 images in 1 classes after 16 files were left out \(the first: data/raw/dog/0"
    with pytest.raises(ValueError, match=line):
        scan(on_problem="skip")
