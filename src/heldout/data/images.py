"""From a file's bytes to pixels: the same code for training, evaluation and prediction."""

import ctypes
import io
import platform
import struct
from functools import cache
from typing import Annotated, Literal

import cv2
import numpy as np
from annotated_types import Len
from PIL import Image, ImageOps
from pydantic import Field

INTERPOLATION = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
# The gray flags hold the scale alone; IMREAD_REDUCED_COLOR_* cannot be combined with IMREAD_COLOR_RGB.
REDUCED = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
# M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD and M_ARENA_MAX of malloc.h
MALLOC_OPTIONS = {-3: 2**30, -1: 2**31 - 1, -2: 2**26, -8: 1}
Size = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Len(2, 2)]
Color = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Len(3, 3)]
BACKGROUND = "white"  # where an image is transparent
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
REMEDY = "fetch it again or remove it"
Image.MAX_IMAGE_PIXELS = None  # the index has a limit of its own, data.max_megapixels


def decode_and_resize(
    content: bytes,
    name: str,
    out: np.ndarray | None = None,
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
        ValueError: where the bytes are not an image, or are a truncated one.
    """
    height, width = image_size
    factor = _fast_factor(content, max(image_size)) if fast_decode else 1
    pixels = decode(content, name, factor)
    # Of what is less than twice too large, linear interpolation sees every pixel, at a fifth of the cost.
    almost_sized = factor > 1 and max(pixels.shape[0] / height, pixels.shape[1] / width) < 2
    method = INTERPOLATION["linear" if almost_sized and interpolation == "area" else interpolation]
    out = np.empty((height, width, channels), np.uint8) if out is None else out
    rgb = out if channels == 3 else np.empty((height, width, 3), np.uint8)
    if resize == "pad":
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        rows, columns = (max(1, round(side * scale)) for side in pixels.shape[:2])
        top, left = (height - rows) // 2, (width - columns) // 2
        rgb[:] = pad_color
        rgb[top : top + rows, left : left + columns] = cv2.resize(pixels, (columns, rows), interpolation=method)
    else:
        region = pixels if resize == "squash" else _center_crop(pixels, height / width)
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


def decode(content: bytes, name: str, factor: int = 1) -> np.ndarray:
    """The pixels of an encoded image, upright by its EXIF orientation.

    Gray becomes three equal channels, CMYK and palettes become RGB, 16 bits 8, an animation its first frame, and
    what is transparent white.

    Args:
        content: the file's bytes.
        name: the file's name in errors.
        factor: 2, 4 or 8 decodes a JPEG at 1/`factor` of its size.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        ValueError: where the bytes are not an image, or are a truncated one.
    """
    if not content.startswith(JPEG_START):
        pixels = _composite(content) if _has_alpha(content) else _imdecode(content)
    else:
        pixels = _imdecode(content, factor)
    if problem := decode_problem(content, pixels):
        raise ValueError(f"{name} {': '.join(problem)}")
    assert pixels is not None
    return pixels


def decode_problem(content: bytes, pixels: np.ndarray | None) -> tuple[str, str] | None:
    """Why a file whose decoding gave `pixels` (or None) cannot be used, and what to do; None where it can."""
    if pixels is None:
        return unreadable_problem(content)
    return ("is a truncated JPEG", REMEDY) if _is_truncated(content) else None


def unreadable_problem(content: bytes) -> tuple[str, str]:
    """Why a file cannot be decoded, and what to do."""
    if not content:
        return "is empty (0 bytes)", REMEDY
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return "is HEIC, which is not supported", "convert it to JPEG or PNG, or remove it"
    if _is_truncated(content):
        return "is a truncated JPEG", REMEDY
    return "cannot be decoded as an image", "convert it to JPEG or PNG, or remove it"


def thumbnail(content: bytes, short: int, side: int, transparent: bool) -> np.ndarray | None:
    """An image squashed to `side` x `side`, uint8 (side, side, 3), RGB; None where it cannot be decoded.

    Args:
        content: the file's bytes.
        short: pixels of its shorter side; a JPEG is decoded at the smallest scale that keeps `side`.
        side: pixels.
        transparent: whether it may have transparent pixels.
    """
    if transparent:
        pixels = _composite(content)
    else:
        factor = max([factor for factor in REDUCED if short >= factor * side], default=1)
        pixels = _imdecode(content, factor if content.startswith(JPEG_START) else 1)
    return None if pixels is None else cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def _imdecode(content: bytes, factor: int = 1) -> np.ndarray | None:
    """Decode at 1/`factor` of the size; imread would crash on a name that is not UTF-8 (OpenCV 5.0)."""
    if not content:
        return None
    return cv2.imdecode(np.frombuffer(content, np.uint8), REDUCED.get(factor, 0) | cv2.IMREAD_COLOR_RGB)


def _fast_factor(content: bytes, min_side: int) -> int:
    """The factor at which a JPEG keeps `min_side` pixels on both sides; whether EXIF rotates it does not matter."""
    if not content.startswith(JPEG_START):
        return 1
    if frame := jpeg_frame(content):
        short = min(frame[1:3])
    else:
        try:
            with Image.open(io.BytesIO(content)) as image:
                short = min(image.size)
        except (OSError, ValueError, SyntaxError):
            return 1
    # 1/4 and 1/8 save little more than 1/2, and lose 4 dB where nothing is left to shrink.
    return max([factor for factor in REDUCED if short >= (factor if factor == 2 else 2 * factor) * min_side], default=1)


def jpeg_frame(content: bytes) -> tuple[int, int, int, int] | None:
    """Bits, height, width and channels of a JPEG without EXIF (ITU T.81, B.2.2), in a third of Pillow's time; None for
    all else, which is left to Pillow."""
    offset = len(JPEG_START)
    while content.startswith(JPEG_START) and offset + 10 <= len(content) and content[offset] == 0xFF:
        marker, length = content[offset + 1], int.from_bytes(content[offset + 2 : offset + 4])
        segment = content[offset + 4 : offset + 10]
        if (marker == 0xE1 and segment.startswith(b"Exif")) or marker in (0xD9, 0xDA, 0xFF):
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack(">BHHB", segment)
        offset += 2 + length
    return None


def _center_crop(pixels: np.ndarray, aspect: float) -> np.ndarray:
    """The largest part about the center whose height / width is `aspect`."""
    height, width = pixels.shape[:2]
    rows, columns = min(height, max(1, round(width * aspect))), min(width, max(1, round(height / aspect)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def is_transparent(image: Image.Image) -> bool:
    """Whether an opened image may have transparent pixels: by its header, where Pillow's own check may decode it."""
    palette = getattr(image.palette, "mode", "") if image.mode == "P" else ""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info or palette.endswith("A")


def _has_alpha(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return is_transparent(image)
    except (OSError, ValueError, SyntaxError):
        return False


def _composite(content: bytes) -> np.ndarray | None:
    """The image over the background, by Pillow: OpenCV drops alpha, so that the colors hidden by it would show."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
    return np.asarray(Image.alpha_composite(Image.new("RGBA", upright.size, BACKGROUND), upright).convert("RGB"))


def _is_truncated(content: bytes) -> bool:
    """Whether a JPEG is truncated: OpenCV may decode it to an array whose end is flat, and says so on stderr alone."""
    if not content.startswith(JPEG_START) or JPEG_END in content[-64:]:
        return False
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except OSError:
        return True
    return False
