"""Shards: the right pixels with the right label, bytes that do not depend on names, nothing incomplete."""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import PREPROCESS, scan, write_image, write_shards

from heldout.data import images, shards


@pytest.fixture
def rows(photos):
    return scan()


def contents(folder: str, pattern: str = "*") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob(pattern)}


def test_pixels_labels_and_ids_belong_together(rows, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * 10 * 12 * 3)  # five images a shard on average, at most
    write_shards(rows, "data/processed")
    stored = shards.Images("data/processed")
    sizes = [len(np.load(path)) for path in sorted(Path("data/processed").glob("*.npy"))]
    eighths = [int(identity[0], 16) // 2 for identity in rows["id"]]
    assert sizes == [count for count in np.bincount(eighths, minlength=8) if count]
    assert len(stored) == 24 and stored.image_shape == (10, 12, 3)
    assert stored.ids.tolist() == sorted(rows["id"])
    by_id = rows.set_index("id")
    pixels = stored[np.arange(24)]
    for position, identity in enumerate(stored.ids):
        content = Path(by_id["path"][identity]).read_bytes()
        assert np.array_equal(pixels[position], images.decode_and_resize(content, "x", **PREPROCESS))
        assert stored.labels[position] == by_id["label"][identity]
    assert stored.class_numbers(["cat", "dog", "wolf"])[0] == ["cat", "dog", "wolf"].index(stored.labels[0])


def test_names_change_no_byte(rows, monkeypatch):
    write_shards(rows, "before")
    Path("data/raw/cat/0.jpg").rename("data/raw/cat/renamed.jpg")
    write_shards(scan(), "after")
    assert contents("before") == contents("after")


def test_a_text_is_part_of_the_shards_only_where_it_is_on(rows):
    texts = [f"photo {number}" for number in range(24)]
    write_shards(rows, "plain")
    write_shards(rows.assign(text=texts), "off")
    write_shards(rows.assign(text=texts), "on", texts=True)
    assert contents("plain") == contents("off") and contents("plain", "*.npy") == contents("on", "*.npy")
    plain, stored = shards.Images("plain"), shards.Images("on")
    assert plain.texts is None
    expected = dict(zip(rows["id"], texts, strict=True))
    assert stored.texts.tolist() == [expected[identity] for identity in stored.ids]
    write_shards(rows.assign(text=[*texts[1:], "edited"]), "edited", texts=True)
    assert len({plain.digest(), stored.digest(), shards.Images("edited").digest()}) == 3


def test_an_added_image_changes_one_shard(rows, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * 10 * 12 * 3)
    write_shards(rows, "before")
    write_image(Path("data/raw/cat/new.jpg"), 999)
    write_shards(scan(), "after")
    before, after = contents("before", "*.npy"), contents("after", "*.npy")
    assert before.keys() == after.keys() and len(before) > 3
    assert sum(before[name] != after[name] for name in before) == 1


@pytest.mark.parametrize(
    ("size", "count"),
    [(1, 1), (32 * 2**20, 1), (32 * 2**20 + 1, 2), (10**6 * 224 * 224 * 3, 256), (10**7 * 224 * 224 * 3, 2048)],
)
def test_shard_count(size, count):
    assert shards.shard_count(size) == count


def test_a_bad_image_leaves_nothing(rows):
    Path("data/raw/wolf/3.jpg").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"data/raw/wolf/3\.jpg is not the image that the index saw"):
        write_shards(rows, "data/processed")
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_only_what_the_manifest_names_is_read(rows):
    Path("data/raw/wolf/3.jpg").unlink()
    Path("data/raw/wolf/4.jpg").write_bytes(b"damaged")
    write_shards(rows[~rows["path"].str.contains("wolf/[34]")], "data/processed")
    assert len(shards.Images("data/processed")) == 22


def test_a_missing_shard_is_noticed(rows):
    write_shards(rows, "data/processed")
    write_image(Path("data/other.png"), 1)
    Path("data/processed/images-00000.npy").unlink()
    message = "^data/processed is incomplete: expected the 24 images of images.csv, got 0: run `dvc checkout "
    with pytest.raises(ValueError, match=message + "data/processed` or `dvc repro`$"):
        shards.Images("data/processed")


def damaged(content: str) -> bytes:
    """What a shard may be replaced by: the middle of a copy, or another file of numpy's."""
    stream = io.BytesIO()
    shape = (24, 10, 12, 3)
    if content == "float":
        np.save(stream, np.zeros(shape, np.float32))
    elif content == "pickled":
        np.save(stream, np.array([{"code": "would run"}], object), allow_pickle=True)
    elif content == "archive":
        np.savez(stream, images=np.zeros(shape, np.uint8))
    elif content == "flat":
        np.save(stream, np.zeros(24, np.uint8))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "float",
            r"is no shard: expected uint8 of shape \(n, height, width, channels\), got float32 of shape \(24, 10, 12",
        ),
        ("flat", r"is no shard: expected uint8 of shape \(n, height, width, channels\), got uint8 of shape \(24,\)"),
        ("archive", "is (no shard: .* got an archive|damaged .*)"),
        ("pickled", r"is damaged \(.*\)"),
        ("empty", r"is damaged \(.*\)"),
    ],
)
def test_another_file_is_never_taken_for_a_shard(rows, content, message):
    write_shards(rows, "data/processed")
    path = Path("data/processed/images-00000.npy")
    path.unlink()
    path.write_bytes(damaged(content))
    remedy = "run `dvc checkout --force data/processed` or `dvc repro`"
    with pytest.raises(ValueError, match=f"^data/processed/images-00000.npy {message}.*: {remedy}$"):
        shards.Images("data/processed")


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
def test_a_truncated_shard_is_noticed(rows, kept):
    write_shards(rows, "data/processed")
    path = Path("data/processed/images-00000.npy")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"images-00000\.npy is damaged .*: run `dvc checkout --force data/processed`"):
        shards.Images("data/processed")


def test_a_label_that_is_no_class_never_becomes_a_number(rows):
    write_shards(rows, "data/processed")
    stored = shards.Images("data/processed")
    with pytest.raises(
        ValueError, match=r"data/processed/images\.csv has the label 'wolf', which is none of the 2 class"
    ):
        stored.class_numbers(["cat", "dog"])


def test_a_damaged_manifest_ends_in_one_line(rows):
    write_shards(rows, "data/processed")
    path = Path("data/processed/images.csv")
    path.write_bytes(b"id,label\n1,a,b,c,d\n\xff\n")
    with pytest.raises(
        ValueError, match=r"^data/processed/images\.csv is damaged \(.*\): run `dvc checkout --force data"
    ):
        shards.Images("data/processed")
