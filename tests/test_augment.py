"""Augmentation: each operation on an image that the eye can check, and chance that depends on the seed alone."""

import numpy as np
import pytest

from heldout import augment

OFF = {
    "rotation": 0,
    "width_shift": 0,
    "height_shift": 0,
    "shear": 0,
    "zoom": 0,
    "horizontal_flip": False,
    "fill": "constant",
}
SQUARE = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], np.uint8)
TURN, RIGHT, DOWN, SLANT, ZOOM_X, ZOOM_Y, FLIP = range(augment.DRAWS)


def warp(drawn: dict[int, float], **changed) -> np.ndarray:
    draw = np.zeros((1, augment.DRAWS))
    for position, value in drawn.items():
        draw[0, position] = value
    return augment.warp(SQUARE[None, :, :, None], draw, **(OFF | changed))[0, :, :, 0]


def test_nothing_asked_changes_nothing():
    assert np.array_equal(warp(dict.fromkeys(range(7), 0.9)), SQUARE)


@pytest.mark.parametrize(
    ("drawn", "settings", "expected"),
    [
        ({FLIP: 0.5}, {"horizontal_flip": True}, np.fliplr(SQUARE)),
        ({FLIP: -0.5}, {"horizontal_flip": True}, SQUARE),
        ({TURN: 1}, {"rotation": 90}, np.rot90(SQUARE)),
        ({TURN: 1}, {"rotation": 180}, np.rot90(SQUARE, 2)),
        ({RIGHT: 1}, {"width_shift": 0.25}, [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]]),
        ({DOWN: -1}, {"height_shift": 0.25}, [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [0, 0, 0, 0]]),
        (
            {RIGHT: 1},
            {"width_shift": 0.25, "fill": "nearest"},
            [[1, 1, 2, 3], [5, 5, 6, 7], [9, 9, 10, 11], [13, 13, 14, 15]],
        ),
        (
            {RIGHT: 1},
            {"width_shift": 0.25, "fill": "reflect"},
            [[2, 1, 2, 3], [6, 5, 6, 7], [10, 9, 10, 11], [14, 13, 14, 15]],
        ),
    ],
    ids=["flip", "no flip", "quarter turn", "half turn", "right", "up", "right nearest", "right reflect"],
)
def test_an_operation_by_eye(drawn, settings, expected):
    assert np.array_equal(warp(drawn, **settings), expected)


def test_zoom_and_shear_move_what_they_should():
    wide = np.zeros((1, 41, 41, 1), np.uint8)
    wide[0, 15:26, 15:26] = 200
    draw = np.zeros((1, augment.DRAWS))
    draw[0, [ZOOM_X, ZOOM_Y]] = -1  # the picture is sampled at half the step, so it looks twice as large
    large = augment.warp(wide, draw, **(OFF | {"zoom": 0.5}))
    assert (large > 100).sum() == pytest.approx(4 * 11 * 11, rel=0.1)
    draw = np.zeros((1, augment.DRAWS))
    draw[0, SLANT] = 1
    slanted = augment.warp(wide, draw, **(OFF | {"shear": 30}))[0, :, :, 0] > 100
    top, bottom = (np.flatnonzero(slanted[row]).mean() for row in (17, 23))
    assert abs(top - bottom) > 2


def test_a_row_of_draws_depends_on_seed_epoch_and_row_alone():
    assert np.array_equal(augment.draws(10, 3, 5), augment.draws(1000, 3, 5)[:10])
    assert not np.array_equal(augment.draws(10, 3, 5), augment.draws(10, 3, 6))
    assert not np.array_equal(augment.draws(10, 3, 5), augment.draws(10, 4, 5))
    assert augment.draws(1000, 0, 0).min() < -0.95 and augment.draws(1000, 0, 0).max() > 0.95
