"""Views: what self-supervised pretraining sees of an image, by the operations of `augment`."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from heldout.augmentation import augment
from heldout.augmentation.augment import Fraction, ImageRows, Probability


def view_batch(
    images: ImageRows,
    rows: np.ndarray,
    drawn: np.ndarray,
    *,
    rotation: Annotated[float, Field(ge=0, le=180)],
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
) -> np.ndarray:
    """One view of each image of a batch; what is off here makes two views of one image too easy to tell.

    Args:
        images: `images[rows]` is a uint8 array (n, height, width, channels).
        rows: int (n,), the images of the batch.
        drawn: float (count, len(augment.COLUMN)), of `augment.draws`.
        rotation, crop, aspect_ratio, horizontal_flip, vertical_flip, fill_mode, brightness, contrast, saturation, hue,
            grayscale, blur: of `augment.augment_batch`.

    Returns:
        uint8 array (n, height, width, channels).
    """
    settings = augment.OFF | {
        "rotation": rotation, "crop": crop, "aspect_ratio": aspect_ratio, "horizontal_flip": horizontal_flip,
        "vertical_flip": vertical_flip, "fill_mode": fill_mode, "brightness": brightness, "contrast": contrast,
        "saturation": saturation, "hue": hue, "grayscale": grayscale, "blur": blur,
    }  # fmt: skip
    unlabeled = np.zeros(len(drawn), int)
    return augment.augment_batch(images, unlabeled, 1, rows, drawn, **settings)[0]
