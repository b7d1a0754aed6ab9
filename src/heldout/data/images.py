"""From a file's bytes to the network's pixels: the same code for training, evaluation and prediction."""

import ctypes
import math
import platform
from functools import cache
from typing import Annotated, Literal

import cv2
import numpy as np
from annotated_types import Len
from pydantic import Field

from heldout.data.decoding import decoders, headers
from heldout.data.decoding.problems import UnreadableImage

INTERPOLATION = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
# M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD and M_ARENA_MAX of malloc.h
MALLOC_OPTIONS = {-3: 2**30, -1: 2**31 - 1, -2: 2**26, -8: 1}
Size = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Len(2, 2)]
Color = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Len(3, 3)]


def decode_and_resize(
    content: bytes,
    name: str,
    out: np.ndarray | None = None,
    max_megapixels: float = math.inf,
    *,
    image_size: Size,
    channels: Literal[1, 3],
    resize: Literal["squash", "crop", "pad"],
    interpolation: Literal["area", "linear", "cubic", "lanczos"],
    pad_color: Color,
    fast_decode: bool,
) -> np.ndarray:
    """An encoded image as the network takes it.

    Args:
        content: the file's bytes.
        name: the file's name in errors.
        out: the array that gets the result, uint8 (*image_size, channels); a new one unless it is given.
        max_megapixels: a larger image is refused, by its header, before anything is decoded; the index has let pass
            what `preprocess` reads.
        image_size: (height, width) of the result, in pixels.
        channels: 3 for RGB; 1 for gray, 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
        resize: `squash` to the size, whatever the aspect ratio; `crop` to the center after the image covers the size,
            its aspect ratio kept; or `pad` (letterbox) what an image that fits into the size leaves free.
        interpolation: how OpenCV computes a pixel; `area` averages, which is right for shrinking photos.
        pad_color: red, green and blue of what `pad` adds.
        fast_decode: decode a JPEG at 1/2 where that is still as large as `image_size`, at 1/4 or 1/8 where it is
            twice as large; nearly the same pixels in half the time (benchmarks/data.py measures both).

    Returns:
        uint8 array of shape (*image_size, channels), RGB or gray.

    Raises:
        ValueError: where the bytes are no image of a format that is read, are damaged or truncated, or have more than
            `max_megapixels`; one line.
    """
    try:
        encoded = headers.read(content, max_megapixels)
        factor = _fast_factor(encoded.header, max(image_size)) if fast_decode else 1
        decoded = decoders.decode(encoded, factor)
    except UnreadableImage as error:
        raise ValueError(f"{name} {error}") from error
    # Of what is less than twice too large, linear interpolation sees every pixel, at a fifth of the cost.
    sides = zip(decoded.shape[:2], image_size, strict=True)
    almost_sized = factor > 1 and max(side / target for side, target in sides) < 2
    method = "linear" if almost_sized and interpolation == "area" else interpolation
    return resize_pixels(decoded, out, image_size, channels, resize, method, pad_color)


def resize_pixels(
    decoded: np.ndarray,
    out: np.ndarray | None,
    image_size: Size,
    channels: Literal[1, 3],
    resize: Literal["squash", "crop", "pad"],
    interpolation: Literal["area", "linear", "cubic", "lanczos"],
    pad_color: Color,
) -> np.ndarray:
    """Pixels uint8 (height, width, 3), RGB, of any size, as the network takes them: uint8 (*image_size, channels).

    Args: as `decode_and_resize`.
    """
    height, width = image_size
    method = INTERPOLATION[interpolation]
    out = np.empty((height, width, channels), np.uint8) if out is None else out
    rgb = out if channels == 3 else np.empty((height, width, 3), np.uint8)
    if resize == "pad":
        scale = min(height / decoded.shape[0], width / decoded.shape[1])
        rows, columns = (max(1, round(side * scale)) for side in decoded.shape[:2])
        top, left = (height - rows) // 2, (width - columns) // 2
        rgb[:] = pad_color
        rgb[top : top + rows, left : left + columns] = cv2.resize(decoded, (columns, rows), interpolation=method)
    else:
        region = decoded if resize == "squash" else _center_crop(decoded, height / width)
        cv2.resize(region, (width, height), dst=rgb, interpolation=method)
    if channels == 1:
        out[..., 0] = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return out


@cache
def configure_opencv() -> None:
    """Make OpenCV decode in many threads at the lowest cost: one thread a call, and memory that is reused.

    glibc returns each decoded photo's memory to the kernel, and takes a page fault for every 4 KB of the next one;
    keeping it saves 6 % of decoding and resizing 400 px photos. Other C libraries are left as they are.
    """
    cv2.setNumThreads(1)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in MALLOC_OPTIONS.items():
            libc.mallopt(option, value)


def decode(content: bytes, name: str, max_megapixels: float = math.inf) -> np.ndarray:
    """The pixels of an encoded image in full size: uint8 array of shape (height, width, 3), RGB, upright.

    Args and Raises: as `decode_and_resize`.
    """
    try:
        return decoders.decode(headers.read(content, max_megapixels))
    except UnreadableImage as error:
        raise ValueError(f"{name} {error}") from error


def thumbnail(encoded: headers.Encoded, side: int) -> np.ndarray:
    """An image squashed to `side` x `side`, uint8 (side, side, 3), RGB; a JPEG is decoded at the smallest scale that
    keeps `side`.

    Raises:
        UnreadableImage: as `decoders.decode`.
    """
    short = min(encoded.header.width, encoded.header.height)
    factor = max([factor for factor in decoders.REDUCED if short >= factor * side], default=1)
    return cv2.resize(decoders.decode(encoded, factor), (side, side), interpolation=cv2.INTER_AREA)


def _fast_factor(header: headers.Header, min_side: int) -> int:
    """The factor at which a JPEG keeps `min_side` pixels on both sides; whether EXIF turns it does not matter."""
    short = min(header.width, header.height)
    # 1/4 and 1/8 save little more than 1/2, and lose 4 dB where nothing is left to shrink.
    large_enough = [
        factor for factor in decoders.REDUCED if short >= (factor if factor == 2 else 2 * factor) * min_side
    ]
    return max(large_enough, default=1) if header.format == "JPEG" else 1


def _center_crop(decoded: np.ndarray, aspect: float) -> np.ndarray:
    """The largest part about the center whose height / width is `aspect`."""
    height, width = decoded.shape[:2]
    rows, columns = min(height, max(1, round(width * aspect))), min(width, max(1, round(height / aspect)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return decoded[top : top + rows, left : left + columns]
