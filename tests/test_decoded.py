"""The cache of decoded images: the same bytes as a clean build, whatever happened to it, and for one setting alone."""

import multiprocessing
from pathlib import Path

import cv2
import pytest
from conftest import scan, write_image, write_shards

from heldout import decoded, shards

CACHE = Path(".dvc/images")


@pytest.fixture
def rows(photos):
    return scan()


def build(rows, folder="out", **changed) -> tuple[dict[str, bytes], int]:
    """Write shards as the stage does; their bytes, and how many images were decoded."""
    count = write_shards(rows, folder, **changed)
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
    "changed",
    [{"image_size": [12, 10]}, {"channels": 1}, {"interpolation": "linear"}, {"resize": "pad"}, {"fast_decode": True}],
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


def pack(ending: str) -> Path:
    """The one file of the cache with this ending, no longer linked with the shard that it was."""
    [path] = CACHE.rglob(f"*.{ending}")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def test_a_kept_shard_takes_no_space(rows):
    build(rows)
    [path] = CACHE.rglob("*.npy")
    assert path.samefile("out/images-00000.npy")


def test_a_damaged_entry_is_noticed_and_decoded_again(rows):
    whole, _ = build(rows)
    path = pack("npy")
    content = bytearray(path.read_bytes())
    content[128 + 5 * 360 + 7] ^= 1
    path.write_bytes(content)
    assert build(rows) == (whole, 1)
    assert build(rows) == (whole, 0)
    assert len(list(CACHE.rglob("*.npy"))) == 1  # what newer packs hold is gone


@pytest.mark.parametrize(("ending", "kept"), [("npy", 128 + 360 * 20 + 100), ("npy", 3), ("entries", 36 * 15 + 3)])
def test_a_truncated_pack_is_noticed(rows, ending, kept):
    whole, _ = build(rows)
    path = pack(ending)
    path.write_bytes(path.read_bytes()[:kept])
    assert build(rows) == (whole, 24)
    assert build(rows) == (whole, 0)


@pytest.mark.parametrize("ending", ["npy", "entries"])
def test_a_missing_file_of_a_pack_is_noticed(rows, ending):
    whole, _ = build(rows)
    pack(ending).unlink()
    assert build(rows) == (whole, 24)
    assert build(rows) == (whole, 0)


def test_a_killed_run_leaves_its_finished_shards(rows, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * 360)
    whole, _ = build(rows, "whole")
    decoded.clear()
    last = rows.sort_values("id").iloc[-1]
    good = Path(last["path"]).read_bytes()
    Path(last["path"]).write_bytes(b"rotten")
    with pytest.raises(ValueError, match="not the image that the index saw"):
        build(rows)
    Path(last["path"]).write_bytes(good)
    again, count = build(rows)
    assert again == whole and 0 < count < 10


def test_two_runs_at_once(rows):
    whole, _ = build(rows, "alone")
    decoded.clear()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        results = pool.starmap(build, [(rows, "one"), (rows, "two")])
    assert [result[0] for result in results] == [whole, whole]
    assert build(rows) == (whole, 0)


def test_a_full_disk_ends_the_keeping_not_the_run(rows, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    whole = clean(rows, monkeypatch)
    monkeypatch.setattr(decoded.os, "link", full)
    monkeypatch.setattr(decoded.shutil, "copyfile", full)
    assert build(rows) == (whole, 24)
    line = "preprocess: decoded images are not kept from here on: No space left on device (.dvc/images/"
    assert capsys.readouterr().out.startswith(line)


def test_a_cache_on_another_file_system_is_a_copy(rows, monkeypatch):
    def crosses(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(decoded.os, "link", crosses)
    whole, _ = build(rows)
    assert build(rows) == (whole, 0)
    [path] = CACHE.rglob("*.npy")
    assert not path.samefile("out/images-00000.npy")


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
