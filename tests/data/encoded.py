"""Image files for tests: what real encoders write, and by hand what none of them writes."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


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
