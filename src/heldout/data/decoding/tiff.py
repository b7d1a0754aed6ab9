"""TIFF's many ways to store an image: those that Pillow would read as other pixels are problems."""

from typing import Any

from PIL import Image

from heldout.data.decoding import problems
from heldout.data.decoding.problems import UnreadableImage

# Tags of TIFF 6.0, and of DNG.
SUBFILE_TYPE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, PLANAR = 254, 256, 257, 258, 262, 274, 284
TILE_WIDTH, TILE_HEIGHT, SAMPLE_FORMAT, SUBSAMPLING, DNG_VERSION = 322, 323, 339, 530, 50706
UNSIGNED = (1, 4)  # sample formats: integers, and undefined, which is read as such
WHITE_IS_ZERO, Y_CB_CR = 0, 6


def check(image: Any) -> tuple[int, int, int, int, int]:
    """What an opened TIFF's tags say: width, height (as stored), orientation, channels, and bits of each.

    Raises:
        UnreadableImage: where Pillow would decode it to other pixels than are meant.
    """
    tags = image.tag_v2
    if DNG_VERSION in tags:
        raise UnreadableImage("is camera raw, which is not supported")
    if tags.get(SUBFILE_TYPE, 0) & 1:
        raise UnreadableImage("is a TIFF whose first image is the preview of another")
    if set(tags.get(SAMPLE_FORMAT, (1,))) - set(UNSIGNED):
        raise UnreadableImage("has floating-point or signed pixels, whose range is unknown", "convert it to 8 bits")
    width, height, bits = tags[WIDTH], tags[HEIGHT], tags.get(BITS, (1,))[0]
    if image.mode == "YCbCr" and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
        raise UnreadableImage("is a TIFF of subsampled colors without compression")
    _check_tiles(image, width, height)
    orientation = tags.get(ORIENTATION, 1)
    return width, height, orientation if orientation in range(1, 9) else 1, len(image.getbands()), bits


def _check_tiles(image: Any, width: int, height: int) -> None:
    """A tile much larger than the image fills the memory; strips that are missing leave a part of it black."""
    tags, raw = image.tag_v2, [tile for tile in image.tile if tile[0] == "raw"]
    if tags.get(TILE_WIDTH, 0) * tags.get(TILE_HEIGHT, 0) > max(4 * width * height, 2**24):
        raise UnreadableImage("is a TIFF whose tiles are larger than the image")
    layers = len(image.getbands()) if tags.get(PLANAR, 1) == 2 else 1
    area = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in raw)
    if raw and area < width * height * layers:
        raise problems.truncated("TIFF")


def is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white and Pillow leaves it so: at 16 bits alone."""
    return image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC, 1) == WHITE_IS_ZERO  # type: ignore[attr-defined]
