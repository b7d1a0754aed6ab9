"""Decoding and resizing: upright RGB, the same in every stage, and no truncated image taken for a complete one."""

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from heldout.data import images, raw_files
from heldout.data.decoding import decoders, headers
from heldout.data.decoding.problems import UnreadableImage


def encode(pixels: np.ndarray, image_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def test_a_png_keeps_its_pixels_in_rgb_order():
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 8, 7]]], np.uint8)
    assert np.array_equal(images.decode(encode(pixels, "PNG"), "x"), pixels)


def test_gray_becomes_three_equal_channels():
    pixels = images.decode(encode(np.array([[0, 128], [255, 7]], np.uint8), "PNG"), "x")
    assert pixels.shape == (2, 2, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_exif_orientation_is_applied():
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # left half white; orientation 6 turns it a quarter clockwise, so it is the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = images.decode(encode(pixels, "JPEG", exif=exif, quality=95), "x")
    assert upright.shape == (32, 16, 3)
    assert upright[:14].min() > 200 and upright[18:].max() < 50


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_image_is_an_error(image_format):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = encode(pixels, image_format)
    assert images.decode(content, "x").shape == (64, 64, 3)
    name = "WebP" if image_format == "WEBP" else image_format
    with pytest.raises(ValueError, match=rf"^some\.img is a truncated {name}: fetch it again or remove it$"):
        images.decode(content[: len(content) // 2], "some.img")


def test_a_truncated_jpeg_whose_decoder_gives_pixels_is_an_error():
    # OpenCV 5.0 gives none for such a file, others an array whose end is flat.
    content = encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), "JPEG")
    decoders._check_end(content)
    with pytest.raises(UnreadableImage, match=r"^is a truncated JPEG: fetch it again or remove it$"):
        decoders._check_end(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.jpg is empty \(0 bytes\): fetch it again"),
        (b"text", r"a\.jpg cannot be decoded as an image: convert it"),
        (b"<html>", r"a\.jpg cannot be decoded as an image: convert it"),
    ],
)
def test_other_bytes_are_an_error(content, message):
    with pytest.raises(ValueError, match=message):
        images.decode(content, "a.jpg")


def resized(pixels: np.ndarray, **changed) -> np.ndarray:
    settings = {"channels": 3, "resize": "squash", "interpolation": "area", "fast_decode": False}
    settings |= {"pad_color": [1, 2, 3]}
    return images.decode_and_resize(encode(pixels, "PNG"), "x", **(settings | changed))


def gray(values: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(values, np.uint8)[..., None], 3, axis=2)


def test_squash_averages_by_hand():
    small = resized(gray([[0, 10, 20, 30], [10, 20, 30, 40]]), image_size=[1, 2])
    assert small[..., 0].tolist() == [[10, 30]]


def test_crop_keeps_the_center():
    wide = gray([[90, 0, 10, 20, 30, 91], [90, 10, 20, 30, 40, 91]])
    assert resized(wide, image_size=[1, 2], resize="crop")[..., 0].tolist() == [[10, 30]]
    tall = wide.transpose(1, 0, 2)
    assert resized(tall, image_size=[2, 1], resize="crop")[..., 0].tolist() == [[10], [30]]
    square = resized(wide, image_size=[2, 2], resize="crop")
    assert square[..., 0].tolist() == [[10, 20], [20, 30]]


def test_pad_keeps_everything():
    wide = gray([[0, 10, 20, 30], [10, 20, 30, 40]])
    padded = resized(wide, image_size=[4, 4], resize="pad")
    assert np.array_equal(padded[1:3], wide)
    assert padded[0].tolist() == padded[3].tolist() == [[1, 2, 3]] * 4
    assert resized(wide, image_size=[2, 2], resize="pad")[..., 0].tolist() == [[10, 30], [1, 1]]


def test_one_channel_is_the_brightness_by_hand():
    rgb = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [100, 100, 100]]], np.uint8)
    single = resized(rgb, image_size=[2, 2], channels=1)
    assert single.shape == (2, 2, 1)
    assert single[..., 0].tolist() == [[76, 150], [29, 100]]  # 255 times 0.299, 0.587, 0.114
    padded = resized(rgb[:1], image_size=[2, 2], channels=1, resize="pad", pad_color=[0, 255, 0])
    assert padded[..., 0].tolist() == [[76, 150], [150, 150]]


def test_every_gray_keeps_its_value_in_one_channel():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    settings = {"image_size": [16, 16], "resize": "crop", "interpolation": "area", "pad_color": [0, 0, 0]}
    result = images.decode_and_resize(encode(ramp, "PNG"), "x", channels=1, fast_decode=False, **settings)
    assert np.array_equal(result[..., 0], ramp)


def test_a_line_of_pixels_can_be_cropped_and_padded():
    line = gray([[7] * 50])
    for resize in ("squash", "crop", "pad"):
        assert resized(line, image_size=[3, 3], resize=resize).shape == (3, 3, 3)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def test_fast_decode_is_for_large_jpegs_alone():
    pixels = cv2.resize(np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8), (160, 120))
    settings = {"channels": 3, "resize": "squash", "interpolation": "area", "pad_color": [0, 0, 0]}

    def both(content, size):
        exact, fast = (
            images.decode_and_resize(content, "x", image_size=size, fast_decode=flag, **settings)
            for flag in (False, True)
        )
        return exact, fast

    jpeg = encode(pixels, "JPEG", quality=95)
    exact, fast = both(jpeg, [60, 60])
    assert not np.array_equal(exact, fast) and psnr(exact, fast) > 36
    assert [images._fast_factor(headers.read(jpeg, 1).header, side) for side in (61, 60, 16, 15, 8, 7)] == [
        1,
        2,
        2,
        4,
        4,
        8,
    ]
    assert decoders.decode(headers.read(jpeg, 1), 8).shape == (15, 20, 3)
    for content, size in ((jpeg, [61, 60]), (jpeg, [60, 61]), (encode(pixels, "PNG"), [60, 60])):
        exact, fast = both(content, size)
        assert np.array_equal(exact, fast)


def test_fast_decode_applies_exif_and_notices_truncation():
    pixels = np.zeros((160, 320, 3), np.uint8)
    pixels[:, :160] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(pixels, "JPEG", exif=exif, quality=95)
    encoded = headers.read(content, 1)
    assert images._fast_factor(encoded.header, 80) == 2
    upright = decoders.decode(encoded, 8)
    assert upright.shape == (40, 20, 3) and upright[:18].min() > 200
    noise = encode(np.random.default_rng(0).integers(0, 256, (160, 320, 3), np.uint8), "JPEG")
    with pytest.raises(UnreadableImage, match=r"^is a truncated JPEG: "):
        decoders.decode(headers.read(noise[: len(noise) // 2], 1), 8)


def test_read_checks_that_the_index_saw_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(b"one")
    identity = hashlib.md5(b"one").hexdigest()
    assert raw_files.read("a.jpg", identity) == b"one"
    Path("a.jpg").write_bytes(b"two")
    with pytest.raises(ValueError, match=r"a\.jpg is not the image that the index saw: run `dvc repro`"):
        raw_files.read("a.jpg", identity)


@pytest.mark.slow
def test_read_falls_back_to_the_dvc_cache(restored, monkeypatch):
    monkeypatch.chdir(restored)
    raw_files._dvc_cache.cache_clear()
    content = Path("data/sample/0/0000.png").read_bytes()
    identity = hashlib.md5(content).hexdigest()
    assert raw_files.read("data/sample/0/absent.png", identity) == content
    with pytest.raises(ValueError, match="neither in the work tree nor in the DVC cache: run `dvc pull`"):
        raw_files.read("data/sample/0/absent.png", "0" * 32)
    raw_files._dvc_cache.cache_clear()


def test_opencv_reads_what_pillow_reads():
    pixels = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8), (60, 60))
    content = encode(pixels, "JPEG", quality=90)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(images.decode(content, "x"), np.asarray(image))


def test_transparent_pixels_become_white():
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]], [[0, 0, 0, 128], [9, 8, 7, 255]]], np.uint8)
    expected = [[[255, 0, 0], [255, 255, 255]], [[127, 127, 127], [9, 8, 7]]]
    assert images.decode(encode(pixels, "PNG"), "x").tolist() == expected


def test_a_transparent_palette_and_gray_with_alpha():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putdata([0, 1])
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=1)
    assert images.decode(buffer.getvalue(), "x").tolist() == [[[10, 20, 30], [255, 255, 255]]]
    buffer = io.BytesIO()
    Image.new("LA", (1, 1), (40, 0)).save(buffer, "PNG")
    assert images.decode(buffer.getvalue(), "x").tolist() == [[[255, 255, 255]]]


def test_sixteen_bits_become_eight():
    _, png = cv2.imencode(".png", np.array([[0, 257 * 100, 65535]], np.uint16))
    assert images.decode(png.tobytes(), "x")[0, :, 0].tolist() == [0, 100, 255]


def test_cmyk_is_converted():
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(buffer, "JPEG", quality=95)
    red = images.decode(buffer.getvalue(), "x")[8, 8]
    assert red[0] > 180 and red[1] < 80 and red[2] < 80


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_an_animation_is_its_first_frame(image_format):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:], duration=100)
    pixel = images.decode(buffer.getvalue(), "x")[4, 4].astype(int)
    assert pixel[0] > 200 and pixel[2] < 60
