"""Every kind of pixel in every format gets its stated treatment, the same in the index, training and prediction."""

import cv2
import numpy as np
import pytest
from encoded import DEEP, GRAY, RGB, bmp, by_opencv, by_pillow, png, tiff
from PIL import Image, ImageCms

from heldout.core import code
from heldout.data import images
from heldout.data.decoding import decoders, formats, headers

ALPHA = np.where(np.arange(13) % 3 == 0, 0, 255).astype(np.uint8) * np.ones((9, 1), np.uint8)
SETTINGS = {"channels": 3, "resize": "squash", "interpolation": "area", "pad_color": [0, 0, 0]}
CASES: dict[str, tuple[bytes, np.ndarray, int]] = {}  # content, expected pixels, largest difference


def case(name: str, content: bytes, expected: np.ndarray, tolerance: int = 0) -> None:
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    CASES[name] = (content, expected.astype(np.uint8), tolerance)


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb
    weight = alpha[..., None] / 255
    return np.round(rgb * weight + 255 * (1 - weight))


def cmyk_to_rgb(cmyk: np.ndarray) -> np.ndarray:
    inverse = 255 - cmyk.astype(float)
    return np.round(inverse[..., :3] * inverse[..., 3:] / 255)


def png_cases() -> None:
    for bits in (1, 2, 4, 8):
        top = 2**bits - 1
        levels = GRAY.astype(int) % (top + 1)
        scaled = levels * 255 // top
        case(f"PNG gray {bits}", png(levels[..., None], bits, 0), scaled)
        case(f"PNG gray {bits} Adam7", png(levels[..., None], bits, 0, adam7=True), scaled)
        transparent = png(levels[..., None], bits, 0, tRNS=int(levels[0, 0]).to_bytes(2))
        case(f"PNG gray {bits} tRNS", transparent, np.where(levels == levels[0, 0], 255, scaled))
        colors = np.random.default_rng(bits).integers(0, 256, (top + 1, 3), np.uint8)
        alpha = np.where(np.arange(top + 1) % 2, 100, 255).astype(np.uint8)
        indexed = levels[..., None]
        case(f"PNG palette {bits}", png(indexed, bits, 3, PLTE=colors.tobytes()), colors[levels])
        one = png(indexed, bits, 3, PLTE=colors.tobytes(), tRNS=b"\xff\0")
        case(f"PNG palette {bits} tRNS of one", one, np.where((levels == 1)[..., None], 255, colors[levels]))
        partial = png(indexed, bits, 3, PLTE=colors.tobytes(), tRNS=alpha.tobytes())
        case(f"PNG palette {bits} tRNS partial", partial, over_white(colors[levels], alpha[levels]), 1)
    case("PNG color 8", png(RGB, 8, 2), RGB)
    case("PNG color 8 Adam7", png(RGB, 8, 2, adam7=True), RGB)
    first = RGB[0, 0].astype(">u2").tobytes()
    case("PNG color 8 tRNS", png(RGB, 8, 2, tRNS=first), np.where((RGB[0, 0] == RGB).all(2)[..., None], 255, RGB))
    case("PNG gray alpha 8", png(np.dstack([GRAY, ALPHA]), 8, 4), over_white(GRAY, ALPHA))
    case("PNG color alpha 8", png(np.dstack([RGB, ALPHA]), 8, 6), over_white(RGB, ALPHA))
    half = np.full_like(ALPHA, 127)
    case("PNG color half", png(np.dstack([RGB, half]), 8, 6), over_white(RGB, half), 1)
    case("PNG gray 16", png(DEEP[..., :1], 16, 0), DEEP[..., 0] >> 8)
    case("PNG gray 16 Adam7", png(DEEP[..., :1], 16, 0, adam7=True), DEEP[..., 0] >> 8)
    case("PNG color 16", png(DEEP, 16, 2), DEEP >> 8)
    deep_alpha = ALPHA.astype(np.uint16) * 257
    case("PNG gray alpha 16", png(np.dstack([DEEP[..., 0], deep_alpha]), 16, 4), over_white(DEEP[..., 0] >> 8, ALPHA))
    case("PNG color alpha 16", png(np.dstack([DEEP, deep_alpha]), 16, 6), over_white(DEEP >> 8, ALPHA))
    near = DEEP.copy()
    near[0, 1] = near[0, 0] ^ 1  # the same in the upper 8 bits, and not transparent
    white = np.where((near == near[0, 0]).all(2)[..., None], 255, near >> 8)
    case("PNG color 16 tRNS", png(near, 16, 2, tRNS=near[0, 0].astype(">u2").tobytes()), white)
    gray = near[..., 0]
    transparent = png(near[..., :1], 16, 0, tRNS=int(gray[0, 0]).to_bytes(2))
    case("PNG gray 16 tRNS", transparent, np.where(gray == gray[0, 0], 255, gray >> 8))
    case("PNG gamma", png(RGB, 8, 2, gAMA=(100000).to_bytes(4)), RGB)
    case("PNG CICP", png(RGB, 8, 2, cICP=bytes([9, 16, 0, 1])), RGB)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB", 12000)).tobytes()
    case("PNG profile", by_pillow(Image.fromarray(RGB), "PNG", icc_profile=profile), RGB)
    other = Image.fromarray(255 - RGB)
    case("APNG", by_pillow(Image.fromarray(RGB), "PNG", save_all=True, append_images=[other]), RGB)
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    case("APNG alpha", by_pillow(rgba, "PNG", save_all=True, append_images=[other.convert("RGBA")], disposal=1),
         over_white(RGB, ALPHA))  # fmt: skip


def bmp_cases() -> None:
    for mode in ("1", "L", "P", "RGB"):
        image = Image.fromarray(RGB).convert(mode)
        case(f"BMP {mode}", by_pillow(image, "BMP"), np.asarray(image.convert("RGB")))
    case("BMP by OpenCV", by_opencv(".bmp", RGB), RGB)
    black_white, two = ((0, 0, 0), (255, 255, 255)), ((1, 2, 3), (9, 8, 7))
    bw = np.array([[0, 255, 255, 0]])
    case("BMP 1", bmp((4, 1), 1, b"\x60\0\0\0", colors=two), np.array([two])[:, [0, 1, 1, 0]])
    case("BMP 4", bmp((4, 1), 4, b"\x01\x10\0\0", colors=two), np.array([two])[:, [0, 1, 1, 0]])
    case("BMP 8", bmp((4, 1), 8, b"\0\1\1\0", colors=two), np.array([two])[:, [0, 1, 1, 0]])
    # Pillow takes a black and white palette for 1 bit, and a gray one for 8, whatever the depth.
    case("BMP 8 black and white", bmp((4, 1), 8, b"\0\1\1\0", colors=black_white), bw)
    case("BMP 4 black and white", bmp((4, 1), 4, b"\x01\x10\0\0", colors=black_white), bw)
    grays = tuple((level, level, level) for level in range(16))
    case("BMP 4 gray", bmp((4, 1), 4, b"\x01\x23\0\0", colors=grays), np.array([[0, 1, 2, 3]]))
    rle8 = bmp((4, 2), 8, bytes([4, 1, 0, 0, 2, 0, 2, 1, 0, 1]), 1, two)
    case("BMP RLE8", rle8, np.array(two)[[[0, 0, 1, 1], [1, 1, 1, 1]]])
    case("BMP RLE4", bmp((4, 1), 4, bytes([4, 0x01, 0, 1]), 2, two), np.array(two)[[[0, 1, 0, 1]]])
    case("BMP 555", bmp((2, 1), 16, b"\xff\x7f\0\x7c"), np.array([[[255, 255, 255], [255, 0, 0]]]))
    masks = (0xF800, 0x7E0, 0x1F)
    case("BMP 565", bmp((2, 1), 16, b"\0\xf8\xe0\x07", 3, masks=masks), np.array([[[255, 0, 0], [0, 255, 0]]]))
    case("BMP 32", bmp((2, 1), 32, bytes([1, 2, 3, 0, 4, 5, 6, 128])), np.array([[[3, 2, 1], [6, 5, 4]]]))
    alpha = bmp((2, 1), 32, bytes([1, 2, 3, 0, 4, 5, 6, 255]), 3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    case("BMP alpha", alpha, np.array([[[255, 255, 255], [6, 5, 4]]]))
    case("BMP top down", bmp((1, -2), 24, bytes([1, 2, 3, 0, 4, 5, 6, 0])), np.array([[[3, 2, 1]], [[6, 5, 4]]]))


def tiff_cases() -> None:
    image = Image.fromarray(RGB)
    for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
        stored = image.convert(mode)
        case(f"TIFF {mode}", by_pillow(stored, "TIFF"), np.asarray(stored.convert("RGB")))
    case("TIFF CMYK by its formula", by_pillow(image.convert("CMYK"), "TIFF"),
         cmyk_to_rgb(np.asarray(image.convert("CMYK"))), 1)  # fmt: skip
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    case("TIFF RGBA", by_pillow(rgba, "TIFF"), over_white(RGB, ALPHA))
    case("TIFF LA", by_pillow(Image.fromarray(np.dstack([GRAY, ALPHA])), "TIFF"), over_white(GRAY, ALPHA))
    indexed = image.convert("P")
    indexed_alpha = indexed.convert("PA")
    case("TIFF PA", by_pillow(indexed_alpha, "TIFF"), np.asarray(indexed.convert("RGB")))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"):
        case(f"TIFF {compression}", by_pillow(image, "TIFF", compression=compression), RGB)
        case(f"TIFF I;16 {compression}", by_pillow(Image.fromarray(DEEP[..., 0]), "TIFF", compression=compression),
             DEEP[..., 0] >> 8)  # fmt: skip
    bilevel = image.convert("1")
    for compression in ("group3", "group4", "tiff_ccitt"):
        case(f"TIFF {compression}", by_pillow(bilevel, "TIFF", compression=compression), np.asarray(bilevel) * 255)
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    case("TIFF JPEG", by_pillow(flat, "TIFF", compression="jpeg", quality=100), np.asarray(flat), 2)
    case("TIFF by OpenCV", by_opencv(".tiff", RGB), RGB)
    case("TIFF 16 by OpenCV", by_opencv(".tiff", DEEP), DEEP >> 8)
    case("TIFF pages", by_pillow(image, "TIFF", save_all=True, append_images=[image.rotate(180)]), RGB)
    case("BigTIFF", by_pillow(image, "TIFF", big_tiff=True), RGB)
    size = (13, 9)
    case("TIFF white is zero", tiff([GRAY.tobytes()], size, {262: (0,)}), 255 - GRAY)
    packed = np.packbits(GRAY > 127, axis=1).tobytes()
    case("TIFF 1 white is zero", tiff([packed], size, {262: (0,), 258: (1,)}), np.where(GRAY > 127, 0, 255))
    little, big = DEEP[..., 0].astype("<u2").tobytes(), DEEP[..., 0].astype(">u2").tobytes()
    case("TIFF 16", tiff([little], size, {258: (16,)}), DEEP[..., 0] >> 8)
    case("TIFF 16 big-endian", tiff([big], size, {258: (16,)}, ">"), DEEP[..., 0] >> 8)
    case("TIFF 16 white is zero", tiff([little], size, {258: (16,), 262: (0,)}), 255 - (DEEP[..., 0] >> 8))
    color = {262: (2,), 277: (3,), 258: (16, 16, 16)}
    case("TIFF color 16", tiff([DEEP.astype("<u2").tobytes()], size, color), DEEP >> 8)
    case("TIFF color 16 big-endian", tiff([DEEP.astype(">u2").tobytes()], size, color, ">"), DEEP >> 8)
    twelve = np.array([[0x123, 0xFED]])
    case("TIFF 12", tiff([bytes.fromhex("123fed")], (2, 1), {258: (12,)}), twelve >> 4)
    color = {262: (2,), 277: (3,), 258: (8, 8, 8)}
    rows = [RGB[top : top + 2].tobytes() for top in range(0, 9, 2)]
    case("TIFF strips", tiff(rows, size, color | {278: (2,)}), RGB)
    planes = [np.ascontiguousarray(RGB[..., band]).tobytes() for band in range(3)]
    case("TIFF planar", tiff(planes, size, color | {284: (2,), 278: (9,)}), RGB)
    padded = np.pad(RGB, ((0, 7), (0, 3), (0, 0)))
    case("TIFF tile", tiff([padded.tobytes()], size, color | {322: (16,), 323: (16,)}), RGB)
    wide = np.pad(RGB, ((0, 7), (0, 19), (0, 0)))
    tiles = [np.ascontiguousarray(wide[:, left : left + 16]).tobytes() for left in (0, 16)]
    case("TIFF tiles", tiff(tiles, (32, 9), color | {322: (16,), 323: (16,)}), wide[:9])
    extra = color | {277: (4,), 258: (8,) * 4}
    premultiplied = np.dstack([np.where(ALPHA[..., None] > 0, RGB, 0), ALPHA])
    case("TIFF RGBa", tiff([premultiplied.tobytes()], size, extra | {338: (1,)}), over_white(RGB, ALPHA), 1)
    case("TIFF RGBX", tiff([np.dstack([RGB, ALPHA]).tobytes()], size, extra | {338: (0,)}), RGB)
    gray_alpha = np.dstack([np.where(ALPHA > 0, GRAY, 0), ALPHA]).tobytes()
    case("TIFF La", tiff([gray_alpha], size, {277: (2,), 258: (8, 8), 338: (1,)}), over_white(GRAY, ALPHA), 1)
    case("TIFF inks", tiff([np.dstack([RGB, GRAY]).tobytes()], size, extra | {262: (5,)}),
         cmyk_to_rgb(np.dstack([RGB, GRAY])), 1)  # fmt: skip


def jpeg_cases() -> None:
    """Of one color, so that the expected pixels are known: JPEG loses others."""
    flat = Image.new("RGB", (32, 24), (200, 100, 50))
    for name, options in {"": {}, " progressive": {"progressive": True}, " 4:4:4": {"subsampling": 0}}.items():
        case(f"JPEG{name}", by_pillow(flat, "JPEG", quality=100, **options), np.asarray(flat), 2)
    case("JPEG gray", by_pillow(flat.convert("L"), "JPEG", quality=100), np.asarray(flat.convert("L")), 1)
    case("JPEG RGB", by_pillow(flat, "JPEG", quality=100, keep_rgb=True), np.asarray(flat), 1)
    inks = Image.new("CMYK", (32, 24), (10, 200, 100, 40))
    cmyk = by_pillow(inks, "JPEG", quality=100)
    case("JPEG CMYK", cmyk, cmyk_to_rgb(np.asarray(inks)), 2)
    # The same samples said to be YCCK: Y, Cb and Cr are those of the inks, which are stored inverted (libjpeg.txt).
    adobe = cmyk.index(b"Adobe")
    luma, blue, red, black = 255 - np.array([10, 200, 100, 40])
    rgb = np.clip([luma + 1.402 * (red - 128), luma - 0.344 * (blue - 128) - 0.714 * (red - 128),
                   luma + 1.772 * (blue - 128)], 0, 255)  # fmt: skip
    ycck = cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :]
    case("JPEG YCCK", ycck, np.full((24, 32, 3), np.round((255 - rgb) * black / 255)), 3)
    case("JPEG with a film after it", by_pillow(flat, "JPEG", quality=100) + b"\0\0\0\x18ftypmp42" * 20,
         np.asarray(flat), 2)  # fmt: skip
    case(
        "MPO", by_pillow(flat, "MPO", save_all=True, append_images=[flat.rotate(90)], quality=100), np.asarray(flat), 2
    )


def other_cases() -> None:
    image, rgba = Image.fromarray(RGB), Image.fromarray(np.dstack([RGB, ALPHA]))
    for name, plugin, options in (("WebP", "WEBP", {"lossless": True}), ("JPEG 2000", "JPEG2000", {}),
                                  ("AVIF", "AVIF", {"quality": 100, "subsampling": "4:4:4"})):  # fmt: skip
        loss = 3 if name == "AVIF" else 0
        case(name, by_pillow(image, plugin, **options), RGB, loss)
        exact = {"exact": True} if name == "WebP" else {}
        case(f"{name} alpha", by_pillow(rgba, plugin, **options, **exact), over_white(RGB, ALPHA), loss)
    frames = {"save_all": True, "append_images": [image.rotate(180)], "duration": 100}
    case("WebP animated", by_pillow(image, "WEBP", lossless=True, **frames), RGB)
    case("WebP animated alpha", by_pillow(rgba, "WEBP", lossless=True, exact=True, **frames), over_white(RGB, ALPHA))
    case("AVIF animated", by_pillow(image, "AVIF", quality=100, subsampling="4:4:4", **frames), RGB, 3)
    case("JPEG 2000 gray", by_pillow(image.convert("L"), "JPEG2000", no_jp2=True), np.asarray(image.convert("L")))
    case("JPEG 2000 gray 16", by_pillow(Image.fromarray(DEEP[..., 0]), "JPEG2000"), DEEP[..., 0] >> 8)
    indexed = image.quantize(16)
    gif = by_pillow(indexed, "GIF")
    expected = np.asarray(indexed.convert("RGB"))
    case("GIF", gif, expected)
    case("GIF animated", by_pillow(indexed, "GIF", save_all=True, append_images=[indexed.rotate(180)]), expected)
    disposed = {"save_all": True, "append_images": [indexed.rotate(180)], "disposal": 2, "transparency": 3}
    index = np.asarray(indexed)
    case("GIF transparent", by_pillow(indexed, "GIF", transparency=3, optimize=False),
         np.where((index == 3)[..., None], 255, expected))  # fmt: skip
    case("GIF disposed", by_pillow(indexed, "GIF", optimize=False, **disposed),
         np.where((index == 3)[..., None], 255, expected))  # fmt: skip
    larger = gif[:6] + (20).to_bytes(2, "little") + (15).to_bytes(2, "little") + gif[10:]
    case("GIF smaller than its canvas", larger, np.pad(expected, ((0, 6), (0, 7), (0, 0)), constant_values=255))
    for mode in ("1", "L", "RGB"):
        stored = image.convert(mode)
        case(f"PNM {mode}", by_pillow(stored, "PPM"), np.asarray(stored.convert("RGB")))
    case("PNM plain bits", b"P1\n3 2\n010\n1 1 0\n", np.array([[255, 0, 255], [0, 0, 255]]))
    case("PNM plain gray", b"P2 # by hand\n3 1\n15\n0 5 15\n", np.array([[0, 85, 255]]))
    case("PNM plain color", b"P3\n1 1\n255\n1 2 3\n", np.array([[[1, 2, 3]]]))
    case("PNM gray 16", b"P5\n13 9\n65535\n" + DEEP[..., 0].astype(">u2").tobytes(), DEEP[..., 0] >> 8)


for collect in (png_cases, bmp_cases, tiff_cases, jpeg_cases, other_cases):
    collect()


@pytest.mark.parametrize("name", CASES)
def test_pixels(name):
    content, expected, tolerance = CASES[name]
    decoded = images.decode(content, "x")
    assert decoded.shape == expected.shape and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - expected).max() <= tolerance
    encoded = headers.read(content, 1)
    assert np.array_equal(images.thumbnail(encoded, 4), cv2.resize(decoded, (4, 4), interpolation=cv2.INTER_AREA)) or (
        name.startswith("JPEG")
    )
    size = list(expected.shape[:2])
    for fast in (False, True):
        assert np.array_equal(
            images.decode_and_resize(content, "x", image_size=size, fast_decode=fast, **SETTINGS), decoded
        )


def test_a_large_image_is_converted_in_strips(monkeypatch):
    monkeypatch.setattr(decoders, "STRIP", 13 * 4)
    for name in ("PNG palette 4 tRNS partial", "PNG color alpha 8", "TIFF CMYK", "TIFF La", "WebP", "GIF transparent"):
        content, expected, tolerance = CASES[name]
        assert np.abs(images.decode(content, "x").astype(int) - expected).max() <= tolerance


def test_what_libpng_thinks_of_a_profile_is_not_printed(capfd):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wrong = profile[:16] + b"GRAY" + profile[20:]
    content = by_pillow(Image.fromarray(RGB), "PNG", icc_profile=wrong)
    cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert "libpng warning: iCCP" in capfd.readouterr().err
    assert np.array_equal(images.decode(content, "x"), RGB)
    assert capfd.readouterr().err == ""


def test_the_documentation_has_every_mode_and_format():
    text = (code.SOURCE.parent / "docs/data.md").read_text(encoding="utf-8")
    table = text.split("## How each kind of file is read")[1].split("\n## ")[0]
    for name in [*formats.READ, *(f"`{mode}`" for mode in decoders.TREATMENTS)]:
        assert name in table, name
