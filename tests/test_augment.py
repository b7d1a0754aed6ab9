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
    "crop": 0,
    "horizontal_flip": False,
    "vertical_flip": False,
    "fill": "constant",
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "erasing": 0,
    "rand_augment": 0,
    "magnitude": 0,
    "mixup": 0,
    "cutmix": 0,
}
SQUARE = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], np.uint8)
GREY = SQUARE[None, :, :, None]


def drawn(values: dict[str, float], count: int = 1) -> np.ndarray:
    """Draws of 0 (no change of geometry) but for those that are given."""
    table = np.zeros((count, len(augment.COLUMN)))
    for name, value in values.items():
        table[:, augment.COLUMN[name]] = value
    return table


def batch(images: np.ndarray, values: dict[str, float], **changed) -> np.ndarray:
    rows = np.arange(len(images))
    return augment.batch(images, rows, len(rows), rows, drawn(values, len(images)), **(OFF | changed))[0]


def test_nothing_asked_changes_nothing():
    assert np.array_equal(batch(GREY, dict.fromkeys(augment.COLUMN, 0.9)), GREY)


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        ({"mirror": 0.5}, {"horizontal_flip": True}, np.fliplr(SQUARE)),
        ({"mirror": -0.5}, {"horizontal_flip": True}, SQUARE),
        ({"upside_down": 0.5}, {"vertical_flip": True}, np.flipud(SQUARE)),
        ({"turn": 1}, {"rotation": 90}, np.rot90(SQUARE)),
        ({"turn": 1}, {"rotation": 180}, np.rot90(SQUARE, 2)),
        ({"right": 1}, {"width_shift": 0.25}, [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]]),
        ({"down": -1}, {"height_shift": 0.25}, [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [0, 0, 0, 0]]),
        (
            {"right": 1},
            {"width_shift": 0.25, "fill": "nearest"},
            [[1, 1, 2, 3], [5, 5, 6, 7], [9, 9, 10, 11], [13, 13, 14, 15]],
        ),
        (
            {"right": 1},
            {"width_shift": 0.25, "fill": "reflect"},
            [[2, 1, 2, 3], [6, 5, 6, 7], [10, 9, 10, 11], [14, 13, 14, 15]],
        ),
        ({"brightness": 1}, {"brightness": 0.5}, np.rint(SQUARE * 1.5)),
        ({"contrast": -1}, {"contrast": 0.5}, np.rint(8.5 + (SQUARE - 8.5) / 2)),
    ],
    ids=[
        *("flip", "no flip", "upside down", "quarter turn", "half turn", "right", "up", "right nearest"),
        *("right reflect", "brightness", "contrast"),
    ],
)
def test_an_operation_by_eye(values, settings, expected):
    assert np.array_equal(batch(GREY, values, **settings)[0, :, :, 0], expected)


def test_zoom_and_shear_move_what_they_should():
    wide = np.zeros((1, 41, 41, 1), np.uint8)
    wide[0, 15:26, 15:26] = 200
    larger = batch(wide, {"zoom_x": -1, "zoom_y": 0}, zoom=0.5)[0, :, :, 0] > 100
    assert larger.any(axis=0).sum() == pytest.approx(22, abs=1) and larger.any(axis=1).sum() == 11
    slanted = batch(wide, {"slant": 1}, shear=20)[0, :, :, 0] > 100
    assert slanted[16].nonzero()[0].mean() != pytest.approx(slanted[24].nonzero()[0].mean(), abs=1)


@pytest.mark.parametrize(("x", "y", "corner"), [(-1, -1, (0, 0)), (1, -1, (0, 20)), (-1, 1, (20, 0)), (1, 1, (20, 20))])
def test_a_crop_takes_a_part_from_inside(x, y, corner):
    # Half of each side, from each corner: a quarter of the area.
    image = np.add.outer(np.arange(40) * 2, np.arange(40) * 3).astype(np.uint8)[None, :, :, None]
    part = batch(image, {"crop_area": 1, "crop_x": x, "crop_y": y}, crop=0.75, fill="constant")[0, :, :, 0].astype(int)
    top, left = corner
    middle = image[0, top + 5 : top + 15, left + 5 : left + 15, 0].mean()
    assert part[10:30, 10:30].mean() == pytest.approx(middle, abs=2)
    assert part[5:35, 5:35].min() > 0 or corner == (0, 0)


def test_saturation_goes_towards_grey_and_away():
    red = np.full((1, 2, 2, 3), (200, 100, 100), np.uint8)
    grey = round(0.299 * 200 + 0.701 * 100)
    assert batch(red, {"saturation": -1}, saturation=0.999)[0, 0, 0].tolist() == [grey] * 3
    assert batch(red, {"saturation": 1}, saturation=0.5)[0, 0, 0].tolist() == [235, 85, 85]


def test_erasing_paints_a_rectangle_with_the_mean():
    image = np.zeros((1, 20, 20, 1), np.uint8)
    image[0, ::2] = 100
    values = {"erase": -1, "erase_area": 1, "erase_aspect": 0, "erase_x": -1, "erase_y": -1}
    erased = batch(image, values, erasing=0.5)[0, :, :, 0]
    assert (erased[:11, :11] == 50).all()  # sqrt(.33 * 400) is 11.5, about square
    assert np.array_equal(erased[12:], image[0, 12:, :, 0])
    assert np.array_equal(batch(image, {"erase": 1 - 1e-9}, erasing=0.5), image)


def mixed(values: dict[str, float], **changed) -> tuple[np.ndarray, np.ndarray]:
    """Two images of one colour each, and two classes; each image's partner is the other."""
    images = np.stack([np.full((10, 10, 1), 200, np.uint8), np.full((10, 10, 1), 100, np.uint8)])
    table = drawn(values, 2)
    table[:, augment.COLUMN["partner"]] = [0.5, -0.5]
    return augment.batch(images, np.arange(2), 2, np.arange(2), table, **(OFF | changed))


def test_mixup_blends_pixels_and_targets():
    images, targets = mixed({"share": 0.5}, mixup=1.0)  # Beta(1, 1) is uniform: a share of .75
    assert images[:, 0, 0, 0].tolist() == [175, 125]
    assert targets.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_cutmix_pastes_a_rectangle():
    images, targets = mixed({"share": 0.5, "box_x": -1, "box_y": -1}, cutmix=1.0)  # a quarter: 5 x 5 of 10 x 10
    assert (images[0, :5, :5] == 100).all() and (images[0] == 100).sum() == 25
    assert targets.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_with_both_chance_takes_either():
    assert len(np.unique(mixed({"share": 0.5, "mix": -0.5}, mixup=1.0, cutmix=1.0)[0][0])) == 2
    assert len(np.unique(mixed({"share": 0.5, "mix": 0.5}, mixup=1.0, cutmix=1.0)[0][0])) == 1


def test_everything_at_once_keeps_what_must_hold():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 16, 16, 3), np.uint8)
    labels = random.integers(0, 5, 50)
    every = {name: 0.3 for name in OFF if name not in ("fill", "horizontal_flip", "vertical_flip")}
    settings = OFF | every | {"horizontal_flip": True, "vertical_flip": True, "rand_augment": 3, "magnitude": 9}
    table = augment.draws(50, 0, 1)
    pixels, answers = augment.batch(images, labels, 5, np.arange(50), table, **settings)
    assert pixels.dtype == np.uint8 and pixels.shape == images.shape
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-6)
    some, their = augment.batch(images, labels, 5, np.array([7, 3]), table, **settings)
    assert np.array_equal(some, pixels[[7, 3]]) and np.array_equal(their, answers[[7, 3]])


def test_draws_depend_on_seed_epoch_and_row_alone():
    first = augment.draws(10, 0, 1)
    assert np.array_equal(first, augment.draws(10, 0, 1))
    assert np.array_equal(first, augment.draws(100, 0, 1)[:10])
    for other in (augment.draws(10, 1, 1), augment.draws(10, 0, 2)):
        assert not np.intersect1d(first, other).size
    assert first.min() >= -1 and first.max() < 1
