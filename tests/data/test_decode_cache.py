"""The cache of decoded images: the same bytes as a clean build, whatever happened to it, for one fingerprint alone."""

import multiprocessing
import os
import shutil
import stat
from pathlib import Path

import cv2
import pytest
from conftest import scan, write_image, write_shards

from heldout.core import array_cache, code
from heldout.data import decode_cache, shards

CACHE = Path(".dvc/images")


@pytest.fixture
def rows(photos):
    return scan()


def build(rows, folder="out", **changed) -> tuple[dict[str, bytes], int]:
    """Write shards as the stage does; their bytes, and how many images were decoded."""
    num_decoded = write_shards(rows, folder, **changed)
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}, num_decoded


def build_without_cache(rows, monkeypatch, **changed) -> dict[str, bytes]:
    with monkeypatch.context() as patch:
        patch.setenv("HELDOUT_CACHE", array_cache.OFF)
        return build(rows, "clean", **changed)[0]


def test_what_was_decoded_before_is_not_decoded_again(rows, monkeypatch):
    first, num_decoded = build(rows)
    assert num_decoded == 24
    assert build(rows) == (first, 0)
    for number in range(3):
        write_image(Path(f"data/raw/cat/new-{number}.jpg"), 900 + number)
    second, num_decoded = build(scan())
    assert num_decoded == 3
    assert second == build_without_cache(scan(), monkeypatch)


def test_another_split_decodes_none(rows):
    build(rows[:12])
    build(rows[12:])
    assert build(rows[6:18])[1] == 0


@pytest.mark.parametrize(
    "changed",
    [{"image_size": [12, 10]}, {"channels": 1}, {"interpolation": "linear"}, {"resize": "pad"}, {"fast_decode": True}],
)
def test_a_changed_param_reuses_nothing(rows, changed):
    build(rows)
    assert build(rows, **changed)[1] == 24


def test_another_opencv_reuses_nothing(rows, monkeypatch):
    build(rows)
    monkeypatch.setattr(decode_cache, "version", lambda name: "0")
    assert build(rows)[1] == 24


@pytest.fixture
def edit_code(tmp_path, monkeypatch):
    """A function that edits a copy of the package; images.py, whose digest the key holds, is then the copy's."""

    def edit(old: str, new: str, file: str = "data/images.py") -> None:
        source = tmp_path / "source"
        shutil.copytree(code.PACKAGE, source / "heldout", ignore=shutil.ignore_patterns("__pycache__"))
        path = source / "heldout" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(code, "SOURCE", source)
        monkeypatch.setattr(code, "PACKAGE", source / "heldout")
        monkeypatch.setattr(decode_cache.images, "__file__", str(source / "heldout/data/images.py"))

    return edit


@pytest.mark.parametrize(
    ("old", "new", "num_decoded"),
    [
        ("\nINTERPOLATION = {", "\n# a comment\nINTERPOLATION = {", 0),
        ('"""The largest part about the center whose height / width is `aspect`."""', '"""Another docstring."""', 0),
        ("cv2.INTER_AREA,\n", "cv2.INTER_AREA,  # averages\n", 0),
        ('"area": cv2.INTER_AREA', '"area": cv2.INTER_LINEAR', 24),
    ],
)
def test_a_comment_empties_no_cache_and_an_edit_does(rows, edit_code, old, new, num_decoded):
    build(rows)
    edit_code(old, new)
    assert build(rows)[1] == num_decoded


def test_an_edit_of_the_decoders_empties_the_cache(rows, edit_code):
    build(rows)
    edit_code("levels >> (bits - 8)", "levels >> (bits - 7)", "data/decoding/decoders.py")
    assert build(rows)[1] == 24


def test_an_edit_of_other_code_reuses_all(rows, edit_code):
    build(rows)
    edit_code('OFF = "off"', 'OFF = "none"', "core/array_cache.py")
    assert build(rows)[1] == 0


def unlinked(suffix: str) -> Path:
    """The cache's only file with this suffix, no longer a hard link to the shard that it was."""
    [path] = CACHE.rglob(f"*.{suffix}")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def test_a_cached_shard_takes_no_space(rows):
    build(rows)
    [path] = CACHE.rglob("*.npy")
    assert path.samefile("out/images-00000.npy")


def test_a_damaged_entry_is_noticed_and_decoded_again(rows):
    expected, _ = build(rows)
    path = unlinked("npy")
    content = bytearray(path.read_bytes())
    content[128 + 5 * 360 + 7] ^= 1
    path.write_bytes(content)
    assert build(rows) == (expected, 1)
    assert build(rows) == (expected, 0)
    assert len(list(CACHE.rglob("*.npy"))) == 1  # a pack whose entries are all in newer ones is removed


@pytest.mark.parametrize(("suffix", "size"), [("npy", 128 + 360 * 20 + 100), ("npy", 3), ("entries", 36 * 15 + 3)])
def test_a_truncated_pack_is_noticed(rows, suffix, size):
    expected, _ = build(rows)
    path = unlinked(suffix)
    path.write_bytes(path.read_bytes()[:size])
    assert build(rows) == (expected, 24)
    assert build(rows) == (expected, 0)


@pytest.mark.parametrize("suffix", ["npy", "entries"])
def test_a_missing_file_of_a_pack_is_noticed(rows, suffix):
    expected, _ = build(rows)
    unlinked(suffix).unlink()
    assert build(rows) == (expected, 24)
    assert build(rows) == (expected, 0)


def test_a_killed_run_leaves_its_finished_shards(rows, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * 360)
    expected, _ = build(rows, "expected")
    array_cache.clear()
    last = rows.sort_values("id").iloc[-1]
    content = Path(last["path"]).read_bytes()
    Path(last["path"]).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not the image that the index saw"):
        build(rows)
    Path(last["path"]).write_bytes(content)
    resumed, num_decoded = build(rows)
    assert resumed == expected and 0 < num_decoded < 10


def test_two_runs_at_once(rows):
    expected, _ = build(rows, "alone")
    array_cache.clear()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        results = pool.starmap(build, [(rows, "first"), (rows, "second")])
    assert [result[0] for result in results] == [expected, expected]
    assert build(rows) == (expected, 0)


def test_a_full_disk_ends_the_caching_not_the_run(rows, monkeypatch, capsys):
    def raise_full(*_):
        raise OSError(28, "No space left on device")

    expected = build_without_cache(rows, monkeypatch)
    monkeypatch.setattr(array_cache.os, "link", raise_full)
    monkeypatch.setattr(array_cache.shutil, "copyfile", raise_full)
    assert build(rows) == (expected, 24)
    message = "decoded images are not cached from here on: No space left on device (.dvc/images/"
    assert capsys.readouterr().out.startswith(message)


def test_a_cache_on_another_file_system_is_a_copy(rows, monkeypatch):
    def raise_cross_device(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(array_cache.os, "link", raise_cross_device)
    expected, _ = build(rows)
    assert build(rows) == (expected, 0)
    [path] = CACHE.rglob("*.npy")
    assert not path.samefile("out/images-00000.npy")


def test_a_folder_that_cannot_be_written_ends_the_caching_not_the_run(rows, monkeypatch, capsys):
    monkeypatch.setenv("HELDOUT_CACHE", "data/raw/cat/0.jpg")
    assert build(rows)[1] == 24
    assert "not cached from here on: Not a directory" in capsys.readouterr().out


def test_report_and_clear(rows):
    build(rows)
    build(rows, image_size=[20, 20])
    lines = sorted(array_cache.report())
    assert len(lines) == 2
    assert all("24 decoded images" in line and cv2.__version__ in line for line in lines)
    assert any("image_size [20, 20]" in line for line in lines)
    array_cache.clear()
    assert not CACHE.exists() and list(array_cache.report()) == []
    array_cache.clear()


def test_the_environment_sets_the_cache_folder(photos, monkeypatch):
    assert array_cache.cache_folder() == Path(".dvc/images")
    monkeypatch.setenv("DVC_ROOT", "/main")
    assert array_cache.cache_folder() == Path("/main/.dvc/images")
    monkeypatch.setenv("HELDOUT_CACHE", "/fast/disk")
    assert array_cache.cache_folder() == Path("/fast/disk")
    monkeypatch.setenv("HELDOUT_CACHE", "off")
    assert array_cache.cache_folder() is None


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_what_users_share_is_as_readable_as_their_umask_says(rows, umask, mode):
    previous = os.umask(umask)
    try:
        build(rows)
    finally:
        os.umask(previous)
    files = [path for path in [*CACHE.rglob("*"), *Path("out").iterdir()] if path.is_file()]
    assert len(files) > 4 and {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
    folders = [CACHE, *(path for path in CACHE.iterdir() if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o777 & ~umask}


def test_a_cache_that_another_user_made_is_read_and_added_to(rows, monkeypatch, tmp_path):
    if os.geteuid():
        pytest.skip("only root may run as two users")
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("HELDOUT_CACHE", str(shared))
    build(rows[:12])
    for path in [tmp_path, shared, *shared.iterdir()]:
        path.chmod(0o777)
    for path in tmp_path.parents:
        path.chmod(path.stat().st_mode | 0o055)  # pytest's own are for its user alone
    child = os.fork()
    if not child:
        os.setuid(65534)
        num_decoded = build(rows, "other")[1]
        print(f"another user decoded {num_decoded}", flush=True)
        os._exit(num_decoded != 12)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert build(rows)[1] == 0
