"""From a file's bytes to pixels: the one way that training, evaluation and prediction share."""

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
# The names for grey carry the scale alone; IMREAD_REDUCED_COLOR_* cannot be joined with IMREAD_COLOR_RGB.
REDUCED = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
# M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD and M_ARENA_MAX of malloc.h
GLIBC_KEEPS = {-3: 2**30, -1: 2**31 - 1, -2: 2**26, -8: 1}
Size = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Len(2, 2)]
Colour = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Len(3, 3)]
BACKGROUND = "white"  # what shows through where an image is transparent
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
REMEDY = "fetch it again or remove it"
Image.MAX_IMAGE_PIXELS = None  # the index has a limit of its own, data.max_megapixels


def prepare(
    content: bytes,
    name: str,
    out: np.ndarray | None = None,
    *,
    image_size: Size,
    channels: Literal[1, 3],
    resize: Literal["squash", "crop", "pad"],
    interpolation: Literal["area", "linear", "cubic", "lanczos"],
    pad_colour: Colour,
    fast_decode: bool,
) -> np.ndarray:
    """An encoded image as the network takes it.

    Args:
        content: the file's bytes.
        name: how an error calls the file.
        out: where the result goes, uint8 (*image_size, channels); a new array unless it is given.
        image_size: (height, width) of the result, in pixels.
        channels: 3 for RGB; 1 for grey, 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
        resize: `squash` to the size whatever the proportions; `crop` after the image covers the size, its proportions
            kept, about the centre; or `pad` (letterbox) what an image that fits into the size leaves free.
        interpolation: how OpenCV computes a pixel; `area` averages, which is right for shrinking photos.
        pad_colour: red, green and blue of what `pad` adds.
        fast_decode: decode a JPEG at 1/2 where that is still as large as the size wanted, at 1/4 or 1/8 where it is
            twice as large; nearly the same pixels in half the time (benchmarks/data.py measures both).

    Returns:
        uint8 array of shape (*image_size, channels), RGB or grey.

    Raises:
        ValueError: where the bytes are no image, or only part of one.
    """
    height, width = image_size
    factor = _fast_factor(content, max(image_size)) if fast_decode else 1
    pixels = decode(content, name, factor)
    # Of what is less than twice too large, linear interpolation sees every pixel, at a fifth of the cost.
    near = factor > 1 and max(pixels.shape[0] / height, pixels.shape[1] / width) < 2
    method = INTERPOLATION["linear" if near and interpolation == "area" else interpolation]
    out = np.empty((height, width, channels), np.uint8) if out is None else out
    colours = out if channels == 3 else np.empty((height, width, 3), np.uint8)
    if resize == "pad":
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        rows, columns = (max(1, round(side * scale)) for side in pixels.shape[:2])
        top, left = (height - rows) // 2, (width - columns) // 2
        colours[:] = pad_colour
        colours[top : top + rows, left : left + columns] = cv2.resize(pixels, (columns, rows), interpolation=method)
    else:
        whole = pixels if resize == "squash" else _centre(pixels, height / width)
        cv2.resize(whole, (width, height), dst=colours, interpolation=method)
    if channels == 1:
        out[..., 0] = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    return out


@cache
def for_threads() -> None:
    """Make OpenCV decode in many threads at least cost: one thread a call, and memory that is used again.

    glibc hands each decoded photo's memory back to the kernel, and takes a page fault for every 4 KB of the next one;
    keeping it saves 6 % of decoding and resizing 400 px photos. Other C libraries are left as they are.
    """
    cv2.setNumThreads(1)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in GLIBC_KEEPS.items():
            libc.mallopt(option, value)


def decode(content: bytes, name: str, factor: int = 1) -> np.ndarray:
    """The pixels of an encoded image, upright by its EXIF orientation.

    Grey becomes three equal channels, CMYK and palettes their colours, 16 bits 8, an animation its first frame;
    what is transparent shows white.

    Args:
        content: the file's bytes.
        name: how an error calls the file.
        factor: 2, 4 or 8 decodes a JPEG at that part of its size.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        ValueError: where the bytes are no image, or only part of one.
    """
    if not content.startswith(JPEG_START):
        pixels = _over_background(content) if _has_alpha(content) else _imdecode(content)
    else:
        pixels = _imdecode(content, factor)
    if fault := damage(content, pixels):
        raise ValueError(f"{name} {': '.join(fault)}")
    assert pixels is not None
    return pixels


def damage(content: bytes, pixels: np.ndarray | None) -> tuple[str, str] | None:
    """Why a file whose decoding gave `pixels` (or None) cannot be used, and what to do; None where it can."""
    if pixels is None:
        return unreadable(content)
    return ("is a JPEG cut short", REMEDY) if _is_cut_short(content) else None


def unreadable(content: bytes) -> tuple[str, str]:
    """Why a file that does not decode does not, and what to do."""
    if not content:
        return "is empty (0 bytes)", REMEDY
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return "is HEIC, which is not read here", "convert it to JPEG or PNG, or remove it"
    return "is no image that can be read", "convert it to JPEG or PNG, or remove it"


def thumbnail(content: bytes, short: int, side: int, transparent: bool) -> np.ndarray | None:
    """An image squashed to `side` x `side`, uint8 (side, side, 3), RGB; None where it does not decode.

    Args:
        content: the file's bytes.
        short: pixels of its shorter side; a JPEG is decoded at the smallest scale that keeps `side`.
        side: pixels.
        transparent: whether it may show its background.
    """
    if transparent:
        pixels = _over_background(content)
    else:
        factor = max([factor for factor in REDUCED if short >= factor * side], default=1)
        pixels = _imdecode(content, factor if content.startswith(JPEG_START) else 1)
    return None if pixels is None else cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def _imdecode(content: bytes, factor: int = 1) -> np.ndarray | None:
    """Decode at 1/`factor` of the size; imread would crash on a name that is not UTF-8 (OpenCV 5.0)."""
    if not content:
        return None
    return cv2.imdecode(np.frombuffer(content, np.uint8), REDUCED.get(factor, 0) | cv2.IMREAD_COLOR_RGB)


def _fast_factor(content: bytes, wanted: int) -> int:
    """By how much a JPEG is reduced to hold `wanted` pixels each way; whether EXIF turns it does not matter."""
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
    return max([factor for factor in REDUCED if short >= (factor if factor == 2 else 2 * factor) * wanted], default=1)


def jpeg_frame(content: bytes) -> tuple[int, int, int, int] | None:
    """Bits, height, width and channels of a JPEG without EXIF (ITU T.81, B.2.2), in a third of Pillow's time; None for
    all else, which is then Pillow's."""
    place = len(JPEG_START)
    while content.startswith(JPEG_START) and place + 10 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4])
        segment = content[place + 4 : place + 10]
        if (marker == 0xE1 and segment.startswith(b"Exif")) or marker in (0xD9, 0xDA, 0xFF):
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack(">BHHB", segment)
        place += 2 + length
    return None


def _centre(pixels: np.ndarray, proportion: float) -> np.ndarray:
    """The largest part about the centre whose height / width is `proportion`."""
    height, width = pixels.shape[:2]
    rows, columns = min(height, max(1, round(width * proportion))), min(width, max(1, round(height / proportion)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def is_transparent(image: Image.Image) -> bool:
    """Whether an opened image may show its background: by its header, where Pillow's own question may decode it."""
    palette = getattr(image.palette, "mode", "") if image.mode == "P" else ""
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info or palette.endswith("A")


def _has_alpha(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return is_transparent(image)
    except (OSError, ValueError, SyntaxError):
        return False


def _over_background(content: bytes) -> np.ndarray | None:
    """OpenCV drops alpha, so that the colours hidden under it would show."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
    return np.asarray(Image.alpha_composite(Image.new("RGBA", upright.size, BACKGROUND), upright).convert("RGB"))


def _is_cut_short(content: bytes) -> bool:
    """Whether it is part of a JPEG: that decodes to an array with a flat tail, and OpenCV says so on stderr alone."""
    if not content.startswith(JPEG_START) or JPEG_END in content[-64:]:
        return False
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except OSError:
        return True
    return False
