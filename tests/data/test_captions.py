"""Captions: NAME.txt beside NAME.jpg is its text in every layout, and what cannot be one ends in one line."""

from pathlib import Path

import pytest

from heldout.data.listing import captions, image_folder

CAT = Path("data/raw/cat")


def read() -> tuple[dict[str, str], list[str], list[str]]:
    """The texts by path, the paths that are problems, and the notes."""
    listing = captions.read(image_folder.list_images("data/raw"))
    texts = {file.path: file.text for file in listing.files if file.text}
    return texts, [problem.path for problem in listing.problems], listing.notes


def test_a_caption_is_the_text_of_its_image_in_one_line(photos):
    (CAT / "0.txt").write_bytes("\ufeffZwei\tKatzen,\r\n  schlafend \n".encode())
    (CAT / "1.txt").write_text("", encoding="utf-8")
    (CAT / "README.txt").write_text("about the cats", encoding="utf-8")
    texts, problems, notes = read()
    assert texts == {"data/raw/cat/0.jpg": "Zwei Katzen, schlafend"}
    assert problems == ["data/raw/cat/README.txt"]
    assert notes == ["captions: 1 of 24 images have one"]


def test_captions_beside_a_csv_without_texts(photos):
    Path("data/raw/labels.csv").write_text("path,label\ncat/0.jpg,a\ndog/0.jpg,b\n", encoding="utf-8")
    (CAT / "0.txt").write_text("a cat", encoding="utf-8")
    assert read()[0] == {"data/raw/cat/0.jpg": "a cat"}
    Path("data/raw/labels.csv").write_text("path,label,title\ncat/0.jpg,a,x\ndog/0.jpg,b,\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"both labels\.csv and data\.captions give texts: set data\.captions: false"):
        read()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\xff\xfea\0", r"cat/0\.txt is not UTF-8 \(byte 0\): save it as UTF-8"),
        (b"a" * 65537, r"cat/0\.txt is larger than 65536 bytes: expected a caption; move it elsewhere"),
        (b"a\0b", r"cat/0\.txt: a\\x00b has a control character \(U\+0000\): write it without"),
        (None, r"captions is true, but no image has one: expected files such as data/raw/cat/0\.txt"),
    ],
)
def test_what_is_no_caption_ends_in_one_line(photos, content, line):
    if content is not None:
        (CAT / "0.txt").write_bytes(content)
    with pytest.raises(ValueError, match=line):
        read()
