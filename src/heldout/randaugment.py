"""RandAugment (Cubuk et al., 2020): a few operations of fourteen, drawn anew for each image, all of one strength."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

STRONGEST = 30  # the paper's scale of magnitudes
MOST = 3  # operations an image


def apply(image: np.ndarray, chosen: np.ndarray, signs: np.ndarray, magnitude: float, border: int) -> np.ndarray:
    """An image after some operations.

    Args:
        image: uint8 (height, width, channels), of 1 or 3 channels.
        chosen: in [0, 1), (n,): which operation of `OPERATIONS`, each equally often.
        signs: (n,): where an operation goes either way, it goes down or left below 0.
        magnitude: 0 to 30, the strength of the paper's tables.
        border: OpenCV's border mode, for what a shift uncovers.

    Returns:
        uint8 array of the image's shape.
    """
    names = list(OPERATIONS)
    for which, sign in zip(chosen, signs, strict=True):
        strength = magnitude / STRONGEST * (1 if sign >= 0 else -1)
        image = OPERATIONS[names[int(which * len(names))]](image, strength, border).reshape(image.shape)
    return image


def _pillow(change: Callable[[Image.Image, float], Image.Image]) -> Callable:
    def changed(image: np.ndarray, strength: float, border: int) -> np.ndarray:
        return np.asarray(change(Image.fromarray(image.squeeze(axis=-1) if image.shape[-1] == 1 else image), strength))

    return changed


def _affine(change: Callable[[float], tuple[float, float, float, float]]) -> Callable:
    """A shear about the centre and a shift; `change(strength)` gives how far x moves for each y, y for each x, and the
    shifts of x and y as shares of width and height."""

    def changed(image: np.ndarray, strength: float, border: int) -> np.ndarray:
        height, width = image.shape[:2]
        slant_x, slant_y, shift_x, shift_y = change(strength)
        x, y = (width - 1) / 2, (height - 1) / 2
        affine = np.array([
            [1, slant_x, -slant_x * y + shift_x * width],
            [slant_y, 1, -slant_y * x + shift_y * height],
        ])  # fmt: skip
        return _warped(image, affine, border)

    return changed


def _rotate(image: np.ndarray, strength: float, border: int) -> np.ndarray:
    height, width = image.shape[:2]
    return _warped(image, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30 * strength, 1), border)


def _warped(image: np.ndarray, affine: np.ndarray, border: int) -> np.ndarray:
    return cv2.warpAffine(image, affine, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=border)


# The strengths are those of the paper's code for a magnitude of 30: what is 150 of 331 pixels there is a share here.
OPERATIONS: dict[str, Callable[[np.ndarray, float, int], np.ndarray]] = {
    "identity": lambda image, strength, border: image,
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
