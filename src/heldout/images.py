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
from PIL import Image
from pydantic import Field

INTERPOLATION = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
Size = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Len(2, 2)]
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def decode(content: bytes, name: str) -> np.ndarray:
    """The pixels of an encoded image, upright by its EXIF orientation.

    Args:
        content: the file's bytes.
        name: how an error calls the file.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        ValueError: where the bytes are no image, or only part of one.
    """
    # imdecode, not imread: imread crashes the process on a name that is not UTF-8 (OpenCV 5.0).
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if pixels is None:
        raise ValueError(f"{name} is no image that can be read: convert it to JPEG or PNG, or remove it")
    # A JPEG cut short decodes to an array with a flat tail; OpenCV says so on stderr alone.
    if content.startswith(JPEG_START) and JPEG_END not in content[-64:] and not _is_whole(content):
        raise ValueError(f"{name} is a JPEG cut short: fetch it again or remove it")
    return pixels


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


def _is_whole(jpeg: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            image.load()
    except OSError:
        return False
    return True


@cache
def _dvc_cache() -> Path:
    found = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "files" / "md5"
