"""The cache of decoded images: the same bytes as a clean build, whatever happened to it, and for one setting alone."""

import multiprocessing
from pathlib import Path

import cv2
import pytest
from conftest import write_image
from test_shards import SETTINGS, scan, write

from heldout import decoded, preprocessing
from heldout.decoded import Decoded

CACHE = Path(".dvc/images")


@pytest.fixture
def rows(photos):
    return scan()


def build(rows, folder="out", **changed) -> tuple[dict[str, bytes], int]:
    """Write shards as the stage does; their bytes, and how many images were decoded."""
    count = write(rows, folder, **changed)
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}, count


def clean(rows, monkeypatch, **changed) -> dict[str, bytes]:
    with monkeypatch.context() as patch:
        patch.setenv("HELDOUT_CACHE", decoded.OFF)
        return build(rows, "clean", **changed)[0]


def test_what_was_decoded_before_is_not_decoded_again(rows, monkeypatch):
    first, count = build(rows)
    assert count == 24
    assert build(rows) == (first, 0)
    for number in range(3):
        write_image(Path(f"data/raw/cat/new-{number}.jpg"), 900 + number)
    second, count = build(scan())
    assert count == 3
    assert second == clean(scan(), monkeypatch)


def test_another_split_decodes_none(rows):
    build(rows[:12])
    build(rows[12:])
    assert build(rows[6:18])[1] == 0


@pytest.mark.parametrize(
    "changed", [{"image_size": [12, 10]}, {"interpolation": "linear"}, {"resize": "pad"}, {"fast_decode": True}]
)
def test_another_setting_shares_nothing(rows, changed):
    build(rows)
    assert build(rows, **changed)[1] == 24


def test_another_opencv_or_code_shares_nothing(rows, monkeypatch, tmp_path):
    build(rows)
    with monkeypatch.context() as patch:
        patch.setattr(decoded, "version", lambda name: "0")
        assert build(rows)[1] == 24
    (tmp_path / "images.py").write_text("# other code\n")
    monkeypatch.setattr(decoded.images, "__file__", str(tmp_path / "images.py"))
    assert build(rows)[1] == 24


def files(ending: str) -> list[Path]:
    return sorted(CACHE.rglob(f"*.{ending}"))


def test_a_damaged_entry_is_noticed_and_written_again(rows):
    whole, _ = build(rows)
    [pixels] = files("pixels")
    content = bytearray(pixels.read_bytes())
    content[5 * 360 + 7] ^= 1
    pixels.write_bytes(content)
    assert build(rows) == (whole, 1)
    assert build(rows) == (whole, 0)


@pytest.mark.parametrize(("ending", "kept", "lost"), [("pixels", 360 * 20 + 100, 4), ("entries", 36 * 15 + 3, 9)])
def test_a_truncated_pack_is_noticed(rows, ending, kept, lost):
    whole, _ = build(rows)
    [path] = files(ending)
    with path.open("r+b") as file:
        file.truncate(kept)
    assert build(rows) == (whole, lost)
    assert build(rows) == (whole, 0)


@pytest.mark.parametrize("ending", ["pixels", "entries"])
def test_a_missing_file_of_a_pack_is_noticed(rows, ending):
    whole, _ = build(rows)
    files(ending)[0].unlink()
    assert build(rows) == (whole, 24)


def test_two_runs_at_once(rows):
    whole, _ = build(rows, "alone")
    decoded.clear()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        results = pool.starmap(build, [(rows, "one"), (rows, "two")])
    assert [result[0] for result in results] == [whole, whole]
    assert build(rows) == (whole, 0)


def test_a_full_disk_ends_the_keeping_not_the_run(rows, monkeypatch, capsys):
    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    with Decoded(SETTINGS) as cache:
        cache._files = [Full(), Full()]
        images = list(preprocessing.pixels(rows, cache, **SETTINGS))
    assert len(images) == 24
    line = "preprocess: decoded images are not kept from here on: No space left on device (.dvc/images/"
    assert capsys.readouterr().out.startswith(line)


def test_a_place_that_cannot_be_written_ends_the_keeping_not_the_run(rows, monkeypatch, capsys):
    monkeypatch.setenv("HELDOUT_CACHE", "data/raw/cat/0.jpg")
    assert build(rows)[1] == 24
    assert "not kept from here on: Not a directory" in capsys.readouterr().out


def test_report_and_clear(rows):
    build(rows)
    build(rows, image_size=[20, 20])
    lines = sorted(decoded.report())
    assert len(lines) == 2
    assert all("24 images" in line and cv2.__version__ in line for line in lines)
    assert any("image_size [20, 20]" in line for line in lines)
    decoded.clear()
    assert not CACHE.exists() and list(decoded.report()) == []
    decoded.clear()


def test_the_cache_is_where_it_is_told_to_be(photos, monkeypatch):
    assert decoded.place() == Path(".dvc/images")
    monkeypatch.setenv("DVC_ROOT", "/main")
    assert decoded.place() == Path("/main/.dvc/images")
    monkeypatch.setenv("HELDOUT_CACHE", "/fast/disk")
    assert decoded.place() == Path("/fast/disk")
    monkeypatch.setenv("HELDOUT_CACHE", "off")
    assert decoded.place() is None
