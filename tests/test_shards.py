"""Shards: the right pixels under the right label, bytes that do not depend on names, nothing half-written."""

from pathlib import Path

import numpy as np
import pytest
from conftest import PREPROCESS, scan, write_image, write_shards

from heldout import images, shards


@pytest.fixture
def rows(photos):
    return scan()


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
    everything = stored[np.arange(24)]
    for position, identity in enumerate(stored.ids):
        content = Path(by_id["path"][identity]).read_bytes()
        assert np.array_equal(everything[position], images.prepare(content, "x", **PREPROCESS))
        assert stored.labels[position] == by_id["label"][identity]
    assert stored.numbers(["cat", "dog", "wolf"])[0] == ["cat", "dog", "wolf"].index(stored.labels[0])


def test_names_change_no_byte(rows, monkeypatch):
    write_shards(rows, "one")
    Path("data/raw/cat/0.jpg").rename("data/raw/cat/renamed.jpg")
    write_shards(scan(), "two")
    assert {p.name: p.read_bytes() for p in Path("one").iterdir()} == {
        p.name: p.read_bytes() for p in Path("two").iterdir()
    }


def test_one_image_more_renews_one_shard(rows, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * 10 * 12 * 3)
    write_shards(rows, "one")
    write_image(Path("data/raw/cat/new.jpg"), 999)
    write_shards(scan(), "two")
    one, two = ({p.name: p.read_bytes() for p in Path(name).glob("*.npy")} for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) > 3
    assert sum(one[name] != two[name] for name in one) == 1


@pytest.mark.parametrize(
    ("size", "count"),
    [(1, 1), (32 * 2**20, 1), (32 * 2**20 + 1, 2), (10**6 * 224 * 224 * 3, 256), (10**7 * 224 * 224 * 3, 2048)],
)
def test_how_many_shards(size, count):
    assert shards.shard_count(size) == count


def test_a_bad_image_leaves_nothing(rows):
    Path("data/raw/wolf/3.jpg").write_bytes(b"rotten")
    with pytest.raises(ValueError, match=r"data/raw/wolf/3\.jpg is not the image that the index saw"):
        write_shards(rows, "data/processed")
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_only_what_the_manifest_names_is_read(rows):
    Path("data/raw/wolf/3.jpg").unlink()
    Path("data/raw/wolf/4.jpg").write_bytes(b"rotten")
    write_shards(rows[~rows["path"].str.contains("wolf/[34]")], "data/processed")
    assert len(shards.Images("data/processed")) == 22


def test_a_missing_shard_is_noticed(rows):
    write_shards(rows, "data/processed")
    write_image(Path("data/other.png"), 1)
    Path("data/processed/images-00000.npy").unlink()
    with pytest.raises(ValueError, match="data/processed is not whole: run `dvc checkout data/processed`"):
        shards.Images("data/processed")
