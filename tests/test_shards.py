"""Shards: the right pixels under the right label, bytes that do not depend on names, nothing half-written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_image

from heldout import images, index, preprocessing, shards

SETTINGS = {"image_size": [10, 12], "interpolation": "area"}


def scan() -> pd.DataFrame:
    return index.scan(dir="data/raw", layout="auto", on_problem="error", max_megapixels=9)[0]


def write(rows: pd.DataFrame, folder: str) -> None:
    """As the stage does it."""
    rows = rows.sort_values("id", ignore_index=True)
    shards.write(rows, preprocessing.pixels(rows, **SETTINGS), (10, 12, 3), folder)


@pytest.fixture
def rows(photos):
    return scan()


def test_pixels_labels_and_ids_belong_together(rows, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * 10 * 12 * 3)  # five images a shard
    write(rows, "data/processed")
    stored = shards.Images("data/processed")
    assert len(list(Path("data/processed").glob("*.npy"))) == 5
    assert len(stored) == 24 and stored.image_shape == (10, 12, 3)
    assert stored.ids.tolist() == sorted(rows["id"])
    by_id = rows.set_index("id")
    everything = stored[np.arange(24)]
    for position, identity in enumerate(stored.ids):
        content = Path(by_id["path"][identity]).read_bytes()
        assert np.array_equal(everything[position], images.resize(images.decode(content, "x"), **SETTINGS))
        assert stored.labels[position] == by_id["label"][identity]
    assert stored.numbers(["cat", "dog", "wolf"])[0] == ["cat", "dog", "wolf"].index(stored.labels[0])


def test_names_change_no_byte(rows, monkeypatch):
    write(rows, "one")
    Path("data/raw/cat/0.jpg").rename("data/raw/cat/renamed.jpg")
    write(scan(), "two")
    assert {p.name: p.read_bytes() for p in Path("one").iterdir()} == {
        p.name: p.read_bytes() for p in Path("two").iterdir()
    }


def test_a_bad_image_leaves_nothing(rows):
    Path("data/raw/wolf/3.jpg").write_bytes(b"rotten")
    with pytest.raises(ValueError, match=r"data/raw/wolf/3\.jpg is not the image that the index saw"):
        write(rows, "data/processed")
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_a_missing_shard_is_noticed(rows):
    write(rows, "data/processed")
    write_image(Path("data/other.png"), 1)
    Path("data/processed/images-00000.npy").unlink()
    with pytest.raises(ValueError, match="data/processed is not whole: run `dvc checkout data/processed`"):
        shards.Images("data/processed")
