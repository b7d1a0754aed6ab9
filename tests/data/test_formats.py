"""The format of an image, by its first bytes: real files of each, and what only looks like one."""

import io
import json
import struct
import wave
import zipfile

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from heldout.data.decoding.formats import image_format

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)


def by_pillow(plugin: str, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, plugin, **options)
    return buffer.getvalue()


def heic() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(np.zeros((64, 64, 3), np.uint8))).save(buffer)
    return buffer.getvalue()


IMAGES = {
    "JPEG": [by_pillow("JPEG"), by_pillow("JPEG", exif=b"Exif\0\0II*\0")],
    "PNG": [by_pillow("PNG")],
    "WebP": [by_pillow("WEBP"), by_pillow("WEBP", lossless=True)],
    "BMP": [
        by_pillow("BMP"),
        by_pillow("BMP", "P"),
        by_pillow("BMP", "RGBA"),
        cv2.imencode(".bmp", PIXELS)[1].tobytes(),
    ],
    "GIF": [by_pillow("GIF")],
    "TIFF": [by_pillow("TIFF"), by_pillow("TIFF", big_tiff=True), cv2.imencode(".tiff", PIXELS)[1].tobytes()],
    "AVIF": [by_pillow("AVIF")],
    "HEIC": [heic()],
    "JPEG 2000": [by_pillow("JPEG2000"), by_pillow("JPEG2000", no_jp2=True)],
    "PNM": [
        by_pillow("PPM"),
        by_pillow("PPM", "L"),
        by_pillow("PPM", "1"),
        b"P2 # by hand\n2 1 255 0 9",
        b"P3\n# by GIMP",
    ],
    "PAM": [cv2.imencode(".pam", PIXELS)[1].tobytes()],
    "PFM": [cv2.imencode(".pfm", PIXELS.astype(np.float32))[1].tobytes()],
    "ICO": [by_pillow("ICO")],
    "PSD": [b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 8, 9, 8, 3)],
    "Radiance HDR": [cv2.imencode(".hdr", PIXELS.astype(np.float32))[1].tobytes()],
    "Sun raster": [cv2.imencode(".ras", PIXELS)[1].tobytes()],
    "QOI": [by_pillow("QOI")],
    "DDS": [by_pillow("DDS")],
    "SVG": [b'<svg xmlns="http://www.w3.org/2000/svg">'],
    "camera raw": [b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 20, b"FUJIFILMCCD-RAW 0201"],
}


def sound() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 100)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "text")
    return buffer.getvalue()


OTHERS = {
    "empty": b"",
    "text": b"just text\n",
    "text by BM": b"BMW, Audi, Volkswagen and other cars of the year",
    "text by P": b"P1 is the first player and P2 the second",
    "text by P and a number": b"P1 2 players, P2 3 players",
    "text by GIF": b"GIFs are animated",
    "CSV": b"path,label\na.jpg,cat\n",
    "CSV by P": b"P5,label\na.jpg,cat\n",
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "JSON": json.dumps({"a": 1}).encode(),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "ZIP": archive(),
    "sound": sound(),
    "film": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    "AVI": b"RIFF\x24\0\0\0AVI LIST",
    "numpy": b"\x93NUMPY\1\0v\0",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "zeros": b"\0" * 64,
    "font": b"\0\1\0\0\0\x0f\0\x80\0\3\0\x70GSUB",
    "ones": b"\xff" * 64,
    "pickle": b"\x80\4\x95",
    "macOS": b"\0\5\x16\7\0\2\0\0Mac OS X        ",
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "ELF": b"\x7fELF\2\1\1",
    "YAML": b"P: 1\nBM: 2\nII: 3\n",
}


@pytest.mark.parametrize(("name", "content"), [(name, file) for name, files in IMAGES.items() for file in files])
def test_an_image_is_known_by_its_first_bytes(name, content):
    assert image_format(content) == image_format(content[:32]) == name


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_what_is_no_image_has_no_format(content):
    assert image_format(content) is None
