"""Grad-CAM: on a class whose evidence lies in a known corner, on random weights, and on every kind of network."""

import keras
import numpy as np
import pytest
import yaml
from conftest import ROOT
from scipy.stats import spearmanr

from heldout.evaluation import saliency
from heldout.networks import build

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
SMALL = MODEL | {"filters": [8, 16], "dense_units": 0, "dropout": 0, "pooling": "average"}


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright patch in one of four quadrants, (n, 32, 32, 3); the class is its shape: square or cross.

    Returns:
        the images, and of each the quadrant and the class, (n, 2).
    """
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 80, (count, 32, 32, 3), np.uint8)
    facts = np.stack([np.arange(count) % 4, np.arange(count) // 4 % 2], axis=1)
    for image, (quadrant, number) in zip(pixels, facts, strict=True):
        top, left = 16 * (quadrant // 2) + 4, 16 * (quadrant % 2) + 4
        if number:
            image[top : top + 8, left : left + 8] = 255
        else:
            image[top + 3 : top + 5, left : left + 8] = 255
            image[top : top + 8, left + 3 : left + 5] = 255
    return pixels, facts


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = build.build((32, 32, 3), 2, **SMALL)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    pixels, facts = images(256)
    model.fit(pixels, facts[:, 1], epochs=12, batch_size=32, verbose=0)
    assert model.evaluate(pixels, facts[:, 1], verbose=0)[1] > 0.95
    return model


def test_the_evidence_lies_where_the_shape_is(trained):
    pixels, facts = images(64)
    squares = facts[:, 1] == 1
    maps = saliency.grad_cam(trained, pixels[squares], facts[squares, 1])
    assert maps.dtype == np.float32 and maps.shape == (32, 32, 32) and maps.min() >= 0 and maps.max() == 1
    inside = [
        heatmap[16 * (quadrant // 2) :, 16 * (quadrant % 2) :][:16, :16].sum() / heatmap.sum()
        for heatmap, quadrant in zip(maps, facts[squares, 0], strict=True)
    ]
    assert np.median(inside) > 0.5  # a quarter, if it lay anywhere


def test_random_weights_give_another_map(trained):
    """The sanity check of Adebayo et al. 2018: a map that training does not change says nothing of what was learned."""
    pixels, facts = images(32)
    maps = saliency.grad_cam(trained, pixels, facts[:, 1])
    keras.utils.set_random_seed(1)
    untrained = saliency.grad_cam(build.build((32, 32, 3), 2, **SMALL), pixels, facts[:, 1])
    speaking = [pair for pair in zip(maps, untrained, strict=True) if pair[1].any()]
    similar = [spearmanr(one.ravel(), other.ravel()).statistic for one, other in speaking]
    assert len(speaking) >= 8 and np.median(similar) < 0.5
    assert (saliency.grad_cam(trained, pixels, facts[:, 1]) == maps).all()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"attention": "se", "batch_norm": True, "dense_units": 16},
        {"architecture": "resnet", "depth": 8},
        {"architecture": "resnet", "depth": 8, "attention": "cbam"},
        {"architecture": "MobileNetV2", "weights": "none"},
    ],
    ids=["cnn", "cnn with attention", "resnet", "resnet with attention", "MobileNetV2"],
)
def test_every_kind_of_network(changed):
    keras.utils.set_random_seed(0)
    model = build.build((40, 48, 3), 3, **(MODEL | {"filters": [4, 8]} | changed))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 48, 3), np.uint8)
    maps = saliency.grad_cam(model, pixels, np.array([0, 1, 2]))
    assert maps.shape == (3, 40, 48) and np.isfinite(maps).all() and maps.max() == 1


def test_nothing_speaks_for_the_class():
    keras.utils.set_random_seed(0)
    model = build.build((32, 32, 3), 2, **SMALL)
    classifier = model.get_layer("probabilities")
    classifier.set_weights([-np.ones_like(weights) for weights in classifier.get_weights()])
    pixels = np.full((1, 32, 32, 3), 200, np.uint8)
    assert (saliency.grad_cam(model, pixels, np.array([0])) == 0).all()
    assert saliency.grad_cam(model, pixels[:0], np.array([], int)).shape == (0, 32, 32)
