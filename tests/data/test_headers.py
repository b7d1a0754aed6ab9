"""What a header says, upright pixels in every format, and a line for each file that has no honest pixels."""

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest
from encoded import DEEP, GRAY, RGB, bmp, by_opencv, by_pillow, chunk, exif, png, tiff
from PIL import Image

from heldout.data import images, index
from heldout.data.decoding import decoders, headers, problems
from heldout.data.decoding.problems import UnreadableImage

SETTINGS = {"channels": 3, "resize": "squash", "interpolation": "area", "pad_color": [0, 0, 0]}
PROBLEMS = {
    "TIFF float": (by_pillow(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), "floating-point or signed pixels"),
    "TIFF 32": (by_pillow(Image.fromarray(GRAY.astype(np.int32)), "TIFF"), "floating-point or signed pixels"),
    "TIFF 32 unsigned": (tiff([GRAY.astype("<u4").tobytes()], (13, 9), {258: (32,)}), "pixels of 32 bits"),
    "TIFF signed": (tiff([GRAY.tobytes()], (13, 9), {339: (2,)}), "floating-point or signed pixels"),
    "TIFF Lab": (by_pillow(Image.fromarray(RGB).convert("LAB"), "TIFF"), r"not supported \(LAB\)"),
    "TIFF preview": (tiff([GRAY.tobytes()], (13, 9), {254: (1,)}), "the preview of another"),
    "TIFF DNG": (tiff([GRAY.tobytes()], (13, 9), {50706: (1, 4)}), "is camera raw, which is not supported"),
    "TIFF missing strips": (tiff([GRAY[:4].tobytes()], (13, 9), {278: (4,)}), "is a truncated TIFF: fetch it"),
    "TIFF subsampled": (tiff([RGB.tobytes()], (13, 9), {262: (6,), 277: (3,), 258: (8, 8, 8)}), "subsampled colors"),
    "TIFF huge tile": (
        tiff([GRAY.tobytes()], (13, 9), {322: (60000,), 323: (60000,)}),
        "tiles are larger than the image",
    ),
    "PNM color 16": (b"P6\n13 9\n65535\n" + DEEP.astype(">u2").tobytes(), "has 16 bits a color, as PNM: convert it to"),
    "PFM": (cv2.imencode(".pfm", GRAY.astype(np.float32))[1].tobytes(), "is PFM, which is not supported: convert it"),
    "PNG checksum": (png(RGB, 8, 2).replace(b"IDAT", b"IDAT\0")[:-1], "is a (truncated|damaged) PNG"),
    "BMP odd masks": (bmp((1, 1), 32, b"abcd", 3, masks=(0x3FF00000, 0xFFC00, 0x3FF)), "cannot be decoded"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_has_no_honest_pixels_is_a_problem(name):
    content, message = PROBLEMS[name]
    with pytest.raises(ValueError, match=rf"^a\.img .*{message}") as error:
        images.decode(content, "a.img")
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UnreadableImage):
        images.thumbnail(headers.read(content, 1), 4)


def turned(orientation: int) -> np.ndarray:
    """What each of the EXIF orientations means: where the stored row 0 and column 0 are seen (EXIF 2.32, 4.6.4)."""
    rows, columns = np.mgrid[:9, :13]
    seen = {
        1: (rows, columns), 2: (rows, 12 - columns), 3: (8 - rows, 12 - columns), 4: (8 - rows, columns),
        5: (columns, rows), 6: (columns, 8 - rows), 7: (12 - columns, 8 - rows), 8: (12 - columns, rows),
    }[orientation]  # fmt: skip
    result = np.zeros((9, 13, 3) if orientation < 5 else (13, 9, 3), np.uint8)
    result[seen] = RGB
    return result


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("plugin", ["PNG", "PNG alpha", "WEBP", "TIFF", "TIFF deflated", "AVIF"])
def test_every_format_is_upright(plugin, orientation):
    image = Image.fromarray(RGB)
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(plugin, {})
    if plugin == "PNG alpha":
        image.putalpha(255)
    if plugin == "TIFF deflated":
        options = {"compression": "tiff_deflate"}
    content = by_pillow(image, plugin.split()[0], exif=exif(orientation), **options)
    header = headers.read(content, 1).header
    assert (header.orientation, header.width, header.height) == (orientation, 13, 9)
    difference = np.abs(images.decode(content, "x").astype(int) - turned(orientation)).max()
    assert difference <= (3 if plugin == "AVIF" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factor", [1, 2, 8])
def test_a_jpeg_is_upright_as_by_opencv(orientation, factor):
    smooth = cv2.resize(RGB, (160, 96), interpolation=cv2.INTER_CUBIC)
    content = by_pillow(Image.fromarray(smooth), "JPEG", quality=95, exif=exif(orientation))
    encoded = headers.read(content, 1)
    assert encoded.header == ("JPEG", 160, 96, orientation, 3, 8) and encoded.image is None
    flags = cv2.IMREAD_COLOR_RGB | decoders.REDUCED.get(factor, 0)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), flags)  # which turns it
    assert np.array_equal(decoders.decode(encoded, factor), expected)


def test_the_orientation_is_the_one_that_pillow_reads():
    """Among other tags, in either byte order, with and without the mark of a JPEG's segment."""
    for value in range(1, 9):
        tags = exif(value)
        tags[0x010F], tags[0x0132], tags[0x8298] = "maker", "2020:01:01 00:00:00", "nobody"
        data = tags.tobytes()
        tags.endian = ">"
        assert {headers.orientation(text) for text in (data, data[6:], tags.tobytes())} == {value}


def test_damaged_exif_is_upright():
    for data in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0text", b"Exif\0\0MM\0*\0\0\0\x08\0\xff"):
        assert headers.orientation(data) == 1
    assert headers.orientation(exif(9).tobytes()) == 1


def test_the_exif_of_a_png_may_come_last():
    content = png(RGB, 8, 2)
    turned_late = content[:-12] + chunk(b"eXIf", exif(3).tobytes()[6:]) + content[-12:]
    assert np.array_equal(images.decode(turned_late, "x"), turned(3))


def test_the_index_lists_what_cannot_be_read(photos):
    """Each of these ended `index` in a traceback, whatever on_problem was, or was read as other pixels."""
    files = {
        "wide.png": png(np.zeros((1, 1_100_000, 1), np.uint8), 8, 0),  # cv2.error: wider than 2**20
        "header.bmp": by_opencv(".bmp", RGB)[:18] + b"\xff" * 8 + by_opencv(".bmp", RGB)[26:],
        "header.tiff": by_opencv(".tiff", RGB)[:8] + b"\xff" * 40,
        "header.webp": by_opencv(".webp", RGB)[:20] + b"\xff" * 40,
        "icon.ico": by_pillow(Image.fromarray(RGB), "ICO"),
        "float.tiff": by_pillow(Image.fromarray(GRAY.astype(np.float32)), "TIFF"),
    }
    for name, content in files.items():
        Path("data/raw/cat", name).write_bytes(content)
    settings = {
        "dir": "data/raw",
        "layout": "auto",
        "class_depth": 1,
        "group_pattern": "",
        "captions": False,
        "unlabelled": "",
        "max_megapixels": 100,
    }
    table, listed = index.scan(on_problem="skip", on_conflict="error", **settings)[:2]
    assert len(table) == 24
    reasons = {Path(path).name: reason for path, reason in zip(listed["path"], listed["reason"], strict=True)}
    assert reasons == {
        "wide.png": "cannot be decoded as an image",
        "header.bmp": "has 4294967295 x 1 pixels, more than data.max_megapixels (100)",
        "header.tiff": "cannot be decoded as an image",
        "header.webp": "is a truncated WebP",
        "icon.ico": "is ICO, which is not supported",
        "float.tiff": "has floating-point or signed pixels, whose range is unknown",
    }


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "needs more memory than there is: shrink it, or free memory"),
        (RecursionError("deep"), "cannot be decoded as an image: convert it to JPEG or PNG, or remove it"),
        (OSError("image file is truncated (3 bytes not processed)"), "is a truncated GIF: fetch it again or remove it"),
        (UnreadableImage("is odd", "leave it"), "is odd: leave it"),
    ],
)
def test_whatever_a_decoder_raises_is_a_reason_and_a_remedy(error, line):
    problem = problems.unreadable("GIF", error)
    assert str(problem) == line == ": ".join(problem.problem)


def test_the_limit_comes_before_decoding():
    content = png(RGB, 8, 2)
    huge = content[:16] + (60000).to_bytes(4) * 2 + content[24:29] + content[29:]
    huge = content[:8] + chunk(b"IHDR", huge[16:29]) + content[33:]
    for limit in (100, 1000):
        with pytest.raises(
            ValueError, match=rf"^x has 60000 x 60000 pixels, more than data.max_megapixels \({limit}\)"
        ):
            images.decode_and_resize(huge, "x", None, limit, image_size=[9, 9], fast_decode=True, **SETTINGS)
    with pytest.raises(ValueError, match=r"^x has 13 x 9 pixels"):
        images.decode(content, "x", 0.0001)
    assert inspect.signature(images.decode_and_resize).parameters["max_megapixels"].kind.name == "POSITIONAL_OR_KEYWORD"


def test_the_limits_of_opencv_are_a_line():
    """OPENCV_IO_MAX_IMAGE_WIDTH is 2**20: cv2.imdecode raises cv2.error."""
    wide = bmp((1_100_000, 1), 8, b"\0" * 1_100_000, colors=((1, 2, 3), (4, 5, 6)))
    assert images.decode(wide, "x").shape == (1, 1_100_000, 3)
    rows = png(np.zeros((1, 1_100_000, 1), np.uint8), 8, 0)
    with pytest.raises(ValueError, match=r"^x cannot be decoded as an image: convert it"):
        images.decode(rows, "x")
