"""Corruptions: images changed in seven ways at five strengths (Hendrycks and Dietterich 2019), to test robustness.

The strengths of each corruption lie between those of CIFAR-10-C (32 pixels) and of ImageNet-C (224 pixels), geometric
in the shorter side, so that they fit any size. Chance is keyed by the image's id and the corruption's name: every model
meets the same images, and the five strengths of one image differ in nothing else.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

STRENGTHS = 5
SMALL_SIDE, LARGE_SIDE = 32, 224  # pixels
# The five strengths at 32 and at 224 pixels, of make_cifar_c.py and make_imagenet_c.py.
LEVELS = {
    "gaussian_noise": ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),  # of the range of a pixel
    "blur": ((0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6)),  # pixels: the Gaussian's standard deviation
    "jpeg": ((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),  # quality
    "brightness": ((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),  # added to the value of HSV
    "contrast": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),  # of the distance from the mean
    "fog": ((0.2, 0.5, 0.75, 1, 1.5), (1.5, 2, 2.5, 2.5, 3)),  # of the range of a pixel
    "pixelate": ((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),  # of the side
}
FOG_DECAYS = ((3, 3, 2.5, 2, 1.75), (2, 2, 1.7, 1.5, 1.4))  # how much smoother each finer grid is


def corrupt(images: np.ndarray, ids: np.ndarray, corruption: str, strength: int) -> np.ndarray:
    """Images after a corruption.

    Args:
        images: uint8 (n, height, width, channels), of 1 or 3 channels.
        ids: (n,), which chance depends on.
        corruption: one of `LEVELS`.
        strength: 1 to 5.

    Returns:
        uint8 array of the images' shape.
    """
    level = _at_size(LEVELS[corruption], strength, min(images.shape[1:3]))
    result = np.empty_like(images)
    for row, (image, identity) in enumerate(zip(images, ids, strict=True)):
        if corruption == "fog":
            decay = _at_size(FOG_DECAYS, strength, min(images.shape[1:3]))
            height, width, _ = image.shape
            changed = _fog(image, level, plasma(height, width, decay, _generator(corruption, identity)))
        elif corruption == "gaussian_noise":
            noise = _generator(corruption, identity).standard_normal(image.shape, np.float32)
            changed = image + 255 * level * noise
        else:
            changed = OPERATIONS[corruption](image, level)
        result[row] = np.clip(np.rint(changed), 0, 255).reshape(image.shape)
    return result


def plasma(height: int, width: int, decay: float, generator: np.random.Generator) -> np.ndarray:
    """A cloud, float32 (height, width) from 0 to 1: noise on ever finer grids, each weaker by `decay` (as the paper's
    diamond-square fractal, of any size)."""
    steps = max(1, math.ceil(math.log2(max(height, width))))
    cloud = np.zeros((height, width), np.float32)
    for step in range(1, steps + 1):
        coarse = generator.standard_normal((2**step + 1, 2**step + 1)).astype(np.float32)
        cloud += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) / np.float32(decay**step)
    cloud -= cloud.min()
    return cloud / max(float(cloud.max()), 1e-6)


def _at_size(levels: tuple[tuple[float, ...], tuple[float, ...]], strength: int, side: int) -> float:
    """The level of a strength for images whose shorter side is so long."""
    small, large = (part[strength - 1] for part in levels)
    position = math.log(side / SMALL_SIDE) / math.log(LARGE_SIDE / SMALL_SIDE)
    return small * (large / small) ** min(max(position, 0.0), 1.0)


def _generator(corruption: str, identity: str) -> np.random.Generator:
    return np.random.default_rng([*corruption.encode(), *identity.encode()])


def _fog(image: np.ndarray, level: float, cloud: np.ndarray) -> np.ndarray:
    brightest = max(float(image.max()), 1.0)
    foggy = image + 255 * level * cloud[..., None]
    return foggy * brightest / (brightest + 255 * level)


def _jpeg(image: np.ndarray, level: float) -> np.ndarray:
    """As its file would be; red and blue change places on either side, for the format's sake."""
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(level)])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE if image.shape[-1] == 1 else cv2.IMREAD_COLOR_RGB))


def _brightness(image: np.ndarray, level: float) -> np.ndarray:
    """More of the value of HSV, the largest channel; the others grow in proportion, and black becomes gray."""
    value = image.max(axis=-1, keepdims=True).astype(np.float32)
    brighter = np.minimum(value + 255 * level, 255)
    return np.where(value > 0, image * (brighter / np.maximum(value, 1)), brighter)


def _contrast(image: np.ndarray, level: float) -> np.ndarray:
    mean = image.mean(axis=(0, 1), keepdims=True)
    return (image - mean) * level + mean


def _pixelate(image: np.ndarray, level: float) -> np.ndarray:
    height, width = image.shape[:2]
    small = (max(1, int(width * level)), max(1, int(height * level)))
    coarse = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "blur": lambda image, level: cv2.GaussianBlur(image, (0, 0), level),
    "jpeg": _jpeg,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
}
