"""Predictions: what `predict` writes, averaged over views, and of corrupted images; views by hand."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from heldout.augmentation import corruptions
from heldout.data import shards
from heldout.evaluation import predictions, probabilities
from heldout.networks import build

MODEL = {
    "architecture": "cnn", "attention": "none", "filters": [4], "kernel_size": 3, "batch_norm": False,
    "depth": 20, "width": 1,
    "stem": "small", "alpha": 1.0, "minimalistic": False, "weights": "none",
    "pooling": "flatten", "dense_units": 0, "dropout": 0, "l2": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A small network as it is built, and the folder and pixels of 70 images, more than a batch."""
    folder = tmp_path_factory.mktemp("project")
    ids = sorted(hashlib.md5(str(number).encode()).hexdigest() for number in range(70))
    rows = pd.DataFrame({"id": ids, "label": ["a", "b"] * 35})
    pixels = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)
    for split in ("val", "test"):
        (folder / split).mkdir()
        for shard in shards.create_shards(rows, (16, 16, 3), folder / split):
            with shard.path.open("r+b") as file:
                file.seek(shard.header_bytes)
                file.write(pixels[shard.start : shard.stop].tobytes())
    return build.build((16, 16, 3), 2, **MODEL), folder, pixels


def predict(project, tmp_path, augmentation, corrupted):
    model, folder, _ = project
    settings = {"test_time_augmentation": augmentation, "corruptions": corrupted}
    assert predictions.predict(model, ["a", "b"], str(folder), tmp_path, **settings) == {"val": 70, "test": 70}
    return probabilities.read(tmp_path / "test").values


def test_off_is_what_the_model_predicts(project, tmp_path):
    model, _, pixels = project
    assert predict(project, tmp_path, "none", []) == pytest.approx(model.predict_on_batch(pixels), abs=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test", "val"]


def test_flip_is_the_mean_of_both(project, tmp_path):
    model, _, pixels = project
    expected = (model.predict_on_batch(pixels) + model.predict_on_batch(pixels[:, :, ::-1])) / 2
    values = predict(project, tmp_path, "flip", [])
    assert values.dtype == np.float32 and values == pytest.approx(expected, abs=1e-6)
    assert values.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_corrupted_classes(project, tmp_path):
    model, _, pixels = project
    predict(project, tmp_path, "none", ["fog", "blur"])
    assert sorted(path.name for path in (tmp_path / "corrupted").iterdir()) == ["blur.npy", "fog.npy"]
    ids = probabilities.read(tmp_path / "test").ids
    for name in ("blur", "fog"):
        classes = np.load(tmp_path / f"corrupted/{name}.npy")
        assert classes.dtype == np.int32 and classes.shape == (5, 70)
        corrupted = corruptions.corrupt(pixels[:64], ids[:64], name, 4)
        assert (classes[3, :64] == model.predict_on_batch(corrupted).argmax(axis=1)).all()


def test_a_label_that_is_no_class(project, tmp_path):
    settings = {"test_time_augmentation": "none", "corruptions": []}
    with pytest.raises(ValueError, match="has the label 'b', which is none of the 1 classes"):
        predictions.predict(project[0], ["a"], str(project[1]), tmp_path, **settings)


def test_views_by_hand():
    batch = np.arange(2 * 16 * 8 * 1, dtype=np.uint8).reshape(2, 16, 8, 1)
    assert [view.tolist() for view in predictions.views(batch, "none")] == [batch.tolist()]
    assert (predictions.views(batch, "flip")[1] == batch[:, :, ::-1]).all()
    flat = np.full((3, 16, 8, 3), 7, np.uint8)
    crops = predictions.views(flat, "crops")
    assert len(crops) == 5 and all((crop == flat).all() for crop in crops)
    corners = [crop[0, row, column, 0] for crop, (row, column) in zip(
        predictions.views(batch, "crops")[1:], [(0, 0), (0, -1), (-1, 0), (-1, -1)], strict=True
    )]  # fmt: skip
    assert corners == [batch[0, row, column, 0] for row, column in [(0, 0), (0, -1), (-1, 0), (-1, -1)]]
    assert predictions.views(np.zeros((1, 1, 1, 3), np.uint8), "crops")[4].shape == (1, 1, 1, 3)
