"""Augmentation: each operation on an image that the eye can check, and draws that depend on the seed alone."""

import numpy as np
import pytest
import yaml

from heldout.augmentation import augment
from heldout.core import params

SQUARE = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], np.uint8)
GRAY = SQUARE[None, :, :, None]
# draws(4, seed=0, epoch=1)[3]
GOLDEN_ROW = {
    "rotation": 0.757969,
    "width_shift": -0.300416,
    "height_shift": 0.319836,
    "shear": 0.575357,
    "zoom_x": -0.345019, "zoom_y": -0.009812,
    "crop_area": 0.854406, "crop_x": 0.261287, "crop_y": 0.806360,
    "horizontal_flip": 0.911166,
    "vertical_flip": 0.757071,
    "brightness": 0.451009,
    "contrast": 0.914973,
    "saturation": 0.088901,
    "erase_apply": 0.547937, "erase_area": 0.559725, "erase_aspect": 0.024351,
    "erase_x": -0.201475, "erase_y": -0.595246,
    "mix_apply": -0.427796, "mix_partner": 0.072966, "mix_lambda": 0.012853, "mix_x": -0.855031, "mix_y": -0.742892,
    "rand_augment_operation_1": -0.203484, "rand_augment_sign_1": -0.938133,
    "rand_augment_operation_2": 0.981063, "rand_augment_sign_2": -0.244349,
    "rand_augment_operation_3": 0.985721, "rand_augment_sign_3": -0.646844,
    "aspect_ratio": 0.576022,
    "hue": 0.066658,
    "grayscale_apply": 0.925472,
    "blur_apply": 0.174824, "blur_strength": -0.126244,
}  # fmt: skip


def drawn(values: dict[str, float], count: int = 1) -> np.ndarray:
    """Draws of 0 (no change of geometry) but for those that are given, the same for every image."""
    table = np.zeros((count, len(augment.COLUMN)))
    for name, value in values.items():
        table[:, augment.COLUMN[name]] = value
    return table


def augmented(images: np.ndarray, values: dict[str, float], **changed) -> np.ndarray:
    """The pixels of a batch of all the images, by these draws, with all operations off but those that are given."""
    rows = np.arange(len(images))
    settings = augment.OFF | changed
    return augment.augment_batch(images, rows, len(rows), rows, drawn(values, len(images)), **settings)[0]


def test_off_is_the_section_and_changes_no_pixel(tmp_path):
    assert list(augment.OFF) == list(params.schema(augment.augment_batch))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"augment": augment.OFF}), encoding="utf-8")
    assert params.section("augment", augment.augment_batch, tmp_path / "params.yaml") == augment.OFF
    assert np.array_equal(augmented(GRAY, dict.fromkeys(augment.COLUMN, 0.9)), GRAY)
    images = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8)
    rows = np.arange(50)
    for modifiers in ({}, {"fill_mode": "reflect", "rand_augment_magnitude": 30}):
        assert set(modifiers) <= set(augment.MODIFIERS)
        settings = augment.OFF | modifiers
        pixels, targets = augment.augment_batch(images, rows, 50, rows, augment.draws(50, 0, 1), **settings)
        assert np.array_equal(pixels, images) and np.array_equal(targets, np.eye(50))


@pytest.mark.parametrize("key", [key for key in augment.OFF if key not in augment.MODIFIERS])
def test_each_other_key_switches_an_operation_on(key):
    images = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8)
    rows = np.arange(50)
    value = {"horizontal_flip": True, "vertical_flip": True, "rand_augment_ops": 1}.get(key, 0.5)
    settings = augment.OFF | {key: value}
    pixels, _ = augment.augment_batch(images, rows, 50, rows, augment.draws(50, 0, 1), **settings)
    assert not np.array_equal(pixels, images)


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        ({"horizontal_flip": 0.5}, {"horizontal_flip": True}, np.fliplr(SQUARE)),
        ({"horizontal_flip": -0.5}, {"horizontal_flip": True}, SQUARE),
        ({"vertical_flip": 0.5}, {"vertical_flip": True}, np.flipud(SQUARE)),
        ({"rotation": 1}, {"rotation": 90}, np.rot90(SQUARE)),
        ({"rotation": 1}, {"rotation": 180}, np.rot90(SQUARE, 2)),
        (
            {"width_shift": 1},
            {"width_shift": 0.25, "fill_mode": "constant"},
            [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]],
        ),
        (
            {"height_shift": -1},
            {"height_shift": 0.25, "fill_mode": "constant"},
            [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [0, 0, 0, 0]],
        ),
        (
            {"width_shift": 1},
            {"width_shift": 0.25, "fill_mode": "nearest"},
            [[1, 1, 2, 3], [5, 5, 6, 7], [9, 9, 10, 11], [13, 13, 14, 15]],
        ),
        (
            {"width_shift": 1},
            {"width_shift": 0.25, "fill_mode": "reflect"},
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
    assert np.array_equal(augmented(GRAY, values, **settings)[0, :, :, 0], expected)


def test_zoom_and_shear_move_what_they_should():
    bright = np.zeros((1, 41, 41, 1), np.uint8)
    bright[0, 15:26, 15:26] = 200
    zoomed = augmented(bright, {"zoom_x": -1, "zoom_y": 0}, zoom=0.5, fill_mode="constant")[0, :, :, 0] > 100
    assert zoomed.any(axis=0).sum() == pytest.approx(22, abs=1) and zoomed.any(axis=1).sum() == 11
    sheared = augmented(bright, {"shear": 1}, shear=20, fill_mode="constant")[0, :, :, 0] > 100
    assert sheared[16].nonzero()[0].mean() != pytest.approx(sheared[24].nonzero()[0].mean(), abs=1)


@pytest.mark.parametrize(("x", "y", "corner"), [(-1, -1, (0, 0)), (1, -1, (0, 20)), (-1, 1, (20, 0)), (1, 1, (20, 20))])
def test_a_crop_takes_a_part_from_inside(x, y, corner):
    # Half of each side, from each corner: a quarter of the area.
    image = np.add.outer(np.arange(40) * 2, np.arange(40) * 3).astype(np.uint8)[None, :, :, None]
    values = {"crop_area": 1, "crop_x": x, "crop_y": y}
    part = augmented(image, values, crop=0.75, fill_mode="constant")[0, :, :, 0].astype(int)
    top, left = corner
    middle = image[0, top + 5 : top + 15, left + 5 : left + 15, 0].mean()
    assert part[10:30, 10:30].mean() == pytest.approx(middle, abs=2)
    assert part[5:35, 5:35].min() > 0 or corner == (0, 0)


def test_saturation_goes_towards_gray_and_away():
    red = np.full((1, 2, 2, 3), (200, 100, 100), np.uint8)
    gray = round(0.299 * 200 + 0.701 * 100)
    assert augmented(red, {"saturation": -1}, saturation=0.999)[0, 0, 0].tolist() == [gray] * 3
    assert augmented(red, {"saturation": 1}, saturation=0.5)[0, 0, 0].tolist() == [235, 85, 85]


def test_hue_turns_a_third_of_the_circle():
    red = np.full((1, 2, 2, 3), (200, 100, 100), np.uint8)
    green = augmented(red, {"hue": 2 / 3}, hue=0.5)[0, 0, 0].astype(int)  # a third of the circle
    assert np.abs(green - (100, 200, 100)).max() <= 3  # of 256 hues, 85 steps
    assert np.array_equal(augmented(GRAY, {"hue": 1}, hue=0.5), GRAY)


def test_color_is_lost_with_its_probability():
    red = np.full((1, 2, 2, 3), (200, 100, 100), np.uint8)
    assert augmented(red, {"grayscale_apply": -0.7}, grayscale=0.2)[0, 0, 0].tolist() == [130] * 3
    assert np.array_equal(augmented(red, {"grayscale_apply": -0.5}, grayscale=0.2), red)


def test_blur_spreads_a_point_and_keeps_its_sum():
    point = np.zeros((1, 21, 21, 1), np.uint8)
    point[0, 10, 10] = 250
    blurred = augmented(point, {"blur_apply": -1, "blur_strength": 1}, blur=0.5)[0, :, :, 0].astype(int)
    assert blurred[10, 10] < 50 and np.array_equal(blurred, blurred.T) and blurred.sum() == pytest.approx(250, abs=15)
    assert np.array_equal(augmented(point, {"blur_apply": 0.1}, blur=0.5), point)


def test_a_crop_of_another_aspect_ratio():
    """A quarter of the area, twice as wide as high: 28 x 14 of 40 x 40 pixels."""
    image = np.zeros((1, 40, 40, 1), np.uint8)
    image[0, 13:27, 6:34] = 200
    part = augmented(image, {"crop_area": 1, "aspect_ratio": 1}, crop=0.75, aspect_ratio=0.999, fill_mode="constant")
    assert (part[0, 2:-2, 2:-2, 0] == 200).all()


def test_erasing_paints_a_rectangle_with_the_mean():
    image = np.zeros((1, 20, 20, 1), np.uint8)
    image[0, ::2] = 100
    values = {"erase_apply": -1, "erase_area": 1, "erase_aspect": 0, "erase_x": -1, "erase_y": -1}
    erased = augmented(image, values, random_erasing=0.5)[0, :, :, 0]
    assert (erased[:11, :11] == 50).all()  # sqrt(.33 * 400) is 11.5, about square
    assert np.array_equal(erased[12:], image[0, 12:, :, 0])
    assert np.array_equal(augmented(image, {"erase_apply": 1 - 1e-9}, random_erasing=0.5), image)


def mixed(values: dict[str, float], **changed) -> tuple[np.ndarray, np.ndarray]:
    """Two images of one color each, and two classes; each image's partner is the second, or the first."""
    images = np.stack([np.full((10, 10, 1), 200, np.uint8), np.full((10, 10, 1), 100, np.uint8)])
    table = drawn(values, 2)
    table[:, augment.COLUMN["mix_partner"]] = [0.5, -0.5]
    return augment.augment_batch(images, np.arange(2), 2, np.arange(2), table, **(augment.OFF | changed))


def test_mixup_blends_pixels_and_targets():
    images, targets = mixed({"mix_lambda": 0.5}, mixup=1.0)  # Beta(1, 1) is uniform: a weight of .75
    assert images[:, 0, 0, 0].tolist() == [175, 125]
    assert targets.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_cutmix_pastes_a_rectangle():
    images, targets = mixed({"mix_lambda": 0.5, "mix_x": -1, "mix_y": -1}, cutmix=1.0)  # a quarter: 5 x 5 of 10 x 10
    assert (images[0, :5, :5] == 100).all() and (images[0] == 100).sum() == 25
    assert targets.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_with_mixup_and_cutmix_each_image_gets_either():
    assert len(np.unique(mixed({"mix_lambda": 0.5, "mix_apply": -0.5}, mixup=1.0, cutmix=1.0)[0][0])) == 2
    assert len(np.unique(mixed({"mix_lambda": 0.5, "mix_apply": 0.5}, mixup=1.0, cutmix=1.0)[0][0])) == 1


def test_all_operations_at_once_keep_shapes_sums_and_rows_apart():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 16, 16, 3), np.uint8)
    labels = random.integers(0, 5, 50)
    settings = {
        **dict.fromkeys(augment.OFF, 0.3),
        **{"horizontal_flip": True, "vertical_flip": True, "fill_mode": "constant"},
        **{"rand_augment_ops": 3, "rand_augment_magnitude": 9},
    }
    drawn = augment.draws(50, 0, 1)
    pixels, targets = augment.augment_batch(images, labels, 5, np.arange(50), drawn, **settings)
    assert pixels.dtype == np.uint8 and pixels.shape == images.shape
    assert targets.sum(axis=1) == pytest.approx(1, abs=1e-6)
    two_pixels, two_targets = augment.augment_batch(images, labels, 5, np.array([7, 3]), drawn, **settings)
    assert np.array_equal(two_pixels, pixels[[7, 3]]) and np.array_equal(two_targets, targets[[7, 3]])


def test_draws_depend_on_seed_epoch_and_row_alone():
    first = augment.draws(10, 0, 1)
    assert first.dtype == np.float64 and first.shape == (10, len(augment.COLUMN))
    assert np.array_equal(first, augment.draws(10, 0, 1))
    assert np.array_equal(first, augment.draws(100, 0, 1)[:10])
    for different in (augment.draws(10, 1, 1), augment.draws(10, 0, 2)):
        assert not np.intersect1d(first, different).size
    assert len(np.unique(first)) == first.size
    assert first.min() >= -1 and first.max() < 1


def test_golden_row():
    """A row that moves changes every training: it belongs in the CHANGELOG."""
    row = augment.draws(4, seed=0, epoch=1)[3]
    assert {name: round(row[column], 6) for name, column in augment.COLUMN.items()} == GOLDEN_ROW


@pytest.mark.parametrize("position", [0, 5, len(augment.DRAWS)])
def test_a_new_operation_leaves_what_the_others_draw(monkeypatch, position):
    before = augment.draws(10, 0, 1)
    operations = list(augment.DRAWS.items())
    operations.insert(position, ("solarize", ("solarize_apply", "solarize_threshold")))
    monkeypatch.setattr(augment, "DRAWS", dict(operations))
    names = [name for _, columns in operations for name in columns]
    after = augment.draws(10, 0, 1)
    assert after.shape == (10, len(augment.COLUMN) + 2)
    for name, column in augment.COLUMN.items():
        assert np.array_equal(after[:, names.index(name)], before[:, column]), name
