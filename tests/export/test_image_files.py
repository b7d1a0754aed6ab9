"""Which images the names of a command line stand for: files, folders, patterns, links, and names that no list takes."""

import os
import subprocess
import sys

import pytest
from conftest import write_image

from heldout.export.prediction import image_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with images at three depths, a caption, what is hidden, and two links that lead back up."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b/c.jpg", "b/d/e.png", "b/.hidden/f.png", ".g.png", "b/Thumbs.db/h.png"):
        write_image(tmp_path / name, 0)
    (tmp_path / "b/caption.txt").write_text("a caption")
    for name in ("b/loop", "b/d/loop"):
        (tmp_path / name).symlink_to(tmp_path)
    return tmp_path


def paths(name: str) -> list[str]:
    found = image_files.find(name)
    assert [item.error for item in found if item.error] == []
    return [item.path for item in found]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("b", ["b/c.jpg", "b/d/e.png"]),
        ("*.png", ["a.png"]),
        ("*", ["a.png", "b/c.jpg", "b/d/e.png"]),
        ("**/*.png", ["a.png", "b/d/e.png"]),
        ("b/**", ["b/c.jpg", "b/d/e.png"]),
        ("b/**/*", ["b/c.jpg", "b/d/e.png"]),
        ("b/[cd]", ["b/d/e.png"]),
        ("?/c.*", ["b/c.jpg"]),
    ],
)
def test_folders_and_patterns_pass_over_what_the_index_does(folder, pattern, expected):
    assert paths(pattern) == expected
    assert paths(f"{folder}/{pattern}") == [f"{folder}/{path}" for path in expected]


def test_a_file_that_looks_like_a_pattern_is_one(folder):
    write_image(folder / "[a].png", 0)
    assert paths("[a].png") == ["[a].png"] and image_files.literal("*.png")[0].error == "*.png: no such file or folder"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "an empty name: expected a file or folder"),
        ("none.png", "none.png: no such file or folder"),
        ("*.gif", "*.gif matches no images"),
        ("b/.hidden/*/*.png", "b/.hidden/*/*.png matches no images"),
        ("x" * 300, f"{'x' * 300} cannot be read (File name too long)"),
        ("*" * 300, f"{'*' * 300} cannot be read (File name too long)"),
        ("empty", "empty holds no images"),
        ("dangling.png", "dangling.png: a broken symlink"),
        ("pipe", "pipe is a pipe, socket or device, not a file"),
        ("/dev/null", "/dev/null is a pipe, socket or device, not a file"),
        ("s3://bucket/*.jpg", "s3://bucket/*.jpg is not on this machine: fetch it first (`dvc get-url`, `dvc pull`)"),
    ],
)
def test_what_is_no_image_is_one_line(folder, name, error):
    (folder / "empty").mkdir()
    (folder / "dangling.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    assert image_files.find(name) == [image_files.ImageFile(name, error)]


def test_names_on_standard_input_may_be_any_bytes():
    code = "import sys; from heldout.export.prediction.image_files import read_names; "
    code += "print(read_names(len(sys.argv) > 1))"
    lines, ended = b"a b.png\r\n\n\xff.png\n*.png", b"two\nlines.png\0\xff.png\0"
    done = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, check=True)
    assert done.stdout.decode() == "['a b.png', '\\udcff.png', '*.png']\n"
    done = subprocess.run([sys.executable, "-c", code, "null"], input=ended, capture_output=True, check=True)
    assert done.stdout.decode() == "['two\\nlines.png', '\\udcff.png']\n"
