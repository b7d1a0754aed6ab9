"""Corruptions: stronger is further away, at any size; the same again whatever the batch; each by hand."""

from typing import get_args

import cv2
import numpy as np
import pytest
from conftest import ROOT

from heldout.augmentation import corruptions
from heldout.commands import schemas

NAMES = tuple(corruptions.LEVELS)
IDS = np.array(["a0", "b1"], object)


def photos(height, width, channels=3):
    """Two smooth images with edges: what photos are to a corruption."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (2, 6, 7, channels), np.uint8)
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST) for image in coarse]).reshape(
        2, height, width, channels
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(96, 96, 3), (224, 160, 3), (40, 64, 1)])
def test_stronger_is_further_away(name, shape):
    images = photos(*shape)
    before = images.copy()
    distances = []
    for strength in range(1, corruptions.STRENGTHS + 1):
        changed = corruptions.corrupt(images, IDS, name, strength)
        assert changed.dtype == np.uint8 and changed.shape == images.shape
        distances.append(np.abs(changed.astype(float) - images).mean())
    assert (images == before).all() and distances[0] > 0
    assert distances[4] > 1.02 * distances[0]
    if name not in ("pixelate", "fog"):  # a coarser grid can fit by chance; fog moves what it does not cover
        assert distances == sorted(distances)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_image_whatever_the_batch(name):
    images = photos(32, 32)
    both = corruptions.corrupt(images, IDS, name, 3)
    assert (corruptions.corrupt(images[1:], IDS[1:], name, 3) == both[1:]).all()
    renamed = corruptions.corrupt(images, IDS[::-1], name, 3)
    assert (renamed != both).any() == (name in ("gaussian_noise", "fog"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 1), (8, 300, 3)])
@pytest.mark.parametrize("value", [0, 255])
def test_any_size_and_flat_images(name, shape, value):
    images = np.full((2, *shape), value, np.uint8)
    assert corruptions.corrupt(images, IDS, name, 5).shape == images.shape


def test_levels_are_those_of_the_paper_at_its_sizes():
    assert corruptions._at_size(corruptions.LEVELS["blur"], 5, 32) == 1
    assert corruptions._at_size(corruptions.LEVELS["blur"], 5, 16) == 1
    assert corruptions._at_size(corruptions.LEVELS["blur"], 5, 224) == pytest.approx(6)
    assert corruptions._at_size(corruptions.LEVELS["blur"], 5, 500) == pytest.approx(6)
    assert 1 < corruptions._at_size(corruptions.LEVELS["blur"], 5, 85) < 6
    annotation = schemas.load(ROOT / "stages")["predict"]["corruptions"]
    assert get_args(get_args(annotation)[0]) == NAMES


def test_by_hand():
    image = np.array([[[100, 50, 0], [200, 200, 200]]], np.uint8)[None]
    brighter = corruptions.corrupt(image, IDS[:1], "brightness", 1)  # 0.05 x 255 more of the largest channel
    assert brighter[0, 0].tolist() == [[113, 56, 0], [213, 213, 213]]
    flatter = corruptions.corrupt(image, IDS[:1], "contrast", 2)  # half of the distance from the mean of a channel
    assert flatter[0, 0].tolist() == [[125, 88, 50], [175, 162, 150]]
    noisy = corruptions.corrupt(np.full((1, 200, 200, 3), 128, np.uint8), IDS[:1], "gaussian_noise", 1)
    level = corruptions._at_size(corruptions.LEVELS["gaussian_noise"], 1, 200)
    assert noisy.std() == pytest.approx(255 * level, rel=0.02) and noisy.mean() == pytest.approx(128, abs=0.3)


def test_jpeg_keeps_the_order_of_colors():
    red = np.zeros((1, 64, 64, 3), np.uint8)
    red[..., 0] = 250
    changed = corruptions.corrupt(red, IDS[:1], "jpeg", 5)
    assert changed[..., 0].min() > 200 and changed[..., 2].max() < 60


def test_fog_is_smooth_and_from_0_to_1():
    cloud = corruptions.plasma(64, 48, 2, np.random.default_rng(0))
    assert cloud.shape == (64, 48) and cloud.min() == 0 and cloud.max() == 1
    assert np.abs(np.diff(cloud, axis=0)).mean() < 0.05 < cloud.std()
