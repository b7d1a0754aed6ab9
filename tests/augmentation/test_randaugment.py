"""RandAugment: each operation at a fixed draw, on an image that the eye can check."""

import cv2
import numpy as np
import pytest
from test_augment import GRAY, SQUARE

from heldout.augmentation import augment, randaugment

NAMES = list(randaugment.OPERATIONS)
BAR = [[0, 100, 100, 0]] * 4
ONE_PIXEL = 331 / 150 / 4 * 30  # the magnitude that shifts 4 pixels by 1


def apply_one(name: str, image, magnitude: float, sign: int = 1) -> np.ndarray:
    operation_draws = np.array([(NAMES.index(name) + 0.5) / len(NAMES)])
    pixels = np.array(image, np.uint8)
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return randaugment.apply(pixels, operation_draws, np.array([sign]), magnitude, cv2.BORDER_CONSTANT).squeeze()


@pytest.mark.parametrize(
    ("name", "magnitude", "sign", "before", "after"),
    [
        ("identity", 30, 1, SQUARE, SQUARE),
        ("autocontrast", 30, 1, SQUARE, (SQUARE - 1) * 17),
        ("equalize", 30, 1, [[1] * 255 + [2] * 255], [[0] * 255 + [255] * 255]),
        ("solarize", 15, 1, [[100, 200]], [[100, 55]]),
        ("posterize", 30, 1, [[255, 17, 3]], [[240, 16, 0]]),
        ("brightness", 30, 1, [[100, 10]], [[190, 19]]),
        ("brightness", 30, -1, [[100, 10]], [[10, 1]]),
        ("contrast", 30, -1, [[50, 150]], [[95, 105]]),
        ("contrast", 30, 1, [[50, 150]], [[5, 195]]),
        ("translate_x", ONE_PIXEL, 1, SQUARE, [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]]),
        ("translate_y", ONE_PIXEL, -1, SQUARE, [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [0, 0, 0, 0]]),
        # By .3 of the distance from the center, which lies between the pixels: .15 and .45 of a pixel.
        ("shear_x", 30, 1, BAR, [[45, 100, 55, 0], [15, 100, 85, 0], [0, 85, 100, 15], [0, 55, 100, 45]]),
        ("sharpness", 30, 1, [[9] * 4] * 4, [[9] * 4] * 4),
    ],
)  # fmt: skip
def test_each_operation(name, magnitude, sign, before, after):
    assert np.abs(apply_one(name, before, magnitude, sign).astype(int) - np.squeeze(after)).max() <= 1


def test_color_shears_and_rotations_go_either_way():
    red = np.full((4, 4, 3), (200, 0, 0), np.uint8)
    assert np.ptp(apply_one("color", red, 30, -1)[0, 0]) == 20  # a tenth of the color is left
    assert np.ptp(apply_one("color", red, 10, 1)[0, 0]) > 200
    column = np.zeros((9, 9), np.uint8)
    column[:, 4] = 255
    rotated = apply_one("rotate", column, 30, 1)
    assert rotated[4, 4] == 255 and rotated[0, 4] < 100
    assert np.array_equal(rotated, np.fliplr(apply_one("rotate", column, 30, -1)))
    assert np.array_equal(apply_one("shear_y", column.T, 30, 1), apply_one("shear_x", column, 30, 1).T)


def test_magnitude_0_changes_nothing_but_what_has_no_strength():
    random = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    for name in set(NAMES) - {"autocontrast", "equalize"}:
        assert np.array_equal(apply_one(name, random, 0), random), name


@pytest.mark.parametrize("channels", [1, 3])
def test_in_a_batch_each_image_has_draws_of_its_own(channels):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, channels), np.uint8)
    rows = np.arange(40)
    settings = augment.OFF | {"rand_augment_ops": 2, "rand_augment_magnitude": 9, "fill_mode": "constant"}
    pixels, _ = augment.augment_batch(images, rows, 40, rows, augment.draws(40, 0, 1), **settings)
    assert pixels.shape == images.shape and pixels.dtype == np.uint8
    assert 0.8 < np.mean([not np.array_equal(a, b) for a, b in zip(pixels, images, strict=True)]) <= 1
    two_pixels, _ = augment.augment_batch(images, rows, 40, rows[[7, 3]], augment.draws(40, 0, 1), **settings)
    assert np.array_equal(two_pixels, pixels[[7, 3]])


def test_off_by_default(monkeypatch):
    monkeypatch.setattr(randaugment, "apply", None)
    drawn = np.zeros((1, len(augment.COLUMN)))
    pixels, _ = augment.augment_batch(GRAY, np.zeros(1, int), 1, np.zeros(1, int), drawn, **augment.OFF)
    assert np.array_equal(pixels, GRAY)
