"""Changes of color and sharpness, each image by its own draws: brightness, contrast, saturation, hue, gray, blur."""

import cv2
import numpy as np

GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue: their brightness (ITU-R BT.601)
HUES = 256  # of the color circle, in OpenCV's HSV_FULL
BLUR_SIGMA = (0.1 / 224, 2.0 / 224)  # of the shorter side: SimCLR's 0.1 to 2 pixels of 224
LEAST_BLUR = 1.0  # pixels, of the strongest: what the above gives for a small image changes none of its pixels


def adjust_color(
    images: np.ndarray, brightness: np.ndarray, contrast: np.ndarray | None, saturation: np.ndarray | None
) -> np.ndarray:
    """Scale the pixels, their distance from the image's mean, and their distance from gray.

    Args:
        images: uint8 (n, height, width, channels).
        brightness, contrast, saturation: a factor an image, float (n,); None leaves an operation out.
    """

    def column(factors: np.ndarray) -> np.ndarray:
        return factors.astype(np.float32)[:, None, None, None]

    pixels = images.astype(np.float32) * column(brightness)
    if contrast is not None:
        mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
        pixels = mean + (pixels - mean) * column(contrast)
    if saturation is not None and images.shape[-1] == 3:
        gray = _gray(pixels)
        pixels = gray + (pixels - gray) * column(saturation)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def shift_hue(images: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Turn each image's hues around the color circle, in HSV; an image of one channel has none.

    Args:
        images: uint8 (n, height, width, channels), red, green, blue.
        turns: float (n,), in turns of the circle.
    """
    if images.shape[-1] != 3:
        return images
    result = np.empty_like(images)
    for position, (image, steps) in enumerate(zip(images, np.rint(turns * HUES).astype(int).tolist(), strict=True)):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        hsv[..., 0] = (hsv[..., 0].astype(int) + steps) % HUES
        result[position] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    return result


def drop_color(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Make the chosen images gray.

    Args:
        images: uint8 (n, height, width, channels).
        chosen: bool (n,).
    """
    if images.shape[-1] != 3:
        return images
    result = images.copy()
    result[chosen] = np.rint(_gray(images[chosen])).astype(np.uint8)
    return result


def _gray(images: np.ndarray) -> np.ndarray:
    """The brightness of each pixel, float32 (n, height, width, 1): a channel at a time, which is several times faster
    than a sum over an axis of three."""
    red, green, blue = (images[..., channel : channel + 1] * weight for channel, weight in enumerate(GRAY_WEIGHTS))
    return red + green + blue


def blur(images: np.ndarray, chosen: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Blur the chosen images with a Gaussian (Chen et al., SimCLR, 2020, appendix A).

    Args:
        images: uint8 (n, height, width, channels).
        chosen: bool (n,).
        strength: float (n,) in [0, 1), from a standard deviation of 0.1 to 2 pixels in an image of 224; at
            its strongest a pixel or more in any.
    """
    result = images.copy()
    low, high = (limit * min(images.shape[1:3]) for limit in BLUR_SIGMA)
    high = max(high, LEAST_BLUR)
    for position in np.flatnonzero(chosen):
        sigma = low + float(strength[position]) * (high - low)
        result[position] = cv2.GaussianBlur(images[position], (0, 0), sigma).reshape(images.shape[1:])
    return result
