"""Augmentation: what chance makes of training images, drawn anew in every epoch by (seed, epoch, image) alone."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field
from scipy.stats import beta

from heldout import randaugment

BORDER = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101, "constant": cv2.BORDER_CONSTANT}
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # red, green and blue by their brightness (ITU-R BT.601)
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (0.3, 3.3)  # of Zhong et al., Random Erasing Data Augmentation, 2020
Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Alpha = Annotated[float, Field(ge=0, le=10)]
# The columns of `draws`: each operation has its own, so that switching one on leaves what the others draw.
WARP = ("turn", "right", "down", "slant", "zoom_x", "zoom_y", "mirror")
REST = (
    *("upside_down", "crop_area", "crop_x", "crop_y", "brightness", "contrast", "saturation"),
    *("erase", "erase_area", "erase_aspect", "erase_x", "erase_y"),
    *("mix", "partner", "share", "box_x", "box_y"),
)
RANDOM = tuple(f"random_{part}{number}" for part in ("operation", "sign") for number in range(randaugment.MOST))
COLUMN = {name: number for number, name in enumerate(WARP + REST + RANDOM)}


def draws(count: int, seed: int, epoch: int) -> np.ndarray:
    """What chance decides for every image in an epoch: uniform in [-1, 1), float64 of shape (count, len(COLUMN)).

    Row i depends on (seed, epoch, i) alone, whatever the number of images and the order of batches.
    """
    parts = [((seed, epoch), len(WARP)), ((seed, epoch, 2), len(REST)), ((seed, epoch, 3), len(RANDOM))]
    drawn = [np.random.default_rng(key).random((count, columns)) for key, columns in parts]
    return np.concatenate(drawn, axis=1) * 2 - 1


def batch(
    images,
    labels: np.ndarray,
    num_classes: int,
    rows: np.ndarray,
    drawn: np.ndarray,
    *,
    rotation: Annotated[float, Field(ge=0, le=180)],
    width_shift: Share,
    height_shift: Share,
    shear: Annotated[float, Field(ge=0, lt=45)],
    zoom: Share,
    crop: Share,
    horizontal_flip: bool,
    vertical_flip: bool,
    fill: Literal["nearest", "reflect", "constant"],
    brightness: Share,
    contrast: Share,
    saturation: Share,
    erasing: Probability,
    rand_augment: Annotated[int, Field(ge=0, le=randaugment.MOST)],
    magnitude: Annotated[float, Field(ge=0, le=randaugment.STRONGEST)],
    mixup: Alpha,
    cutmix: Alpha,
) -> tuple[np.ndarray, np.ndarray]:
    """A batch as training sees it: each image altered, then perhaps mixed with another that is altered as well.

    Rotation, shifts, shear, zoom, crop and flips are one affine warp (they mean what Keras's ImageDataGenerator means).

    Args:
        images: all training images: `images[rows]` is a uint8 array (n, height, width, channels).
        labels: int (count,), the class numbers of all of them.
        num_classes: of the targets.
        rows: int (n,): those of the batch.
        drawn: float (count, len(COLUMN)) in [-1, 1), from `draws`.
        rotation: the largest turn either way, degrees.
        width_shift, height_shift: the largest shift either way, as a fraction of the width or height.
        shear: the largest shear angle either way, degrees.
        zoom: scales each axis by a factor in [1 - zoom, 1 + zoom].
        crop: takes a part of at least 1 - crop of the area, anywhere, enlarged to the whole.
        horizontal_flip, vertical_flip: mirrors every other image, by chance.
        fill: what lies outside: the nearest pixel, the mirror image, or black.
        brightness, contrast, saturation: each by a factor in [1 - it, 1 + it].
        erasing: the probability that a rectangle is painted over with the image's mean (Random Erasing, 2020).
        rand_augment: how many operations of RandAugment (Cubuk et al., 2020), after the warp and the colours.
        magnitude: their strength, 0 to 30.
        mixup: the alpha of the beta distribution of the share of a second image (Zhang et al., mixup, 2018); 0 is off.
        cutmix: the same for a rectangle of a second image (Yun et al., CutMix, 2019). With both, chance takes either.

    Returns:
        uint8 array (n, height, width, channels), and float32 targets (n, num_classes) that sum to 1.
    """

    def altered(chosen: np.ndarray) -> np.ndarray:
        draw = drawn[chosen]
        pixels = warp(
            images[chosen], draw, rotation=rotation, shift=(width_shift, height_shift), shear=shear, zoom=zoom,
            crop=crop, flip=(horizontal_flip, vertical_flip), fill=fill,
        )  # fmt: skip
        if brightness or contrast or saturation:
            pixels = recolour(pixels, draw, brightness, contrast, saturation)
        if rand_augment:
            pixels = _randomly(pixels, draw, rand_augment, magnitude, BORDER[fill])
        return erase(pixels, draw, erasing) if erasing else pixels

    pixels, answers = altered(rows), one_hot(labels[rows], num_classes)
    if mixup or cutmix:
        partners = (_share(drawn[rows, COLUMN["partner"]]) * len(drawn)).astype(int)
        others = one_hot(labels[partners], num_classes)
        return mix(pixels, answers, altered(partners), others, drawn[rows], mixup, cutmix)
    return pixels, answers


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class numbers (n,) as float32 targets (n, num_classes)."""
    targets = np.zeros((len(labels), num_classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def warp(
    images: np.ndarray,
    drawn: np.ndarray,
    *,
    rotation: float,
    shift: tuple[float, float],
    shear: float,
    zoom: float,
    crop: float,
    flip: tuple[bool, bool],
    fill: str,
) -> np.ndarray:
    """One affine warp an image; `shift` and `flip` are (horizontal, vertical), the rest as in `batch`."""
    height, width = images.shape[1:3]
    result = np.empty_like(images)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    part = np.sqrt(1 - crop * _share(drawn[:, COLUMN["crop_area"]]))  # of each side
    for position, (image, draw) in enumerate(zip(images, drawn, strict=True)):
        turn, right, down, slant, zoom_x, zoom_y, mirror = draw[: len(WARP)]
        matrix = _matrix(
            turn=np.deg2rad(turn * rotation),
            slant=np.deg2rad(slant * shear),
            scale=(1 + zoom_x * zoom, 1 + zoom_y * zoom),
            flip=(flip[0] and mirror > 0, flip[1] and draw[COLUMN["upside_down"]] > 0),
        )
        moved = np.array([right * shift[0] * width, down * shift[1] * height])
        # A crop looks at a part of the plane about a centre of its own, which keeps it inside.
        aside = draw[[COLUMN["crop_x"], COLUMN["crop_y"]]] * (1 - part[position]) * np.array([width, height]) / 2
        affine = np.column_stack([matrix * part[position], centre + aside - matrix @ (centre * part[position] + moved)])
        warped = cv2.warpAffine(
            image, affine, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=BORDER[fill]
        )
        result[position] = warped.reshape(image.shape)
    return result


def recolour(
    images: np.ndarray, drawn: np.ndarray, brightness: float, contrast: float, saturation: float
) -> np.ndarray:
    """Scale the pixels, their distance from the image's mean, and their distance from grey."""
    factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    scale = {
        name: (1 + drawn[:, COLUMN[name]] * most).astype(np.float32)[:, None, None, None]
        for name, most in factors.items()
    }
    pixels = images.astype(np.float32) * scale["brightness"]
    if contrast:
        mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
        pixels = mean + (pixels - mean) * scale["contrast"]
    if saturation and images.shape[-1] == 3:
        grey = (pixels * GREY).sum(axis=-1, keepdims=True)
        pixels = grey + (pixels - grey) * scale["saturation"]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def erase(images: np.ndarray, drawn: np.ndarray, probability: float) -> np.ndarray:
    """Paint a rectangle of some images with the mean of their pixels."""
    height, width = images.shape[1:3]
    result = images.copy()
    chance = _share(drawn)
    for position in np.flatnonzero(chance[:, COLUMN["erase"]] < probability):
        area, aspect, x, y = chance[position, [COLUMN[f"erase_{name}"] for name in ("area", "aspect", "x", "y")]]
        pixels = (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
        ratio = np.exp(np.log(ERASED_ASPECT[0]) + aspect * np.log(ERASED_ASPECT[1] / ERASED_ASPECT[0]))
        rows = int(np.clip(round(np.sqrt(pixels * ratio)), 1, height))
        columns = int(np.clip(round(np.sqrt(pixels / ratio)), 1, width))
        top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
        mean = images[position].mean(axis=(0, 1)).round().astype(np.uint8)
        result[position, top : top + rows, left : left + columns] = mean
    return result


def mix(
    images: np.ndarray,
    targets: np.ndarray,
    others: np.ndarray,
    other_targets: np.ndarray,
    drawn: np.ndarray,
    mixup: float,
    cutmix: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image with another, or paste a rectangle of it; the targets take the same shares."""
    height, width = images.shape[1:3]
    chance = _share(drawn)
    cut = chance[:, COLUMN["mix"]] < (0.5 if mixup and cutmix else float(cutmix > 0))
    quantile = chance[:, COLUMN["share"]]
    kept = np.where(cut, beta.ppf(quantile, cutmix or 1, cutmix or 1), beta.ppf(quantile, mixup or 1, mixup or 1))
    result = images.copy()
    for position, share in enumerate(kept):
        if cut[position]:
            side = np.sqrt(1 - share)
            rows, columns = round(height * side), round(width * side)
            top = int(chance[position, COLUMN["box_y"]] * (height - rows + 1))
            left = int(chance[position, COLUMN["box_x"]] * (width - columns + 1))
            result[position, top : top + rows, left : left + columns] = others[
                position, top : top + rows, left : left + columns
            ]
            kept[position] = 1 - rows * columns / (height * width)
        else:
            result[position] = cv2.addWeighted(images[position], share, others[position], 1 - share, 0).reshape(
                images.shape[1:]
            )
    shares = kept.astype(np.float32)[:, None]
    return result, (targets * shares + other_targets * (1 - shares)).astype(np.float32)


def _randomly(images: np.ndarray, drawn: np.ndarray, count: int, magnitude: float, border: int) -> np.ndarray:
    which = [COLUMN[f"random_operation{number}"] for number in range(count)]
    signs = [COLUMN[f"random_sign{number}"] for number in range(count)]
    each = zip(images, _share(drawn[:, which]), drawn[:, signs], strict=True)
    return np.stack([randaugment.apply(image, chosen, sign, magnitude, border) for image, chosen, sign in each])


def _share(drawn: np.ndarray) -> np.ndarray:
    """From [-1, 1) to [0, 1)."""
    return (drawn + 1) / 2


def _matrix(turn: float, slant: float, scale: tuple[float, float], flip: tuple[bool, bool]) -> np.ndarray:
    """From output to input coordinates, about the centre: (2, 2)."""
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shear = np.array([[1, -np.sin(slant)], [0, np.cos(slant)]])
    zoom = np.diag([length * (-1 if mirrored else 1) for length, mirrored in zip(scale, flip, strict=True)])
    return rotate @ shear @ zoom
