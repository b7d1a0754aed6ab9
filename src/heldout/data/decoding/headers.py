"""What an image's header says, read before anything is decoded."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, ImageFile

from heldout.data.decoding import formats, problems, tiff
from heldout.data.decoding.problems import UnreadableImage

ORIENTATION, SHORT = 0x0112, 3  # the EXIF tag, and its type
BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}  # of a channel, by Pillow's mode; 8 for all others
JPEG_START, EXIF = b"\xff\xd8", b"Exif\0\0"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the color type
NO_LENGTH = (0x01, *range(0xD0, 0xDB), 0xFF)  # JPEG markers at which a walk by lengths ends
Image.MAX_IMAGE_PIXELS = None  # the limit is data.max_megapixels
warnings.filterwarnings("ignore", module=r"PIL\.")  # of tags; what concerns pixels is raised


class Header(NamedTuple):
    """The format; the size in pixels, as stored; the EXIF orientation, 1 to 8; channels, and bits of each."""

    format: str
    width: int
    height: int
    orientation: int
    channels: int
    bits: int


class Encoded(NamedTuple):
    """An image file whose header was read: its bytes, the header, and Pillow's image where Pillow decodes it, or None
    where OpenCV does."""

    content: bytes
    header: Header
    image: ImageFile.ImageFile | None


def read(content: bytes, max_megapixels: float) -> Encoded:
    """Read the header of an image file.

    Raises:
        UnreadableImage: where the bytes are no image of a format that is read, are damaged in what can be seen without
            decoding, or have more than `max_megapixels`.
    """
    image_format = problems.check_format(content)
    try:
        encoded = READERS.get(image_format, _read_by_pillow)(content, image_format)
    except Exception as error:
        raise problems.unreadable(image_format, error) from error
    _, width, height, *_ = encoded.header
    if width * height > max_megapixels * 1e6:
        reason = f"has {width} x {height} pixels, more than data.max_megapixels ({max_megapixels:g})"
        raise UnreadableImage(reason, "shrink it, or raise the limit")
    if width < 1 or height < 1:
        raise UnreadableImage("cannot be decoded as an image")
    return encoded


def orientation(exif: bytes | None) -> int:
    """The orientation that EXIF data give, 1 to 8; 1 (upright) where they give none or are damaged.

    Read here (EXIF 2.32, 4.6.2): Pillow's reader of all tags takes half the time of decoding a photo of 100 px.
    """
    data = (exif or b"").removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", data, entry)
            if tag == ORIENTATION:
                return value if kind == SHORT and 1 <= value <= 8 else 1
    except struct.error:  # damaged EXIF data are no reason to refuse the pixels
        pass
    return 1


def _read_jpeg(content: bytes, image_format: str) -> Encoded:
    """The markers up to the frame (ITU T.81, B.2.2), in a third of Pillow's time; what is rare is left to Pillow."""
    offset, exif = len(JPEG_START), None
    while offset + 10 <= len(content) and content[offset] == 0xFF and content[offset + 1] not in NO_LENGTH:
        marker, length = content[offset + 1], int.from_bytes(content[offset + 2 : offset + 4])
        if marker == 0xE1 and exif is None and content.startswith(EXIF, offset + 4):
            exif = content[offset + 4 : offset + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = struct.unpack_from(">BHHB", content, offset + 4)
            if bits != 8 or channels not in (1, 3):
                break
            return Encoded(content, Header("JPEG", width, height, orientation(exif), channels, bits), None)
        offset += 2 + length
    return _read_by_pillow(content, image_format)


def _read_png(content: bytes, image_format: str) -> Encoded:
    """The chunks, and the checksums of those that hold pixels: Pillow checks neither all of them nor the end."""
    chunks = _png_chunks(content)
    width, height, bits, color_type = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    header = Header("PNG", width, height, orientation(chunks.get(b"eXIf")), PNG_CHANNELS[color_type], bits)
    if bits <= 8 and color_type in (0, 2, 3) and not {b"tRNS", b"acTL"} & set(chunks):
        return Encoded(content, header, None)
    image = _open(content, image_format)
    if bits < 8 and image.mode == "L" and "transparency" in image.info:
        image.info["transparency"] = image.info["transparency"] * 255 // (2**bits - 1)  # Pillow scales the pixels alone
    return Encoded(content, header, image)


def without_metadata(content: bytes) -> bytes:
    """A PNG with nothing but its pixels: libpng prints a warning on stderr for a profile that it does not like."""
    parts = [content[start:end] for kind, start, end in _png_spans(content) if kind in PNG_PIXELS]
    return b"".join([PNG_START, *parts])


def _png_chunks(content: bytes) -> dict[bytes, bytes]:
    """The first chunk of each kind but pixels, which are b"", once the checksums of the critical ones are right."""
    chunks, view = dict[bytes, bytes](), memoryview(content)
    for kind, start, end in _png_spans(content):
        if kind[0] < 97 and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            raise UnreadableImage("is a damaged PNG (wrong checksum)", problems.FETCH)
        chunks.setdefault(kind, b"" if kind == b"IDAT" else content[start + 8 : end - 4])
    return chunks


def _png_spans(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind, and where it starts and ends, to the end of the image."""
    offset, kind = len(PNG_START), b""
    while kind != b"IEND":
        if offset + 12 > len(content):
            raise problems.truncated("PNG")
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + 8 + length + 4
        if end > len(content):
            raise problems.truncated("PNG")
        yield kind, offset, end
        offset = end


def _read_webp(content: bytes, image_format: str) -> Encoded:
    if int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise problems.truncated(image_format)
    return _read_by_pillow(content, image_format)


def _read_tiff(content: bytes, image_format: str) -> Encoded:
    image = _open(content, image_format)
    width, height, turn, channels, bits = tiff.check(image)
    return Encoded(content, Header(image_format, width, height, turn, channels, bits), image)


def _read_bmp(content: bytes, image_format: str) -> Encoded:
    """Pillow reads more kinds than OpenCV, but takes a palette of grays for pixels of 1 or 8 bits at any depth."""
    image = _open(content, image_format)
    position = 24 if content[14] == 12 else 28  # after the size, which has 16 bits in the oldest header
    bits = int.from_bytes(content[position : position + 2], "little")
    encoded = _from_pillow(content, image_format, image)
    return encoded if bits == {"1": 1, "L": 8}.get(image.mode, bits) else encoded._replace(image=None)


def _read_pnm(content: bytes, image_format: str) -> Encoded:
    image = _open(content, image_format)
    arguments = image.tile[0].args
    if image.mode == "RGB" and isinstance(arguments, tuple) and arguments[1] > 255:
        # Pillow rounds them to 8 bits, where all other formats keep the upper 8.
        raise UnreadableImage("has 16 bits a color, as PNM", "convert it to PNG")
    return _from_pillow(content, image_format, image)


def _read_by_pillow(content: bytes, image_format: str) -> Encoded:
    return _from_pillow(content, image_format, _open(content, image_format))


def _from_pillow(content: bytes, image_format: str, image: ImageFile.ImageFile) -> Encoded:
    (width, height), channels, bits = image.size, len(image.getbands()), BITS.get(image.mode, 8)
    # Pillow writes the turn that an AVIF's own boxes ask for into its EXIF data.
    turn = orientation(image.info.get("exif"))
    return Encoded(content, Header(image_format, width, height, turn, channels, bits), image)


def _open(content: bytes, image_format: str) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(content), formats=[formats.READ[image_format]])


READERS = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WebP": _read_webp,
    "BMP": _read_bmp,
    "TIFF": _read_tiff,
    "PNM": _read_pnm,
}
