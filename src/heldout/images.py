"""From a file's bytes to pixels: the one way that training, evaluation and prediction share."""

import hashlib
import io
import os
import subprocess
from functools import cache
from pathlib import Path
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
    *,
    image_size: Size,
    resize: Literal["squash", "crop", "pad"],
    interpolation: Literal["area", "linear", "cubic", "lanczos"],
    pad_colour: Colour,
    fast_decode: bool,
) -> np.ndarray:
    """An encoded image as the network takes it.

    Args:
        content: the file's bytes.
        name: how an error calls the file.
        image_size: (height, width) of the result, in pixels.
        resize: `squash` to the size whatever the proportions; `crop` after the image covers the size, its proportions
            kept, about the centre; or `pad` (letterbox) what an image that fits into the size leaves free.
        interpolation: how OpenCV computes a pixel; `area` averages, which is right for shrinking photos.
        pad_colour: red, green and blue of what `pad` adds.
        fast_decode: decode a JPEG at 1/2, 1/4 or 1/8 where that is still as large as the size wanted; nearly the same
            pixels (39.7 dB on 400 px photos made 150 px) in half the time.

    Returns:
        uint8 array of shape (*image_size, 3), RGB.

    Raises:
        ValueError: where the bytes are no image, or only part of one.
    """
    height, width = image_size
    pixels = decode(content, name, at_least=(height, width) if fast_decode else None)
    method = INTERPOLATION[interpolation]
    if resize == "squash":
        return cv2.resize(pixels, (width, height), interpolation=method)
    if resize == "crop":
        return cv2.resize(_centre(pixels, height / width), (width, height), interpolation=method)
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    inner = [max(1, round(side * scale)) for side in pixels.shape[:2]]
    canvas = np.full((height, width, 3), pad_colour, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = cv2.resize(pixels, inner[::-1], interpolation=method)
    return canvas


def decode(content: bytes, name: str, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of an encoded image, upright by its EXIF orientation.

    Grey becomes three equal channels, CMYK and palettes their colours, 16 bits 8, an animation its first frame;
    what is transparent shows white.

    Args:
        content: the file's bytes.
        name: how an error calls the file.
        at_least: (height, width) that are enough: a JPEG may then be decoded at a reduced scale.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        ValueError: where the bytes are no image, or only part of one.
    """
    if not content.startswith(JPEG_START):
        pixels = _over_background(content) if _has_alpha(content) else _imdecode(content)
    else:
        pixels = _imdecode(content, _scale(content, at_least) if at_least else 1)
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
        short: pixels of its shorter side; a JPEG is decoded at the smallest scale that keeps twice `side`.
        side: pixels.
        transparent: whether it may show its background.
    """
    if transparent:
        pixels = _over_background(content)
    else:
        pixels = _imdecode(content, _factor(short, 2 * side) if content.startswith(JPEG_START) else 1)
    return None if pixels is None else cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def read(path: str, identity: str) -> bytes:
    """The bytes of an image that a manifest names, from its path or, where that is absent, from the DVC cache.

    DVC files an image under the md5 that is the manifest's identity, so that `dvc exp run --temp`, queues and partial
    checkouts, which lack the folder, find it all the same.

    Raises:
        ValueError: where the image is in neither place, or its bytes are not those that the index saw.
    """
    try:
        content = _bytes(path)
    except FileNotFoundError:
        place = _dvc_cache() / identity[:2] / identity[2:]
        if not place.exists():
            raise ValueError(
                f"{path} is neither in the work tree nor in the DVC cache: run `dvc pull` or restore it"
            ) from None
        content = place.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != identity:
        raise ValueError(f"{path} is not the image that the index saw: run `dvc repro` to index it again")
    return content


def _bytes(path: str) -> bytes:
    """The whole file, by one read of its size: 40 µs less than Path.read_bytes."""
    number = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(number).st_size
        content = os.read(number, size)
        while len(content) < size and (more := os.read(number, size - len(content))):
            content += more
        return content
    finally:
        os.close(number)


def _imdecode(content: bytes, factor: int = 1) -> np.ndarray | None:
    """Decode at 1/`factor` of the size; imread would crash on a name that is not UTF-8 (OpenCV 5.0)."""
    if not content:
        return None
    return cv2.imdecode(np.frombuffer(content, np.uint8), REDUCED.get(factor, 0) | cv2.IMREAD_COLOR_RGB)


def _scale(content: bytes, at_least: tuple[int, int]) -> int:
    """By how much a JPEG may be reduced and still hold `at_least` (height, width)."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            # Whether EXIF turns it is not asked: both ways must be large enough.
            return _factor(min(image.size), max(at_least))
    except (OSError, ValueError, SyntaxError):
        return 1


def _factor(short: int, wanted: int) -> int:
    return max([factor for factor in REDUCED if short >= factor * wanted], default=1)


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


@cache
def _dvc_cache() -> Path:
    found = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "files" / "md5"
