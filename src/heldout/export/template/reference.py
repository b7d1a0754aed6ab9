"""From an image file to the network's pixels in plain numpy: what a port to another language has to do.

$ python self_test/reference.py        # in the folder with heldout.json: compares it with self_test/pixels.npy

Pillow undoes the compression of the file (JPEG, PNG, ...) and nothing else: no turning, no resizing.
1. Decode. JPEG with libjpeg's exact integer DCT (`ISLOW`, its default) and its smooth upsampling of chroma.
2. Color. Gray and palettes become RGB; what is transparent is laid over white. ICC profiles and gamma are ignored.
3. Turn as EXIF's orientation says, 1 to 8.
4. Resize in whole levels 0 to 255 (`squash`, `crop` or `pad`; the weights of cv2.resize), halves to the even number.
5. One channel, where `channels` is 1: 0.299 red + 0.587 green + 0.114 blue.
The model takes these pixels as they are, uint8 (n, height, width, channels), RGB: scaling is inside.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
TAPS = {"linear": 2, "cubic": 4, "lanczos": 8}
CUBIC_A = -0.75
ORIENTATION = 0x0112  # the tag of EXIF


def network_input(file: Any) -> np.ndarray:
    """uint8 (1, height, width, channels) of a file's path or bytes, as the export beside this folder takes it."""
    return decode_and_resize(file, **_description()["preprocess"])[None]


def class_names() -> list[str]:
    """The class of each probability."""
    return _description()["class_names"]


def decode_and_resize(
    file: Any, *, image_size: Any, channels: int, resize: str, interpolation: str, pad_color: Any, fast_decode: bool
) -> np.ndarray:
    """uint8 (height, width, channels) of a file's path or bytes, by the settings `preprocess` of heldout.json."""
    height, width = image_size
    image = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)
    factor = _fast_factor(image.size, max(height, width)) if fast_decode and image.format == "JPEG" else 1
    if factor > 1:  # libjpeg's scaled DCT, at 1/2, 1/4 or 1/8
        image.draft(None, (image.width // factor, image.height // factor))
    pixels = _upright(_rgb(image), image.getexif().get(ORIENTATION, 1))
    if factor > 1 and interpolation == "area" and max(pixels.shape[0] / height, pixels.shape[1] / width) < 2:
        interpolation = "linear"  # of what is less than twice too large
    if resize == "pad":
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        rows, columns = (max(1, round(side * scale)) for side in pixels.shape[:2])
        top, left = (height - rows) // 2, (width - columns) // 2
        result = np.empty((height, width, 3), np.uint8)
        result[:] = pad_color
        result[top : top + rows, left : left + columns] = resized(pixels, rows, columns, interpolation)
    else:
        region = _center_crop(pixels, height / width) if resize == "crop" else pixels
        result = resized(region, height, width, interpolation)
    return result if channels == 3 else np.rint(result @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None]


def resized(pixels: np.ndarray, rows: int, columns: int, interpolation: str) -> np.ndarray:
    """uint8 (rows, columns, 3): the image between two matrices of weights, one an axis."""
    height, width = pixels.shape[:2]
    shrinks = height >= rows and width >= columns
    vertical, horizontal = (
        _weights(height, rows, interpolation, shrinks),
        _weights(width, columns, interpolation, shrinks),
    )
    values = np.einsum("rh,hwc,qw->rqc", vertical, pixels.astype(np.float64), horizontal, optimize=True)
    return np.clip(np.rint(values.round(6)), 0, 255).astype(np.uint8)


def _weights(source: int, target: int, interpolation: str, shrinks: bool) -> np.ndarray:
    """How much each source pixel counts in each target pixel, (target, source); each row adds up to 1."""
    scale, number = source / target, np.arange(target)
    if interpolation == "area" and shrinks:
        starts, pixels = number[:, None] * scale, np.arange(source)[None]
        return np.maximum(np.minimum(starts + scale, pixels + 1) - np.maximum(starts, pixels), 0) / scale
    if interpolation == "area":  # an axis grows: linear, only where a target pixel covers two source pixels
        first = np.floor(number * scale)
        fraction = (number + 1) - (first + 1) / scale
        fraction = np.where(fraction <= 0, 0, fraction - np.floor(fraction))
        weights = np.stack([1 - fraction, fraction], axis=1)
    else:
        center = (number + 0.5) * scale - 0.5
        first = np.floor(center) - (TAPS[interpolation] // 2 - 1)
        distances = np.abs(center[:, None] - first[:, None] - np.arange(TAPS[interpolation]))
        weights = _kernel(distances, interpolation)
    columns = np.clip(first[:, None].astype(int) + np.arange(weights.shape[1]), 0, source - 1)  # borders repeat
    matrix = np.zeros((target, source))
    np.add.at(matrix, (number[:, None], columns), weights)
    return matrix


def _kernel(x: np.ndarray, interpolation: str) -> np.ndarray:
    if interpolation == "linear":
        return np.maximum(1 - x, 0)
    if interpolation == "cubic":
        near = ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1
        far = ((CUBIC_A * x - 5 * CUBIC_A) * x + 8 * CUBIC_A) * x - 4 * CUBIC_A
        return np.where(x <= 1, near, np.where(x < 2, far, 0))
    weights = np.where(x < 4, np.sinc(x) * np.sinc(x / 4), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 (height, width, 3), by the file's own rows and columns."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    elif image.mode.startswith(("I", "F")):
        raise ValueError(f"expected 8 bits a channel, got Pillow's mode {image.mode}: docs/data.md has the rule")
    return np.asarray(image.convert("RGB"))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rows and columns swapped first where that is so (5 to 8), then mirrored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.flip(pixels, flips) if flips else pixels


def _fast_factor(size: tuple[int, int], longest: int) -> int:
    """1/2 keeps the short side at least as long as the target's longest; 1/4 and 1/8 twice as long."""
    fits = [factor for factor in (2, 4, 8) if min(size) >= (factor if factor == 2 else 2 * factor) * longest]
    return max(fits, default=1)


def _center_crop(pixels: np.ndarray, aspect: float) -> np.ndarray:
    """The largest part about the center whose height / width is `aspect`."""
    height, width = pixels.shape[:2]
    rows, columns = min(height, max(1, round(width * aspect))), min(width, max(1, round(height / aspect)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _description() -> dict[str, Any]:
    return json.loads((FOLDER.parent / "heldout.json").read_text(encoding="utf-8"))


def main() -> None:
    """Compare this file's pixels of every image with self_test/pixels.npy."""
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    for entry, pixels in zip(expected["images"], np.load(FOLDER / "pixels.npy"), strict=True):
        difference = np.abs(network_input(FOLDER / entry["file"])[0].astype(int) - pixels).max()
        verdict = "as expected" if difference <= expected["tolerance"]["pixels"] else "NOT as expected"
        print(f"{entry['file']}: {verdict}, levels apart at most: {difference}")


if __name__ == "__main__":
    main()
