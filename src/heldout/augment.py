"""Augmentation: one seeded affine warp an image, drawn anew in every epoch, on training images alone."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

BORDER = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101, "constant": cv2.BORDER_CONSTANT}
Share = Annotated[float, Field(ge=0, lt=1)]
DRAWS = 7


def draws(count: int, seed: int, epoch: int) -> np.ndarray:
    """What chance decides for every image in an epoch: uniform in [-1, 1), float64 of shape (count, 7).

    Row i depends on (seed, epoch, i) alone, whatever the number of images and the order of batches.
    """
    return np.random.default_rng([seed, epoch]).random((count, DRAWS)) * 2 - 1


def warp(
    images: np.ndarray,
    drawn: np.ndarray,
    *,
    rotation: Annotated[float, Field(ge=0, le=180)],
    width_shift: Share,
    height_shift: Share,
    shear: Annotated[float, Field(ge=0, lt=45)],
    zoom: Share,
    horizontal_flip: bool,
    fill: Literal["nearest", "reflect", "constant"],
) -> np.ndarray:
    """Rotate, shift, shear, zoom and flip each image by one affine warp (as Keras's ImageDataGenerator means them).

    Args:
        images: uint8 array (n, height, width, channels).
        drawn: float array (n, 7) in [-1, 1), from `draws`.
        rotation: the largest turn either way, degrees.
        width_shift, height_shift: the largest shift either way, as a fraction of the width or height.
        shear: the largest shear angle either way, degrees.
        zoom: scales each axis by a factor in [1 - zoom, 1 + zoom].
        horizontal_flip: mirrors every other image, by chance.
        fill: what lies outside: the nearest pixel, the mirror image, or black.

    Returns:
        uint8 array of the shape of `images`.
    """
    height, width = images.shape[1:3]
    result = np.empty_like(images)
    for position, (image, draw) in enumerate(zip(images, drawn, strict=True)):
        turn, right, down, slant, zoom_x, zoom_y, flip = draw
        matrix = _matrix(
            turn=np.deg2rad(turn * rotation),
            slant=np.deg2rad(slant * shear),
            scale=(1 + zoom_x * zoom, 1 + zoom_y * zoom),
            mirror=horizontal_flip and flip > 0,
        )
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = np.array([right * width_shift * width, down * height_shift * height])
        affine = np.column_stack([matrix, centre - matrix @ (centre + shift)])
        warped = cv2.warpAffine(
            image, affine, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=BORDER[fill]
        )
        result[position] = warped.reshape(image.shape)
    return result


def _matrix(turn: float, slant: float, scale: tuple[float, float], mirror: bool) -> np.ndarray:
    """From output to input coordinates, about the centre: (2, 2)."""
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shear = np.array([[1, -np.sin(slant)], [0, np.cos(slant)]])
    zoom = np.diag([scale[0] * (-1 if mirror else 1), scale[1]])
    return rotate @ shear @ zoom
