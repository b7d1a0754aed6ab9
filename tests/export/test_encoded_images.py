"""`serve_encoded` decodes and resizes JPEG and PNG as OpenCV does for training, within a level or two of a pixel."""

import io
import itertools

import cv2
import numpy as np
import pytest
from conftest import PREPROCESS
from PIL import Image
from small_models import network, sources

from heldout.core.process import suppress_native_stderr
from heldout.data import images
from heldout.export.decoding import encoded_images
from heldout.export.formats import saved_model

with suppress_native_stderr():
    import tensorflow as tf

pytestmark = pytest.mark.slow
LEVELS = 1  # of a pixel: OpenCV computes in fixed point
SIZES = [(40, 64), (9, 7), (16, 40), (5, 33), (301, 123)]  # shrunk, enlarged, and one of each


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(height).integers(0, 256, (4, 4, channels), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def levels(content: bytes, **changed) -> int:
    """The largest difference of a pixel between TensorFlow's way and that of training."""
    settings = PREPROCESS | {"image_size": [16, 12]} | changed
    expected = images.decode_and_resize(content, "image", **settings)
    received = encoded_images.decode_and_resize(tf.constant(content), **settings).numpy()
    assert received.shape == expected.shape and (received == np.round(received)).all()
    return int(np.abs(received - expected).max())


@pytest.mark.parametrize("interpolation", ["area", "linear", "cubic", "lanczos"])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_every_way_to_resize(resize, interpolation):
    apart = {
        size: levels(encoded(photo(*size)), resize=resize, interpolation=interpolation, pad_color=[9, 99, 199])
        for size in SIZES
    }
    assert max(apart.values()) <= LEVELS, apart


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["II", "MM"])
def test_a_jpeg_is_turned_as_its_exif_says(orientation, order):
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif[0x010F], exif[0x0112] = "maker", orientation
    content = encoded(photo(40, 64), "JPEG", exif=exif.tobytes(), quality=95)
    assert b"Exif\0\0" + order.encode() in content
    assert levels(content) <= LEVELS


def test_a_damaged_exif_is_none():
    content = encoded(photo(40, 64), "JPEG")
    for tail in (b"MM\0*\xff\xff\xff\xff", b"", b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01\0\0\0\x63\0\0\0"):
        segment = b"Exif\0\0" + tail
        damaged = content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2) + segment + content[2:]
        assert levels(damaged) <= LEVELS, tail


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_png_of_every_kind(mode):
    pixels = (
        Image.fromarray(photo(40, 64, 4), "RGBA") if mode == "RGBA" else Image.fromarray(photo(40, 64)).convert(mode)
    )
    file = io.BytesIO()
    pixels.save(file, "PNG")
    assert levels(file.getvalue()) <= LEVELS + (mode == "RGBA")


@pytest.mark.parametrize("quality", [30, 95])
def test_jpeg_of_color_and_gray(quality):
    assert levels(encoded(photo(40, 64), "JPEG", quality=quality)) <= LEVELS
    assert levels(encoded(photo(40, 64, 1), "JPEG", quality=quality)) <= LEVELS
    assert levels(encoded(photo(40, 64), "JPEG", quality=quality), channels=1) <= LEVELS + 1


def test_the_signature_predicts_files_of_any_size(tmp_path):
    model = network()
    given = sources(np.zeros((1, 16, 16, 3), np.uint8))
    saved_model.write(model, tmp_path / "saved_model", given)
    sizes = itertools.product((9, 40), (16, 33))
    contents = [encoded(photo(*size), kind) for size, kind in zip(sizes, ("PNG", "JPEG", "PNG", "JPEG"), strict=True)]
    pixels = np.stack([images.decode_and_resize(content, "image", **given.preprocess) for content in contents])
    run = saved_model.load(tmp_path / "saved_model", saved_model.SERVE_ENCODED)
    assert np.abs(run(np.array(contents, object)) - model.predict_on_batch(pixels)).max() < 2e-3
