"""The CSV beside the images, as people and programs write it: what came is what leaves, or one line says why not."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_image
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heldout.core import names
from heldout.data import index, manifest
from heldout.data.listing import image_folder, labels_csv

RAW = Path("data/raw")
ROWS = [("cat/0.jpg", "animal", "rex", "test"), ("cat/1.jpg", "beast", "tom", "train"), ("dog/2.jpg", "animal", "", "")]
EXPECTED = [
    ("data/raw/cat/0.jpg", "animal", "test", "rex", ""),
    ("data/raw/cat/1.jpg", "beast", "train", "tom", ""),
    ("data/raw/dog/2.jpg", "animal", "", "", ""),
]


def write(text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    (RAW / name).write_bytes(text.encode(encoding))
    return RAW / name


def table(header: str, delimiter: str = ",", end: str = "\n") -> str:
    return end.join([header, *(delimiter.join(row) for row in ROWS)]) + end


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (table("path,label,group,split"), "utf-8"),
        (table("path,label,group,split"), "utf-8-sig"),
        (table("path,label,group,split"), "utf-16"),
        (table("path;label;group;split", ";"), "utf-8"),
        (table("path\tlabel\tgroup\tsplit", "\t"), "utf-16"),
        (table("path|label|group|split", "|"), "utf-8"),
        (table("path, label, group, split", ", "), "utf-8"),
        (table("Path,Label,Group,Split"), "utf-8"),
        (table(" path , LABEL,Group ID,subset"), "utf-8"),
        (table("file_name,label,patient_id,split"), "utf-8"),
        (table("filename,class,subject-id,partition"), "utf-8"),
        (table("path,label,group,split", end="\r\n"), "utf-8"),
        (table("path,label,group,split", end="\r"), "utf-8"),
        (table("path,label,group,split", end="\n\n"), "utf-8"),
        ("\n\n" + table("path,label,group,split") + ",,,\n", "utf-8"),
        (re.sub(r"[^,\n]+", r'"\g<0>"', table("path,label,group,split")), "utf-8"),
    ],
)
def test_every_form_of_the_same_table(photos, text, encoding):
    write(text, encoding=encoding)
    assert image_folder.list_images("data/raw").files == EXPECTED


def test_the_order_of_columns_and_others_beside_them(photos):
    write("site,Age,label,width,path\nnorth,3,a,7,cat/0.jpg\nsouth,,b,8,cat/1.jpg\n")
    listing = image_folder.list_images("data/raw")
    assert listing.columns == ["site", "Age", "width"]
    assert listing.notes == ["labels.csv: kept beside them: site, Age, width"]
    scan = index.scan(
        dir="data/raw",
        layout="auto",
        class_depth=1,
        group_pattern="",
        captions=False,
        on_problem="error",
        on_conflict="error",
        max_megapixels=9,
        unlabelled="",
    )
    assert scan.images[["path", "site", "Age", "width", "width_given"]].to_numpy().tolist() == [
        ["data/raw/cat/0.jpg", "north", "3", 32, "7"],
        ["data/raw/cat/1.jpg", "south", "", 32, "8"],
    ]


def test_other_names_of_columns_are_told(photos):
    write("file_name,class\ncat/0.jpg,a\ncat/1.jpg,b\n", "metadata.csv")
    assert image_folder.list_images("data/raw").notes == ["metadata.csv: file_name is the path, class is the label"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "path,kind\ncat/0.jpg,a\n",
            "labels.csv has a column for the path (path) but none for the label, only path, kind",
        ),
        (
            "Label,name\na,cat/0.jpg\n",
            "has a column for the label (Label) but none for the path, only Label, name: call",
        ),
        (
            "path,class,category\nx,a,b\n",
            "labels.csv has 2 columns for the label (class, category): call the right one",
        ),
        (
            "path,label,label\nx,a,b\n",
            "labels.csv has 2 columns for the label (label, label): call the right one label",
        ),
        ("path,label,x,x\nx,a,b,c\n", "labels.csv has two columns called x: rename one of them"),
        (
            "path,label\ncat/0.jpg,a\n\n\ncat/1.jpg,b,c\n",
            "labels.csv line 5 has 3 fields, its header 2: put a value that",
        ),
        (
            "path;label\ncat/0.jpg\n",
            "labels.csv line 2 has 1 fields, its header 2: put a value that holds ';' into double",
        ),
        ("path,label\n\n\ncat/0.jpg,\n", "labels.csv line 4 has no label: give one, or remove the row"),
        ("path,label\ncat/0.jpg,  \n", "labels.csv line 2 has no label"),
        ('path,label\ncat/0.jpg,"a\n', "labels.csv line 2 is not CSV (unexpected end of data): correct its quotes"),
        ('path,label\ncat/0.jpg,"a"b\n', "labels.csv line 2 is not CSV (',' expected after '\"'): correct its quotes"),
        (
            'path,label\ncat/0.jpg,"a\nb"\n',
            "labels.csv line 3: label a\\nb has a line break in its name: write it without",
        ),
        ("path,label\ncat/0.jpg,a\u2028b\n", "labels.csv line 2: label a\\u2028b has a line break in its name"),
        ("path,label,group\ncat/0.jpg,a,x\x0by\n", "labels.csv line 2: group x\\x0by has a line break in its name"),
        ("path,label\ncat/0.jpg\x00,a\n", "is not UTF-8 (it holds NUL): save it as UTF-8"),
        (
            "path,label,split\ncat/0.jpg,a,holdout\n",
            "labels.csv line 2: split is 'holdout': expected train, val, test or",
        ),
        ("path,label\ncat/0.jpg,a\n./cat/0.jpg,b\n", "labels.csv line 3 names ./cat/0.jpg again (line 2): keep one of"),
        (
            "path,label\nraw/0.jpg,a\nraw/1.jpg,b\n",
            "labels.csv names 2 images, none of which exists (the first: data/raw/raw/0.jpg is named in labels.csv "
            "line 2 but does not exist): expected paths below data/raw",
        ),
        (
            "path,label\ncat/0.jpg,cat\ncat/1.jpg,cat \n",
            "the classes 'cat' and 'cat ' differ only in blanks: give both",
        ),
        (
            "path,label\ncat/0.jpg,Cat\ncat/1.jpg,cat\n",
            "the classes 'Cat' and 'cat' differ only in case: give both one",
        ),
        (
            "path,label,group\ncat/0.jpg,a,cafe\u0301\ncat/1.jpg,b,caf\u00e9\n",
            "differ only in Unicode form (NFC and NFD): give both one name, or two that differ",
        ),
    ],
)
def test_one_line_names_the_file_the_line_and_the_column(photos, text, line):
    write(text)
    with pytest.raises(ValueError, match=re.escape(line)) as raised:
        image_folder.list_images("data/raw")
    assert len(str(raised.value).splitlines()) == 1


def test_a_text_that_is_not_utf_8(photos):
    write("path,label\ncat/0.jpg,a\ncat/1.jpg,Bär\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"labels\.csv line 3 is not UTF-8 \(byte 0xe4\): save it as UTF-8"):
        image_folder.list_images("data/raw")


@pytest.mark.parametrize("text", ["name,age\nx,3\n", 'name;kind\nx;3,"\n', "", "\n\n"])
def test_another_csv_is_left_aside_and_named(photos, text):
    write(text, "other.csv")
    listing = image_folder.list_images("data/raw")
    assert listing.layout == "class folders"
    assert listing.notes == ["data/raw/other.csv is left aside: it has no columns path and label"]
    assert [problem.path for problem in listing.problems if problem.kind == "other"] == ["data/raw/other.csv"]


def test_a_row_whose_path_is_spelled_otherwise_names_the_file(photos):
    write("path,label\ncat/0.jpg,a\nCat\\1.JPG,b\ndata/raw/cat/2.jpg,b\ncat/none.jpg,b\ncat/3.jpg,b\n")
    problems = [problem for problem in image_folder.list_images("data/raw").problems if problem.kind == "unusable"]
    assert [(problem.reason, problem.remedy) for problem in problems] == [
        ("is named in labels.csv line 3 but does not exist (data/raw/cat/1.jpg does)", "correct its row"),
        ("is named in labels.csv line 5 but does not exist", "fetch it, or remove its row"),
        ("is named in labels.csv line 4 but does not exist (data/raw/cat/2.jpg does)", "correct its row"),
    ]


VALUES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: names.problem(text) is None)
WORDS = st.one_of(
    VALUES,
    st.sampled_from(["NA", "null", "nan", "None", "007", "1e3", "true", " x", "x ", "a,b", 'say "hi"', "-", "#1"]),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, VALUES), min_size=1, max_size=5), st.sampled_from(",;\t|"))
@example([("NA", "007", "1e3"), ("null", "true", "x")], ",")
@example([(" ", "0", "0")], ",")  # a row without a label: the listing decides, an unlabelled image has none
def test_what_came_is_what_leaves(tmp_path, rows, delimiter):
    file = tmp_path / "labels.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(["path", "label", "group", "note"])
        writer.writerows((f"{number}.jpg", *row) for number, row in enumerate(rows))
    read = labels_csv.read(file)
    assert [(row.label, row.group, row.extra[0]) for row in read.rows] == rows
    stored = pd.DataFrame([row[1:6] for row in read.rows], columns=labels_csv.COLUMNS)
    manifest.write(stored, tmp_path / "stored.csv")
    assert manifest.read(tmp_path / "stored.csv").to_numpy().tolist() == stored.to_numpy().tolist()


def test_class_names_are_read_as_they_were_written(tmp_path):
    labels = ["a b", "NA", "", " x ", "007", "名前"]
    (tmp_path / "classes.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    assert manifest.read_class_names(tmp_path / "classes.txt") == labels


def test_letters_are_classes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        write_image(RAW / f"{number}.png", number)
    write("path,label\n" + "".join(f"{number}.png,{letter}\n" for number, letter in enumerate("yzYZ")))
    assert {file.label for file in image_folder.list_images("data/raw").files} == set("yzYZ")
