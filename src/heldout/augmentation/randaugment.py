"""RandAugment (Cubuk et al., 2020): a few operations of fourteen, drawn anew for each image, all of one strength."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

MAX_MAGNITUDE = 30  # the paper's scale of magnitudes
MAX_OPS = 3  # operations an image
Operation = Callable[[np.ndarray, float, int], np.ndarray]  # (image, strength in [-1, 1], border mode) -> image


def apply(
    image: np.ndarray, operation_draws: np.ndarray, sign_draws: np.ndarray, magnitude: float, border_mode: int
) -> np.ndarray:
    """An image after some operations.

    Args:
        image: uint8 (height, width, channels), of 1 or 3 channels.
        operation_draws: in [0, 1), (n,): which operation of `OPERATIONS`, each equally often.
        sign_draws: in [-1, 1), (n,): an operation that goes either way goes down or left below 0.
        magnitude: 0 to 30, the strength of the paper's tables.
        border_mode: OpenCV's border mode, for what a shift uncovers.

    Returns:
        uint8 array of the image's shape.
    """
    operations = list(OPERATIONS.values())
    for operation_draw, sign_draw in zip(operation_draws, sign_draws, strict=True):
        strength = magnitude / MAX_MAGNITUDE * (1 if sign_draw >= 0 else -1)
        operation = operations[int(operation_draw * len(operations))]
        image = operation(image, strength, border_mode).reshape(image.shape)
    return image


def _pillow(function: Callable[[Image.Image, float], Image.Image]) -> Operation:
    """An operation of Pillow's: `function(image, strength)`."""

    def operation(image: np.ndarray, strength: float, border_mode: int) -> np.ndarray:
        pillow_image = Image.fromarray(image.squeeze(axis=-1) if image.shape[-1] == 1 else image)
        return np.asarray(function(pillow_image, strength))

    return operation


def _affine(coefficients: Callable[[float], tuple[float, float, float, float]]) -> Operation:
    """A shear about the center and a shift: `coefficients(strength)` gives how far x moves for each y, y for each x,
    and the shifts of x and y as fractions of width and height."""

    def operation(image: np.ndarray, strength: float, border_mode: int) -> np.ndarray:
        height, width = image.shape[:2]
        shear_x, shear_y, shift_x, shift_y = coefficients(strength)
        center_x, center_y = (width - 1) / 2, (height - 1) / 2
        affine = np.array([
            [1, shear_x, -shear_x * center_y + shift_x * width],
            [shear_y, 1, -shear_y * center_x + shift_y * height],
        ])  # fmt: skip
        return _warp(image, affine, border_mode)

    return operation


def _rotate(image: np.ndarray, strength: float, border_mode: int) -> np.ndarray:
    height, width = image.shape[:2]
    return _warp(image, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30 * strength, 1), border_mode)


def _warp(image: np.ndarray, affine: np.ndarray, border_mode: int) -> np.ndarray:
    return cv2.warpAffine(image, affine, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=border_mode)


# The strengths are those of the paper's code for a magnitude of 30: its 150 of 331 pixels are a fraction here.
OPERATIONS: dict[str, Operation] = {
    "identity": lambda image, strength, border_mode: image,
    "autocontrast": _pillow(lambda image, strength: ImageOps.autocontrast(image)),
    "equalize": _pillow(lambda image, strength: ImageOps.equalize(image)),
    "rotate": _rotate,
    "solarize": _pillow(lambda image, strength: ImageOps.solarize(image, round(256 * (1 - abs(strength))))),
    "color": _pillow(lambda image, strength: ImageEnhance.Color(image).enhance(1 + 0.9 * strength)),
    "posterize": _pillow(lambda image, strength: ImageOps.posterize(image, 8 - round(4 * abs(strength)))),
    "contrast": _pillow(lambda image, strength: ImageEnhance.Contrast(image).enhance(1 + 0.9 * strength)),
    "brightness": _pillow(lambda image, strength: ImageEnhance.Brightness(image).enhance(1 + 0.9 * strength)),
    "sharpness": _pillow(lambda image, strength: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * strength)),
    "shear_x": _affine(lambda strength: (0.3 * strength, 0, 0, 0)),
    "shear_y": _affine(lambda strength: (0, 0.3 * strength, 0, 0)),
    "translate_x": _affine(lambda strength: (0, 0, 150 / 331 * strength, 0)),
    "translate_y": _affine(lambda strength: (0, 0, 0, 150 / 331 * strength)),
}
