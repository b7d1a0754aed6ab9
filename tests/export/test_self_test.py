"""The kit that ships: the reference against the decoding of training, and what `heldout verify` finds."""

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PREPROCESS, execute, scan
from PIL import Image
from small_models import CLASS_NAMES, TEMPLATE, network, sources, write_export

from heldout.data import images
from heldout.export import files, self_test, verification

SIZES = [
    (40, 64),
    (9, 7),
    (16, 40),
    (5, 33),
    (301, 123),
    (32, 24),
    (16, 12),
]  # shrunk, enlarged, one of each, by 2, as is
SETTINGS = PREPROCESS | {"image_size": [16, 16]}


def load_reference():
    spec = importlib.util.spec_from_file_location("reference", TEMPLATE / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def levels(content: bytes, **changed) -> int:
    """How far a pixel of the reference is from that of training, at most."""
    settings = PREPROCESS | {"image_size": [16, 12], "pad_color": [9, 99, 199]} | changed
    expected = images.decode_and_resize(content, "image", **settings)
    received = reference.decode_and_resize(content, **settings)
    assert received.shape == expected.shape and received.dtype == np.uint8
    return int(np.abs(received.astype(int) - expected).max())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["area", "linear", "cubic", "lanczos"])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_reference_resizes_as_training_does(resize, interpolation, channels):
    apart = {}
    for size in SIZES:
        noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
        for pixels in (self_test.pattern(*size), noise):
            apart[size] = levels(encoded(pixels), resize=resize, interpolation=interpolation, channels=channels)
    assert max(apart.values()) <= self_test.PIXEL_TOLERANCE, apart
    assert apart[16, 12] == 0  # nothing is resized


@pytest.mark.parametrize("size", [(400, 300), (130, 100), (64, 64), (701, 533), (31, 33)])
def test_the_reference_decodes_jpegs_to_the_bit_also_at_a_part_of_their_size(size):
    noise = cv2.blur(np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8), (3, 3))
    for pixels in (self_test.pattern(*size), noise):
        content = encoded(pixels, "JPEG", quality=90)
        expected = images.decode(content, "image")
        full = {"image_size": list(size), "resize": "squash"}
        assert levels(content, **full) == 0 and expected.shape[:2] == size
        assert levels(content, fast_decode=True) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_reference_turns_as_exif_says(orientation):
    exif = Image.Exif()
    exif[self_test.ORIENTATION] = orientation
    assert levels(encoded(self_test.pattern(40, 60), "JPEG", exif=exif)) <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_the_reference_makes_rgb_of_every_kind(mode):
    pixels = np.dstack([self_test.pattern(40, 60), np.arange(2400, dtype=np.uint16).reshape(40, 60) // 10])
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(file, "PNG")
    assert levels(file.getvalue()) <= 1


def test_what_is_drawn_is_the_same_again_and_no_two_are_alike():
    first, second = self_test.drawn(), self_test.drawn()
    assert first == second and len({item.content for item in first}) == len(first) == 6
    turned = images.decode(first[0].content, "turned")
    assert turned.shape == (60, 40, 3)


def test_test_images_come_one_of_each_class_first_whatever_their_order(photos):
    rows = scan()
    kit = self_test.gather(rows, SETTINGS, None, images=4)
    labels = [item.label for item in kit.items if item.label]
    assert len(labels) == 4 and set(labels[:3]) == set(CLASS_NAMES)
    again = self_test.gather(rows.sample(frac=1, random_state=0), SETTINGS, None, images=4)
    assert again.items == kit.items and (again.pixels == kit.pixels).all()
    assert [item.label for item in self_test.gather(rows, SETTINGS, None, images=0).items] == [""] * 6
    path = rows["path"].iloc[0]
    Path(path).write_bytes(b"changed")
    with pytest.raises(ValueError, match="is not the image that the index saw: run `dvc repro`"):
        self_test.gather(rows, SETTINGS, None, images=100)


def test_a_tolerance_is_rounded_up_to_one_digit():
    assert [self_test.rounded_up(value) for value in (0.0021, 0.03, 0, 1.2e-7)] == [0.003, 0.03, 0.0, 2e-7]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export of a small model as Keras's file, TFLite, int8 and ONNX, with its kit."""
    folder = tmp_path_factory.mktemp("exported")
    write_export(folder, ["keras", "tflite", "tflite_int8", "onnx"])
    return folder


@pytest.fixture
def export(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "export"))


def bad(export: Path) -> list[str]:
    return [finding.line for finding in verification.verify(export) if finding.is_good is False]


@pytest.mark.slow
def test_every_file_is_run_and_a_changed_byte_is_found(export, tmp_path):
    lines = [finding.line for finding in verification.verify(export)]
    assert lines[0] == "bytes: 14 of 14 files are here as they were exported"
    assert lines[1] == "decoding: 6 images, 0 of 255 levels apart at most, within 1"
    assert [line.split(":")[0] for line in lines[2:]] == ["keras", "tflite", "tflite_int8", "onnx"]
    assert lines[3].startswith("tflite: 6 images, max difference ") and lines[3].endswith(", within 0.0001")
    done = execute(sys.executable, "-m", "heldout", "verify", "export", cwd=tmp_path)
    assert done.stdout.splitlines() == lines

    model = export / "model.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 64
    model.write_bytes(content)
    assert "model.tflite: has other bytes than were exported" in bad(export)
    done = execute(sys.executable, "-m", "heldout", "verify", "export", cwd=tmp_path, expect=1)
    assert "heldout: model.tflite: has other bytes than were exported\n" in done.stdout


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_found_even_with_the_right_digest(export):
    other = network(filters=[8, 16])
    files.write("onnx", other, export / "model.onnx.new", sources(np.zeros((8, 16, 16, 3), np.uint8)))
    (export / "model.onnx.new").replace(export / "model.onnx")
    expected_json = export / "self_test/expected.json"
    expected = json.loads(expected_json.read_text(encoding="utf-8"))
    expected["files"] = self_test.digests(export)
    expected_json.write_text(json.dumps(expected), encoding="utf-8")
    (line,) = bad(export)
    assert line.startswith("onnx: 6 images, max difference ") and line.endswith(", expected 0.0001 at most")


@pytest.mark.slow
def test_what_is_missing_added_or_damaged_is_said_in_a_line(export):
    (export / "README.md").write_text("a person's own words", encoding="utf-8")
    (export / "labels.txt").unlink()
    shutil.copy(export / "model.tflite", export / "model_float16.tflite")
    assert bad(export) == ["labels.txt: is missing", "tflite_float16: model_float16.tflite is not of this export"]
    (export / "self_test/expected.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"self_test is damaged \('images'\): fetch it again, or `dvc checkout --force"
    ):
        list(verification.verify(export))
    (export / "self_test/expected.json").unlink()
    with pytest.raises(ValueError, match=r"has no self_test/expected\.json: it is from before there was one"):
        list(verification.verify(export))
    with pytest.raises(ValueError, match=r"^expected a folder that the stage export wrote, .*self_test has no heldout"):
        list(verification.verify(export / "self_test"))


@pytest.mark.slow
def test_the_reference_proves_its_own_pixels(export, tmp_path):
    command = [sys.executable, str(export / "self_test/reference.py")]
    lines = execute(*command, cwd=tmp_path).stdout.splitlines()
    assert len(lines) == 6 and all(line.split(": ")[1].startswith("as expected") for line in lines)


@pytest.mark.slow
def test_without_a_runtime_a_file_is_skipped_and_tensorflow_is_not_needed(export):
    """In a process that has neither TensorFlow nor Keras nor ONNX Runtime: None in sys.modules makes an import fail."""
    (export / "model.keras").unlink()
    code = (
        "import sys\nfor name in ('tensorflow', 'keras', 'onnxruntime'): sys.modules[name] = None\n"
        f"from heldout.__main__ import main\nsys.exit(main(['verify', {str(export)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "onnx: skipped, onnxruntime is not installed" in done.stdout and "tflite: 6 images" in done.stdout
    assert "bytes: 13 of 14 files are here as they were exported\nmodel.keras: not in this copy\n" in done.stdout
