"""From a file's bytes to pixels: the one way that training, evaluation and prediction share."""

import hashlib
import io
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
Size = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Len(2, 2)]
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
UNREADABLE = ("is no image that can be read", "convert it to JPEG or PNG, or remove it")
CUT_SHORT = ("is a JPEG cut short", "fetch it again or remove it")
Image.MAX_IMAGE_PIXELS = None  # the index has a limit of its own, data.max_megapixels


def decode(content: bytes, name: str) -> np.ndarray:
    """The pixels of an encoded image, upright by its EXIF orientation.

    Grey becomes three equal channels, CMYK and palettes their colours, 16 bits 8, an animation its first frame;
    what is transparent shows white.

    Args:
        content: the file's bytes.
        name: how an error calls the file.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        ValueError: where the bytes are no image, or only part of one.
    """
    if not content.startswith(JPEG_START) and _has_alpha(content):
        pixels = _over_white(content)
    else:
        # imdecode, not imread: imread crashes the process on a name that is not UTF-8 (OpenCV 5.0).
        pixels = _imdecode(content, cv2.IMREAD_COLOR_RGB)
    if pixels is None or _is_cut_short(content):
        raise ValueError(f"{name} {': '.join(CUT_SHORT if pixels is not None else UNREADABLE)}")
    return pixels


def damage(content: bytes) -> tuple[str, str] | None:
    """Why `decode` would refuse these bytes, and what to do; it decodes a JPEG at an eighth of its size."""
    if _imdecode(content, cv2.IMREAD_REDUCED_COLOR_8) is None:
        return UNREADABLE
    return CUT_SHORT if _is_cut_short(content) else None


def _imdecode(content: bytes, flags: int) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None


def _has_alpha(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.has_transparency_data
    except (OSError, ValueError, SyntaxError):
        return False


def _over_white(content: bytes) -> np.ndarray | None:
    """OpenCV drops alpha, so that the colours hidden under it would show."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
    return np.asarray(Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB"))


def resize(
    pixels: np.ndarray, *, image_size: Size, interpolation: Literal["area", "linear", "cubic", "lanczos"]
) -> np.ndarray:
    """Squash pixels to `image_size` (height, width); `area` averages, which is right for shrinking photos.

    Args:
        pixels: uint8 array of shape (height, width, 3).
        image_size: (height, width) of the result, in pixels.
        interpolation: how OpenCV computes a pixel.

    Returns:
        uint8 array of shape (*image_size, 3).
    """
    height, width = image_size
    return cv2.resize(pixels, (width, height), interpolation=INTERPOLATION[interpolation])


def read(path: str, identity: str) -> bytes:
    """The bytes of an image that a manifest names, from its path or, where that is absent, from the DVC cache.

    DVC files an image under the md5 that is the manifest's identity, so that `dvc exp run --temp`, queues and partial
    checkouts, which lack the folder, find it all the same.

    Raises:
        ValueError: where the image is in neither place, or its bytes are not those that the index saw.
    """
    place = Path(path)
    if not place.exists():
        place = _dvc_cache() / identity[:2] / identity[2:]
        if not place.exists():
            raise ValueError(f"{path} is neither in the work tree nor in the DVC cache: run `dvc pull` or restore it")
    content = place.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != identity:
        raise ValueError(f"{path} is not the image that the index saw: run `dvc repro` to index it again")
    return content


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
