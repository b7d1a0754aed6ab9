"""Where labels, splits and groups come from: folders at a given depth, a CSV, a pattern in the paths."""

import re
from pathlib import Path

import pytest
from conftest import write_image

from heldout.data.listing import image_folder

RAW = "data/raw"


def write_labels(text: str, name: str = "labels.csv") -> None:
    Path(RAW, name).write_text(text, encoding="utf-8")


def test_a_csv_beside_the_images(photos):
    write_labels(
        "\ufeffpath,label,group,split,text,size\n"
        "cat/0.jpg,animal,rex,Training,a cat,3\n"
        "cat/1.jpg,beast,tom,validation,,3\n"
        "dog/2.jpg,animal,rex,,,3\n"
    )
    listing = image_folder.list_images(RAW)
    assert listing.layout == "labels.csv"
    assert listing.files == [
        ("data/raw/cat/0.jpg", "animal", "train", "rex", "a cat"),
        ("data/raw/cat/1.jpg", "beast", "val", "tom", ""),
        ("data/raw/dog/2.jpg", "animal", "", "rex", ""),
    ]
    unlisted = [problem for problem in listing.problems if problem.kind == "unlisted"]
    assert len(unlisted) == 21 and unlisted[0].path == "data/raw/cat/2.jpg"


def test_a_csv_that_names_a_missing_file(photos):
    write_labels("path,label\ncat/0.jpg,a\ncat/1.jpg,b\ncat/none.jpg,b\n")
    unusable = [problem for problem in image_folder.list_images(RAW).problems if problem.kind == "unusable"]
    assert unusable == [
        (
            "data/raw/cat/none.jpg",
            "unusable",
            "is named in labels.csv line 4 but does not exist",
            "fetch it, or remove its row",
        )
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("cat/0.jpg,a,\ncat/1.jpg,,\n", "labels.csv line 3 has no label: give one, or remove the row"),
        (",a,\n", "labels.csv line 2 has no path: give one"),
        ("../x.jpg,a,\n", r"labels.csv line 2: \.\./x.jpg is outside data/raw: expected a path below it"),
        ("/x.jpg,a,\n", "labels.csv line 2: /x.jpg is outside data/raw: expected a path below it"),
        ("cat/0.jpg,a,dev\n", "labels.csv line 2: split is 'dev': expected train, val, test or nothing"),
        ("cat/0.jpg,a,\ncat/0.jpg,b,\n", r"labels.csv line 3 names cat/0.jpg again \(line 2\): keep one of the rows"),
        ("cat/0.jpg,a,\ncat/1.jpg,a,\n", r"data/raw holds one class \(a\): expected two or more"),
        ("", "data/raw holds no images"),
    ],
)
def test_an_invalid_csv(photos, rows, message):
    write_labels("path,label,split\n" + rows)
    with pytest.raises(ValueError, match=message):
        image_folder.list_images(RAW)


def test_which_csv_is_used(photos):
    write_labels("name,age\nx,3\n", "other.csv")
    assert image_folder.list_images(RAW).layout == "class folders"
    with pytest.raises(
        ValueError, match=r"data\.layout is csv, but no CSV in data/raw has the columns path and label: add"
    ):
        image_folder.list_images(RAW, "csv")
    write_labels("path,label\ncat/0.jpg,a\ncat/1.jpg,b\n")
    assert image_folder.list_images(RAW).layout == "labels.csv"
    assert image_folder.list_images(RAW, "classes").layout == "class folders"
    write_labels("path,label\ncat/0.jpg,a\ncat/1.jpg,b\n", "second.csv")
    with pytest.raises(
        ValueError, match=re.escape("holds 2 CSV files with the columns path and label (labels.csv, se")
    ):
        image_folder.list_images(RAW)


def test_class_depth(photos):
    for site in ("north", "south"):
        for name in ("cat", "dog"):
            write_image(Path("data/sites", site, name, "deep/er", "0.png"), 1)
    assert {file.label for file in image_folder.list_images("data/sites").files} == {"north", "south"}
    assert {file.label for file in image_folder.list_images("data/sites", class_depth=2).files} == {"cat", "dog"}
    with pytest.raises(ValueError, match=r"data/raw/cat/0\.jpg lies 1 folders deep, but data\.class_depth is 2"):
        image_folder.list_images(RAW, class_depth=2)


def test_one_folder_above_the_classes(photos):
    photos.rename("data/raw.tmp")
    Path("data/outer").mkdir()
    Path("data/raw.tmp").rename("data/outer/photos")
    with pytest.raises(ValueError, match=r"one class \(photos\).*; where the classes lie deeper, set data.class_depth"):
        image_folder.list_images("data/outer")
    assert {file.label for file in image_folder.list_images("data/outer", class_depth=2).files} == {
        "cat",
        "dog",
        "wolf",
    }


def test_groups_by_a_pattern(photos):
    files = image_folder.list_images(RAW, group_pattern=r"(\w)at/(\d)").files
    assert [file.group for file in files[:9]] == [*(f"c-{number}" for number in range(8)), ""]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "data.group_pattern '\\(' is not a regular expression: missing"),
        ("cat", "data.group_pattern 'cat' has no parentheses: put them around what names the group"),
        (
            "(lion)",
            "data.group_pattern '\\(lion\\)' matches no path below data/raw, such as data/raw/cat/0.jpg: correct it",
        ),
    ],
)
def test_an_invalid_pattern(photos, pattern, message):
    with pytest.raises(ValueError, match=message):
        image_folder.list_images(RAW, group_pattern=pattern)


def test_groups_given_by_csv_and_pattern(photos):
    write_labels("path,label,group\ncat/0.jpg,a,x\ncat/1.jpg,b,y\n")
    with pytest.raises(ValueError, match=r"both the CSV and data\.group_pattern give groups: remove one"):
        image_folder.list_images(RAW, group_pattern="(.)at")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"/((a|aa)+)$"])
def test_a_pattern_that_backtracks_for_ever_ends_in_one_line(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        write_image(Path(RAW, label, "a" * 60 + "!.jpg"), 1)
    with pytest.raises(
        ValueError, match=re.escape(f"data.group_pattern {pattern!r} is not done with ") + ".* backtracks"
    ):
        image_folder.list_images(RAW, group_pattern=pattern)


def test_other_files_in_the_folders_are_counted_and_no_more(photos):
    for label in ("cat", "dog"):
        for number in range(8):
            Path(RAW, label, f"{number}.txt").write_text("a caption")
    Path(RAW, "cat/sound.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    Path(RAW, "wolf/photo").write_bytes(Path(RAW, "wolf/0.jpg").read_bytes() + b"\0")  # no suffix, but an image
    Path(RAW, "wolf/empty.jpg").write_bytes(b"")  # called an image
    Path(RAW, "annotations").mkdir()
    Path(RAW, "annotations/0.xml").write_text("<a/>")
    Path(RAW, "README.md").write_text("read me")
    listing = image_folder.list_images(RAW)
    assert {file.path for file in listing.files} >= {"data/raw/wolf/photo", "data/raw/wolf/empty.jpg"}
    assert len(listing.files) == 26 and {file.label for file in listing.files} == {"cat", "dog", "wolf"}
    assert {problem.kind for problem in listing.problems} == {"other"} and len(listing.problems) == 19
    assert listing.notes == ["data/raw/annotations holds no images (1 other files), so it is no class"]


def test_a_folder_of_other_files_alone_says_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(RAW, "sounds").mkdir(parents=True)
    Path(RAW, "sounds/a.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    with pytest.raises(ValueError, match=r"holds no images, only 1 other files \(the first: data/raw/sounds/a\.wav\)"):
        image_folder.list_images(RAW)


def test_what_archives_and_file_managers_leave_is_hidden(photos):
    for path in ("__MACOSX/cat/._0.jpg", "@eaDir/x.jpg", "cat/@eaDir/0.jpg", "cat/Thumbs.db"):
        write = Path(RAW, path)
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_bytes(b"x")
    listing = image_folder.list_images(RAW)
    assert len(listing.files) == 24 and {problem.kind for problem in listing.problems} == {"hidden"}


@pytest.mark.parametrize(("first", "second"), [("cat ", "cat"), ("caf\u00e9", "cafe\u0301"), ("Dog", "dog")])
def test_class_folders_that_look_alike(photos, first, second):
    for number, name in enumerate((first, second)):
        write_image(Path(RAW, name, "x.jpg"), 900 + number)
    with pytest.raises(ValueError, match=r"the classes .* differ only in .*: give both one name, or two that differ"):
        image_folder.list_images(RAW)
