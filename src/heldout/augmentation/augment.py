"""Augmentation: random changes of training images, drawn anew in every epoch by (seed, epoch, image) alone."""

from typing import Annotated, Any, Literal, Protocol

import cv2
import numpy as np
from pydantic import Field
from scipy.stats import beta

from heldout.augmentation import color, randaugment

BORDER_MODES = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101, "constant": cv2.BORDER_CONSTANT}
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (0.3, 3.3)  # of Zhong et al., Random Erasing Data Augmentation, 2020
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Alpha = Annotated[float, Field(ge=0, le=10)]
# The section `augment` with every operation off.
OFF: dict[str, Any] = {
    "rotation": 0, "width_shift": 0, "height_shift": 0, "shear": 0, "zoom": 0, "crop": 0, "aspect_ratio": 0,
    "horizontal_flip": False, "vertical_flip": False, "fill_mode": "nearest",
    "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "grayscale": 0, "blur": 0, "random_erasing": 0,
    "rand_augment_ops": 0, "rand_augment_magnitude": 9, "mixup": 0, "cutmix": 0,
}  # fmt: skip
MODIFIERS = ("fill_mode", "rand_augment_magnitude")  # keys that say how operations work, and switch none on
# What `draws` draws for each operation, by a generator of its own: a new operation leaves what the others draw.
DRAWS: dict[str, tuple[str, ...]] = {
    "rotation": ("rotation",),
    "width_shift": ("width_shift",),
    "height_shift": ("height_shift",),
    "shear": ("shear",),
    "zoom": ("zoom_x", "zoom_y"),
    "crop": ("crop_area", "crop_x", "crop_y"),
    "horizontal_flip": ("horizontal_flip",),
    "vertical_flip": ("vertical_flip",),
    "brightness": ("brightness",),
    "contrast": ("contrast",),
    "saturation": ("saturation",),
    "random_erasing": ("erase_apply", "erase_area", "erase_aspect", "erase_x", "erase_y"),
    "mix": ("mix_apply", "mix_partner", "mix_lambda", "mix_x", "mix_y"),
    **{
        f"rand_augment_{number}": (f"rand_augment_operation_{number}", f"rand_augment_sign_{number}")
        for number in range(1, randaugment.MAX_OPS + 1)
    },
    "aspect_ratio": ("aspect_ratio",),
    "hue": ("hue",),
    "grayscale": ("grayscale_apply",),
    "blur": ("blur_apply", "blur_strength"),
}
COLUMN = {name: number for number, name in enumerate(name for names in DRAWS.values() for name in names)}


class ImageRows(Protocol):
    """An array of images, or what reads them from shards."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


def draws(count: int, seed: int, epoch: int) -> np.ndarray:
    """The random numbers of every image in an epoch: uniform in [-1, 1), float64 of shape (count, len(COLUMN)).

    What an operation draws for image i depends on (seed, epoch, i) and the operation's name alone, whatever the number
    of images, the order of batches and the other operations.
    """
    generators = {name: np.random.default_rng([seed, epoch, *name.encode()]) for name in DRAWS}
    columns = [generators[name].random((count, len(names))) for name, names in DRAWS.items()]
    return np.concatenate(columns, axis=1) * 2 - 1


def augment_batch(
    images: ImageRows,
    labels: np.ndarray,
    num_classes: int,
    rows: np.ndarray,
    drawn: np.ndarray,
    *,
    rotation: Annotated[float, Field(ge=0, le=180)],
    width_shift: Fraction,
    height_shift: Fraction,
    shear: Annotated[float, Field(ge=0, lt=45)],
    zoom: Fraction,
    crop: Fraction,
    aspect_ratio: Fraction,
    horizontal_flip: bool,
    vertical_flip: bool,
    fill_mode: Literal["nearest", "reflect", "constant"],
    brightness: Fraction,
    contrast: Fraction,
    saturation: Fraction,
    hue: Annotated[float, Field(ge=0, le=0.5)],
    grayscale: Probability,
    blur: Probability,
    random_erasing: Probability,
    rand_augment_ops: Annotated[int, Field(ge=0, le=randaugment.MAX_OPS)],
    rand_augment_magnitude: Annotated[float, Field(ge=0, le=randaugment.MAX_MAGNITUDE)],
    mixup: Alpha,
    cutmix: Alpha,
) -> tuple[np.ndarray, np.ndarray]:
    """A batch as training sees it: each image augmented, then perhaps mixed with a second one, augmented as well.

    Rotation, shifts, shear, zoom, crop and flips are one affine warp (they mean what Keras's ImageDataGenerator means).

    Args:
        images: all training images: `images[rows]` is a uint8 array (n, height, width, channels).
        labels: int (count,), the class numbers of all of them.
        num_classes: of the targets.
        rows: int (n,), the images of the batch.
        drawn: float (count, len(COLUMN)) in [-1, 1), from `draws`.
        rotation: the largest rotation either way, degrees.
        width_shift, height_shift: the largest shift either way, as a fraction of the width or height.
        shear: the largest shear angle either way, degrees.
        zoom: scales each axis by a factor in [1 - zoom, 1 + zoom].
        crop: takes a part of at least 1 - crop of the area, anywhere, enlarged to the image's size.
        aspect_ratio: that part is wider or higher than the image by a factor of up to 1 + it (SimCLR's crop: 1/3).
        horizontal_flip, vertical_flip: mirrors an image with a probability of 0.5.
        fill_mode: what lies outside the image: the nearest pixel, the mirror image, or black.
        brightness, contrast, saturation: each by a factor in [1 - it, 1 + it].
        hue: turns the colors by at most so much of their circle, either way.
        grayscale, blur: the probability that an image loses its colors, or is blurred.
        random_erasing: the probability that a rectangle is painted over with the image's mean (Random Erasing, 2020).
        rand_augment_ops: how many operations of RandAugment (Cubuk et al., 2020), after the warp and the colors.
        rand_augment_magnitude: their strength, 0 to 30.
        mixup: the alpha of the beta distribution of an image's weight in a blend (Zhang et al., mixup, 2018); 0 is off.
        cutmix: the same for a rectangle of a second image (Yun et al., CutMix, 2019). With both on, each image gets one
            or the other, with a probability of 0.5.

    Returns:
        uint8 array (n, height, width, channels), and float32 targets (n, num_classes) that sum to 1.
    """

    def augmented(indices: np.ndarray) -> np.ndarray:
        draw = drawn[indices]
        pixels = warp_affine(
            images[indices], draw, rotation=rotation, shift=(width_shift, height_shift), shear=shear, zoom=zoom,
            crop=crop, aspect_ratio=aspect_ratio, flip=(horizontal_flip, vertical_flip), fill_mode=fill_mode,
        )  # fmt: skip
        pixels = _recolor(pixels, draw, brightness, contrast, saturation, hue, grayscale, blur)
        if rand_augment_ops:
            pixels = _rand_augment(pixels, draw, rand_augment_ops, rand_augment_magnitude, BORDER_MODES[fill_mode])
        return erase_rectangles(pixels, draw, random_erasing) if random_erasing else pixels

    pixels, targets = augmented(rows), one_hot(labels[rows], num_classes)
    if mixup or cutmix:
        partners = (_to_unit(drawn[rows, COLUMN["mix_partner"]]) * len(drawn)).astype(int)
        partner_targets = one_hot(labels[partners], num_classes)
        return mix_images(pixels, targets, augmented(partners), partner_targets, drawn[rows], mixup, cutmix)
    return pixels, targets


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class numbers (n,) as float32 targets (n, num_classes)."""
    targets = np.zeros((len(labels), num_classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def warp_affine(
    images: np.ndarray,
    drawn: np.ndarray,
    *,
    rotation: float,
    shift: tuple[float, float],
    shear: float,
    zoom: float,
    crop: float,
    aspect_ratio: float,
    flip: tuple[bool, bool],
    fill_mode: str,
) -> np.ndarray:
    """One affine warp an image; `shift` and `flip` are (horizontal, vertical), the rest as in `augment_batch`."""
    height, width = images.shape[1:3]
    result = np.empty_like(images)
    size = np.array([width, height])
    center = (size - 1) / 2
    for position, (image, row) in enumerate(zip(images, drawn, strict=True)):
        draw = dict(zip(COLUMN, row.tolist(), strict=True))
        matrix = _affine_matrix(
            rotation=np.deg2rad(draw["rotation"] * rotation),
            shear=np.deg2rad(draw["shear"] * shear),
            scale=(1 + draw["zoom_x"] * zoom, 1 + draw["zoom_y"] * zoom),
            flip=(flip[0] and draw["horizontal_flip"] > 0, flip[1] and draw["vertical_flip"] > 0),
        )
        moved = np.array([draw["width_shift"] * shift[0], draw["height_shift"] * shift[1]]) * size
        # The crop's center is so far from the image's that the crop stays inside.
        stretch = (1 + aspect_ratio) ** (draw["aspect_ratio"] / 2)
        side = np.minimum(np.sqrt(1 - crop * _to_unit(draw["crop_area"])) * np.array([stretch, 1 / stretch]), 1)
        offset = np.array([draw["crop_x"], draw["crop_y"]]) * (1 - side) * size / 2
        affine = np.column_stack([matrix * side, center + offset - matrix @ (center * side + moved)])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(image, affine, (width, height), flags=flags, borderMode=BORDER_MODES[fill_mode])
        result[position] = warped.reshape(image.shape)
    return result


def erase_rectangles(images: np.ndarray, drawn: np.ndarray, probability: float) -> np.ndarray:
    """Paint a rectangle of some images with the mean of their pixels."""
    height, width = images.shape[1:3]
    result = images.copy()
    unit = _to_unit(drawn)
    for position in np.flatnonzero(unit[:, COLUMN["erase_apply"]] < probability):
        area, aspect, x, y = unit[position, [COLUMN[f"erase_{name}"] for name in ("area", "aspect", "x", "y")]]
        pixels = (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
        ratio = np.exp(np.log(ERASED_ASPECT[0]) + aspect * np.log(ERASED_ASPECT[1] / ERASED_ASPECT[0]))
        rows = int(np.clip(round(np.sqrt(pixels * ratio)), 1, height))
        columns = int(np.clip(round(np.sqrt(pixels / ratio)), 1, width))
        top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
        mean = images[position].mean(axis=(0, 1)).round().astype(np.uint8)
        result[position, top : top + rows, left : left + columns] = mean
    return result


def mix_images(
    images: np.ndarray,
    targets: np.ndarray,
    partners: np.ndarray,
    partner_targets: np.ndarray,
    drawn: np.ndarray,
    mixup: float,
    cutmix: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image with its partner, or paste a rectangle of the partner; the targets are weighted alike."""
    height, width = images.shape[1:3]
    unit = _to_unit(drawn)
    pasted = unit[:, COLUMN["mix_apply"]] < (0.5 if mixup and cutmix else float(cutmix > 0))
    alphas = np.where(pasted, cutmix or 1, mixup or 1)
    weights = beta.ppf(unit[:, COLUMN["mix_lambda"]], alphas, alphas)  # of each image; its partner has the rest
    result = images.copy()
    for position, weight in enumerate(weights):
        if pasted[position]:
            side = np.sqrt(1 - weight)
            rows, columns = round(height * side), round(width * side)
            top = int(unit[position, COLUMN["mix_y"]] * (height - rows + 1))
            left = int(unit[position, COLUMN["mix_x"]] * (width - columns + 1))
            box = (position, slice(top, top + rows), slice(left, left + columns))
            result[box] = partners[box]
            weights[position] = 1 - rows * columns / (height * width)
        else:
            blend = cv2.addWeighted(images[position], weight, partners[position], 1 - weight, 0)
            result[position] = blend.reshape(images.shape[1:])
    column = weights.astype(np.float32)[:, None]
    return result, (targets * column + partner_targets * (1 - column)).astype(np.float32)


def _recolor(
    images: np.ndarray,
    drawn: np.ndarray,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    grayscale: float,
    blur: float,
) -> np.ndarray:
    """The operations of `color` that are on."""

    def factors(name: str, limit: float) -> np.ndarray:
        return 1 + drawn[:, COLUMN[name]] * limit

    def chosen(name: str, probability: float) -> np.ndarray:
        return _to_unit(drawn[:, COLUMN[f"{name}_apply"]]) < probability

    if brightness or contrast or saturation:
        images = color.adjust_color(
            images,
            factors("brightness", brightness),
            factors("contrast", contrast) if contrast else None,
            factors("saturation", saturation) if saturation else None,
        )
    if hue:
        images = color.shift_hue(images, drawn[:, COLUMN["hue"]] * hue)
    if grayscale:
        images = color.drop_color(images, chosen("grayscale", grayscale))
    if blur:
        images = color.blur(images, chosen("blur", blur), _to_unit(drawn[:, COLUMN["blur_strength"]]))
    return images


def _rand_augment(
    images: np.ndarray, drawn: np.ndarray, num_ops: int, magnitude: float, border_mode: int
) -> np.ndarray:
    numbers = range(1, num_ops + 1)
    operations = _to_unit(drawn[:, [COLUMN[f"rand_augment_operation_{number}"] for number in numbers]])
    signs = drawn[:, [COLUMN[f"rand_augment_sign_{number}"] for number in numbers]]
    arguments = zip(images, operations, signs, strict=True)
    return np.stack([randaugment.apply(*per_image, magnitude, border_mode) for per_image in arguments])


def _to_unit(drawn: Any) -> Any:
    """From [-1, 1) to [0, 1), a number or an array."""
    return (drawn + 1) / 2


def _affine_matrix(rotation: float, shear: float, scale: tuple[float, float], flip: tuple[bool, bool]) -> np.ndarray:
    """From output to input coordinates, about the center: (2, 2); angles in radians."""
    rotated = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    sheared = np.array([[1, -np.sin(shear)], [0, np.cos(shear)]])
    scaled = np.diag([factor * (-1 if flipped else 1) for factor, flipped in zip(scale, flip, strict=True)])
    return rotated @ sheared @ scaled
