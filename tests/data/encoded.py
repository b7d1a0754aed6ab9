"""Image files for tests: what real encoders write, and by hand what none of them writes."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

RGB = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
GRAY = RGB[..., 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (9, 13, 3)).astype(np.uint16)


def by_pillow(image: Image.Image, plugin: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, plugin, **options)
    return buffer.getvalue()


def by_opencv(suffix: str, rgb: np.ndarray) -> bytes:
    return cv2.imencode(suffix, rgb[..., ::-1])[1].tobytes()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, bits: int, color_type: int, adam7: bool = False, **chunks: bytes) -> bytes:
    """A PNG of samples (height, width, channels) with further chunks, such as tRNS=b"..."."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, adam7)
    steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b""
    for top, left, down, right in steps if adam7 else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        if part.size:
            data += b"".join(b"\0" + _packed(row.ravel(), bits) for row in part)
    body = b"".join(chunk(kind.encode(), value) for kind, value in chunks.items())
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


def _packed(row: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    levels = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
    return np.packbits(levels.ravel()).tobytes()


def bmp(size: tuple[int, int], bits: int, data: bytes, compression: int = 0, colors=(), masks=()) -> bytes:
    """A BMP with a header of 40 bytes, or of 56 where there are four masks."""
    palette = b"".join(bytes([blue, green, red, 0]) for red, green, blue in colors)
    mask_bytes = struct.pack(f"<{len(masks)}I", *masks)
    header_size = 56 if len(masks) == 4 else 40
    offset = 14 + 40 + len(mask_bytes) + len(palette)
    head = struct.pack("<IiiHHIIiiII", header_size, *size, 1, bits, compression, len(data), 0, 0, len(colors), 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + head + mask_bytes + palette + data


def tiff(strips: list[bytes], size: tuple[int, int], tags: dict[int, tuple[int, ...]], order: str = "<") -> bytes:
    """A TIFF without compression: its directory, then the strips; all tags but the offsets are given."""
    width, height = size
    base = {256: (width,), 257: (height,), 259: (1,), 262: (1,), 258: (8,), 277: (1,)}
    rows = -(-height // len(strips))
    tags = base | {278: (rows,)} | tags
    places = (324, 325) if 322 in tags else (273, 279)
    count = len(tags) + 2
    where = 8 + 2 + 12 * count + 4
    extra, entries = b"", {}
    for tag, values in tags.items():
        entries[tag] = (3, values)
    data = where + 1024
    offsets = [data + sum(map(len, strips[:number])) for number in range(len(strips))]
    entries |= {places[0]: (4, tuple(offsets)), places[1]: (4, tuple(map(len, strips)))}
    directory = b""
    for tag in sorted(entries):
        kind, values = entries[tag]
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            extra, packed = extra + packed, struct.pack(f"{order}I", where + len(extra))
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, count)
    return start + directory + b"\0\0\0\0" + extra.ljust(1024, b"\0") + b"".join(strips)


def corpus() -> dict[str, bytes]:
    """Small files of every format that is read, in the ways that real encoders write them."""
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), (48, 40))
    image = Image.fromarray(smooth)
    alpha = image.copy()
    alpha.putalpha(image.convert("L"))
    gray, deep = image.convert("L"), Image.fromarray(smooth[..., 0].astype(np.uint16) * 257)
    indexed, bilevel = image.quantize(16), image.convert("1")
    frames = {"save_all": True, "append_images": [image.rotate(180)], "duration": 100}
    turned = {"exif": exif(6)}
    written = {
        "JPEG": [(image, {}), (image, turned), (image, {"progressive": True, "restart_marker_rows": 1}), (gray, {}),
                 (image.convert("CMYK"), {}), (image, {"subsampling": 0, "icc_profile": b"profile"})],
        "MPO": [(image, {"save_all": True, "append_images": [image]})],
        "PNG": [(image, {}), (image, turned), (gray, {}), (alpha, {}), (indexed, {}), (indexed, {"transparency": 3}),
                (deep, {}), (bilevel, {}), (gray.convert("LA"), {}), (image, frames),
                (alpha, frames | {"disposal": 1})],
        "WEBP": [(image, {}), (image, {"lossless": True} | turned), (alpha, {}), (alpha, frames)],
        "BMP": [(image, {}), (gray, {}), (indexed, {}), (bilevel, {}), (alpha, {})],
        "GIF": [(indexed, {}), (indexed, {"interlace": 0}), (image, frames), (indexed, {"transparency": 3})],
        "TIFF": [(image, {}), (image, turned), (gray, {}), (alpha, {}), (indexed, {}), (bilevel, {}), (deep, {}),
                 (image.convert("CMYK"), {}), (image.convert("YCbCr"), {}), (image, {"big_tiff": True}),
                 *((image, {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "zstd",
                                                              "lzma")),
                 *((bilevel, {"compression": name}) for name in ("group3", "group4", "tiff_ccitt"))],
        "AVIF": [(image, {"speed": 10}), (alpha, {"speed": 10} | turned)],
        "PPM": [(image, {}), (gray, {}), (bilevel, {}), (deep, {})],
        "JPEG2000": [(image, {}), (gray, {"no_jp2": True}), (alpha, {"irreversible": True}), (deep, {}),
                     (image, {"tile_size": (16, 16)})],
    }  # fmt: skip
    files = {
        f"{plugin} {number}": by_pillow(picture, plugin, **options)
        for plugin, pictures in written.items()
        for number, (picture, options) in enumerate(pictures)
    }
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm", ".pgm", ".pbm", ".gif", ".jp2"):
        name = {"JPG": "JPEG", "PGM": "PPM", "PBM": "PPM", "JP2": "JPEG2000"}.get(
            suffix[1:].upper(), suffix[1:].upper()
        )
        files[f"{name} by OpenCV {suffix}"] = by_opencv(
            suffix, smooth if suffix not in (".pgm", ".pbm") else smooth[..., :1]
        )
    two = ((1, 2, 3), (9, 8, 7))
    files["PNG Adam7"] = png(smooth, 8, 2, adam7=True)
    files["PNG deep with a transparent color"] = png(smooth.astype(np.uint16), 16, 2, tRNS=b"\0\1\0\2\0\3")
    files["BMP RLE8"] = bmp((4, 2), 8, bytes([4, 1, 0, 0, 2, 0, 2, 1, 0, 1]), 1, two)
    files["BMP RLE4"] = bmp((4, 1), 4, bytes([4, 0x01, 0, 1]), 2, two)
    files["BMP 565"] = bmp((2, 1), 16, b"\0\xf8\xe0\x07", 3, masks=(0xF800, 0x7E0, 0x1F))
    files["TIFF planar"] = tiff(
        [np.ascontiguousarray(smooth[..., band]).tobytes() for band in range(3)],
        (48, 40), {262: (2,), 277: (3,), 258: (8, 8, 8), 284: (2,), 278: (40,)},
    )  # fmt: skip
    files["PPM plain"] = b"P3 # plain\n2 1\n255\n1 2 3 4 5 6\n"
    return files


# What a size, an offset or a count is changed to.
VALUES = (0, 1, 2, 7, 8, 16, 255, 256, 1000, 32767, 60000, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
SIZES = [side.to_bytes(width, order) for side in (48, 40) for width in (2, 4) for order in ("big", "little")]
CHANGES = ("size", "flip", "header", "number", "truncate", "delete", "repeat", "zero", "splice", "append")


def change(content: bytes, kind: str, position: float, amount: int, other: bytes) -> bytes:
    """One damage of a file.

    Args:
        content: the file.
        kind: of `CHANGES`.
        position: where, from 0 to 1.
        amount: what it is changed to, or how many bytes, 0 to 65535.
        other: another file, which gives the bytes of `splice`.
    """
    at = int(position * len(content))
    length = amount % 61
    if kind == "size":  # 48 x 40, the corpus's, wherever a header may hold it
        spots = [(match.start(), len(size)) for size in SIZES for match in re.finditer(re.escape(size), content[:2000])]
        start, width = spots[int(position * (len(spots) - 1))] if spots else (at, 2)
        value = VALUES[amount % len(VALUES)] % 256**width
        return content[:start] + value.to_bytes(width, ("big", "little")[amount % 2]) + content[start + width :]
    if kind == "header":  # sizes mostly lie in the first bytes, and in a TIFF's directory in the last
        at, kind = int(position * min(len(content), 80)), "number"
    if kind == "number":
        width, order = (1, 2, 4)[amount % 3], ("big", "little")[amount // 3 % 2]
        value = VALUES[amount // 6 % len(VALUES)] % 256**width
        return content[:at] + value.to_bytes(width, order) + content[at + width :]
    return {
        "flip": lambda: (
            content[:at] + bytes(byte ^ 1 << amount % 8 for byte in content[at : at + 1]) + content[at + 1 :]
        ),
        "truncate": lambda: content[:at],
        "delete": lambda: content[:at] + content[at + length :],
        "repeat": lambda: content[: at + length] + content[at:],
        "zero": lambda: content[:at] + b"\0" * length + content[at + length :],
        "splice": lambda: content[:at] + other[int(position * len(other)) :],
        "append": lambda: content + other[: amount % 1000],
    }[kind]()


def with_right_checksums(content: bytes) -> bytes:
    """A damaged PNG whose chunks have the checksums of what they hold now, so that it reaches the decoders."""
    result, offset = content[:8], 8
    while offset + 12 <= len(content):
        length = int.from_bytes(content[offset : offset + 4])
        end = offset + 8 + length
        if end + 4 > len(content):
            break
        result += content[offset:end] + zlib.crc32(content[offset + 4 : end]).to_bytes(4)
        offset = end + 4
    return result + content[offset:]
