"""From an image file whose header was read to upright RGB pixels: one treatment for each mode, whatever the format.

Profiles (ICC, CICP) and gamma are not applied: the numbers in the file are the pixels.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from heldout.data.decoding import headers, problems, tiff
from heldout.data.decoding.problems import UnreadableImage

# The gray flags hold the scale alone; IMREAD_REDUCED_COLOR_* cannot be combined with IMREAD_COLOR_RGB.
REDUCED = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}
BACKGROUND = "white"  # where an image is transparent
JPEG_END = b"\xff\xd9"
STRIP = 2**22  # pixels that are converted at a time
# How the stored image becomes upright, by the EXIF orientation.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}
cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # what OpenCV says of a file on stderr is in the problem, or does not matter


def decode(encoded: headers.Encoded, factor: int = 1) -> np.ndarray:
    """The pixels of an image, upright.

    Args:
        encoded: from `headers.read`.
        factor: 2, 4 or 8 decodes a JPEG at 1/`factor` of its size; others, and JPEGs in CMYK, are decoded in full.

    Returns:
        uint8 array of shape (height, width, 3), RGB.

    Raises:
        UnreadableImage: where the file is damaged or truncated, or has pixels that have no treatment.
    """
    content, header, image = encoded
    factor = factor if header.format == "JPEG" and image is None else 1
    try:
        pixels = _decode_by_pillow(image, content) if image else _decode_by_opencv(content, header.format, factor)
    except Exception as error:
        raise problems.unreadable(header.format, error) from error
    # A turned TIFF comes upright from Pillow.
    turn, size = header.orientation, (-(-header.height // factor), -(-header.width // factor))
    if header.format == "TIFF":
        turn, size = 1, size[::-1] if turn > 4 else size
    if pixels.shape != (*size, 3):
        raise UnreadableImage("cannot be decoded as an image")
    return np.ascontiguousarray(TURNS[turn](pixels)) if turn in TURNS else pixels


def _decode_by_opencv(content: bytes, image_format: str, factor: int) -> np.ndarray:
    """Gray and color of 8 bits in JPEG and PNG: in half of Pillow's time; imread would crash on a name that is not
    UTF-8 (OpenCV 5.0)."""
    flags = REDUCED.get(factor, 0) | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    if image_format == "PNG":
        content = headers.without_metadata(content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if image_format == "JPEG":
        _check_end(content)
    if pixels is None:
        raise UnreadableImage("cannot be decoded as an image")
    return pixels


def _check_end(content: bytes) -> None:
    """Where a JPEG is truncated, OpenCV may decode it to an array whose end is flat, and says so on stderr alone."""
    if JPEG_END in content[-64:]:
        return
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            image.load()
    except OSError:
        raise problems.truncated("JPEG") from None


def _decode_by_pillow(image: Image.Image, content: bytes) -> np.ndarray:
    if image.format == "PNG" and image.mode == "RGB" and content[24] == 16 and "transparency" in image.info:
        return _deep_color(content)
    first_tile = image.tile[0].extents if isinstance(image, GifImageFile) else None
    image.load()
    if image.mode not in TREATMENTS:
        raise UnreadableImage(f"has pixels of a kind that is not supported ({image.mode})")
    pixels = TREATMENTS[image.mode](image)
    return pixels if first_tile is None else _outside_is_background(pixels, first_tile)


def _color(image: Image.Image) -> np.ndarray:
    """By Pillow's conversion: YCbCr as in JPEG, CMYK as (255 - ink) * (255 - black) / 255."""
    if "transparency" in image.info:
        return _over_background(image)
    return _in_strips(image, lambda strip: strip if strip.mode == "RGB" else strip.convert("RGB"))


def _over_background(image: Image.Image) -> np.ndarray:
    """OpenCV would drop alpha, so that the colors hidden by it would show."""

    def composite(strip: Image.Image) -> Image.Image:
        colors = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", strip.size, BACKGROUND), colors).convert("RGB")

    return _in_strips(image, composite)


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Convert so many rows at a time that a large image is in memory once and not four times."""
    rows = max(1, STRIP // image.width)
    if rows >= image.height:
        return np.array(convert(image))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels[top : top + rows] = np.asarray(convert(strip))
    return pixels


def _sixteen_bits(image: Image.Image) -> np.ndarray:
    """The upper 8 of 16 bits, or of the 12 of some TIFFs; Pillow's own conversion makes white of all above 255."""
    levels = np.asarray(image)
    bits = image.tag_v2.get(tiff.BITS, (16,))[0] if image.format == "TIFF" else 16  # type: ignore[attr-defined]
    gray = (levels >> (bits - 8)).astype(np.uint8)
    if tiff.is_inverted(image):
        gray = 255 - gray
    if "transparency" in image.info:
        gray[levels == image.info["transparency"]] = 255
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)


def _thirty_two_bits(image: Image.Image) -> np.ndarray:
    """PNM alone: Pillow scales its 9 to 16 bits to 0 to 65535."""
    if image.format != "PPM":
        raise UnreadableImage("has pixels of 32 bits, whose range is unknown", "convert it to 8 bits")
    return cv2.cvtColor((np.asarray(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def _floating_point(image: Image.Image) -> np.ndarray:
    raise UnreadableImage("has floating-point pixels, whose range is unknown", "convert it to 8 bits")


def _deep_color(content: bytes) -> np.ndarray:
    """A PNG of 16 bits with a transparent color, which is compared at 16 bits."""
    rgba = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if rgba is None:
        raise UnreadableImage("cannot be decoded as an image")
    pixels = cv2.cvtColor(np.right_shift(rgba, 8).astype(np.uint8), cv2.COLOR_BGRA2RGB)
    pixels[rgba[..., 3] == 0] = 255
    return pixels


def _outside_is_background(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """A GIF's first frame may be smaller than the image; Pillow fills what is outside with the first color."""
    left, top, right, bottom = box
    inside = pixels[top:bottom, left:right].copy()
    pixels[:] = 255
    pixels[top:bottom, left:right] = inside
    return pixels


# By Pillow's mode; what is not here is a problem. docs/data.md prints the same table.
TREATMENTS: dict[str, Callable[[Image.Image], np.ndarray]] = {
    **dict.fromkeys(("1", "L", "P", "RGB", "RGBX", "YCbCr", "CMYK"), _color),
    **dict.fromkeys(("LA", "La", "PA", "RGBA", "RGBa"), _over_background),
    **dict.fromkeys(("I;16", "I;16L", "I;16B", "I;16N"), _sixteen_bits),
    "I": _thirty_two_bits,
    "F": _floating_point,
}
