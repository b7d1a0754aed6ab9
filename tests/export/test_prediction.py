"""`heldout predict` and `heldout.predict` of a small model in every format, with odd names and bad files as well."""

import csv
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PREPROCESS, write_image
from small_models import CLASS_NAMES, network, pixels, sources
from test_export_formats import EVERY_FORMAT, INSTALLED

import heldout
from heldout.data import images
from heldout.export import files, predict
from heldout.export.prediction import model_file

pytestmark = pytest.mark.slow
SETTINGS = PREPROCESS | {"image_size": [16, 16]}
DESCRIPTION = {"class_names": CLASS_NAMES, "preprocess": SETTINGS, "threshold": 0.35}
NAMES = [b"a.png", b"b.jpg", b"two\nlines.png", b"\xff.png", b"quote'\".png", b"=1+1.png", b"huge.png", b"zero.jpg"]
BAD = ["huge.png", "zero.jpg"]


def huge_png() -> bytes:
    """A PNG of 40,000 x 40,000 pixels by its header, in 57 bytes."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export folder with a small model in every format that is installed."""
    folder = tmp_path_factory.mktemp("shipped") / "export"
    folder.mkdir()
    for name in INSTALLED:
        files.write(name, network(), folder / files.FILES[name], sources(pixels()))
    (folder / "heldout.json").write_text(json.dumps(DESCRIPTION))
    return folder


@pytest.fixture
def photos(tmp_path):
    """A folder of images with odd names, one too large by its header, and an empty file."""
    folder = tmp_path / "photos"
    for number, name in enumerate(NAMES[:6]):
        write_image(tmp_path / "image.png", number)
        folder.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "image.png", os.fsencode(folder) + b"/" + name)
    (folder / "huge.png").write_bytes(huge_png())
    (folder / "zero.jpg").touch()
    return folder


def run(*arguments, stdin: bytes = b"") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "heldout", "predict", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True)


def expected_of(folder) -> dict[str, np.ndarray]:
    """The model's probabilities by path, of what can be decoded."""
    paths = [f"{folder}/{os.fsdecode(name)}" for name in NAMES if name.decode("latin-1") not in BAD]
    batch = [images.decode_and_resize(Path(path).read_bytes(), path, **SETTINGS) for path in paths]
    return dict(zip(paths, network().predict_on_batch(np.stack(batch)), strict=True))


@EVERY_FORMAT
def test_every_format_answers_by_its_name_its_file_and_a_copy(export, photos, tmp_path, name):
    expected = expected_of(photos)
    path = export / files.FILES[name]
    copy = shutil.copytree if path.is_dir() else shutil.copy
    other = copy(path, tmp_path / f"other{path.suffix}")
    tolerance = 0.02 if files.FORMATS[name].IS_QUANTIZED else 1e-6
    for model, folder in ((name, export), (path, None), (other, export)):
        rows = heldout.predict(photos, model, export=folder, top=3)
        assert {row.path for row in rows if row.error} == {f"{photos}/{bad}" for bad in BAD}
        for row in (row for row in rows if not row.error):
            probabilities = expected[row.path]
            assert row.predicted == row.ranked[0][0] and len(row.ranked) == 3
            for class_name, confidence in row.ranked:
                assert abs(confidence - probabilities[CLASS_NAMES.index(class_name)]) < tolerance
            assert row.unsure == (round(row.confidence, 6) < DESCRIPTION["threshold"])


def test_formats_of_the_output_say_the_same(export, photos):
    jsonl, array, text = (
        run(photos, "--export", export, "--top", "2", "--format", name) for name in ("jsonl", "json", "csv")
    )
    rows = [json.loads(line) for line in jsonl.stdout.splitlines()]
    assert rows == json.loads(array.stdout) and len(rows) == len(NAMES)
    for done in (jsonl, array, text):
        assert done.returncode == 1 and done.stderr == b"heldout: 2 of 8 not predicted\n"
    table = list(csv.DictReader(io.StringIO(text.stdout.decode())))
    assert text.stdout.count(b"\n") == len(NAMES) + 1  # a line a row, whatever the names
    assert list(table[0]) == ["path", "predicted", "confidence", "unsure", "error", "class_2", "confidence_2"]
    for row, line in zip(rows, table, strict=True):
        if "error" in row:
            assert (line["error"], line["predicted"], line["class_2"]) == (row["error"], "", "")
            continue
        first, second = row["predictions"]
        assert (line["predicted"], line["class_2"], line["unsure"]) == (
            first["class"],
            second["class"],
            str(row["unsure"]),
        )
        assert float(line["confidence"]) == pytest.approx(first["confidence"], abs=1e-6)
        assert float(line["confidence_2"]) == pytest.approx(second["confidence"], abs=1e-6)
    assert {r"two\nlines.png", r"\udcff.png", "=1+1.png"} <= {line["path"].split("/")[-1] for line in table}
    assert run("none*", "--export", export, "--format", "json").stdout.count(b"error") == 1


def test_names_on_standard_input_are_read_as_they_are(export, photos):
    names = b"\0".join(os.fsencode(photos) + b"/" + name for name in NAMES[:4])
    done = run("-", "-0", "--json", "--export", export, stdin=names)
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.count(b"predictions") == 4
    done = run("-", "--json", "--export", export, stdin=b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_arrays_are_predicted_as_files_are(export, photos):
    path = photos / "a.png"
    decoded = images.decode(path.read_bytes(), "a.png")
    (from_file,) = heldout.predict(path, export=export)
    first, second, third = heldout.predict([np.stack([decoded, decoded]), path], export=export)
    assert first == second == third._replace(path="") and abs(first.confidence - from_file.confidence) < 1e-6
    gray = decoded[..., :1]
    assert heldout.predict(gray, export=export) == heldout.predict(np.repeat(gray, 3, axis=2), export=export)
    table = pd.DataFrame(heldout.predict([path, "none.png"], export=export))
    assert table["error"].tolist() == ["", "none.png: no such file or folder"] and np.isnan(table["confidence"][1])
    with pytest.raises(ValueError, match=r"^expected paths, or arrays uint8 .* got ndarray of float32 \(24, 32, 3\)$"):
        heldout.predict(decoded.astype(np.float32), export=export)
    assert heldout.predict([], export=export) == []
    assert predict.predict is heldout.predict
    with pytest.raises(AttributeError, match="no attribute 'predicts'"):
        getattr(heldout, "predicts")  # noqa: B009


def test_many_images_keep_their_order_in_any_batch(export):
    batch = np.random.default_rng(1).integers(0, 256, (300, 20, 16, 3), np.uint8)
    rows = heldout.predict(batch, export=export, top=3)
    resized = [
        images.resize_pixels(image, None, **{k: v for k, v in SETTINGS.items() if k != "fast_decode"})
        for image in batch
    ]
    expected = np.sort(network().predict_on_batch(np.stack(resized)), axis=1)[:, ::-1]
    assert np.abs(np.array([[value for _, value in row.ranked] for row in rows]) - expected).max() < 1e-6


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_no_other_runtime_is_imported(export, photos, name):
    if name not in INSTALLED:
        pytest.skip(f"the extra {name} is not installed")
    code = "import sys; from heldout.__main__ import main; main(sys.argv[1:]); "
    code += "sys.exit(bool({'tensorflow', 'keras', 'h5py', 'pandas'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, "predict", photos / "a.png", "--model", name, "--export", export]
    subprocess.run(command, check=True, capture_output=True)


def test_the_model_is_the_first_whose_runtime_is_there(export, tmp_path, monkeypatch):
    assert model_file.load(export=export).path.name == "model.tflite"
    folder = shutil.copytree(export, tmp_path / "export")
    (folder / "model.tflite").unlink()
    if "onnx" in INSTALLED:
        assert model_file.load(folder).path.name == "model.onnx"
        monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as Python knows what cannot be imported
    (folder / "model.onnx").touch()
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert model_file.load(folder).path.name == "model.keras"
    with pytest.raises(
        files.MissingRuntime, match=r"model\.onnx needs onnx, which is not installed: run `uv pip install "
    ):
        model_file.load(folder / "model.onnx")


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("none.tflite", r"^none\.tflite: no such file or folder$"),
        (
            "README.md",
            r"README\.md is no model: expected a \.tflite, \.onnx, \.keras or \.h5 file, .* one of keras, h5",
        ),
        ("empty", r"empty is no model: expected a"),
        (
            "alone/model.tflite",
            r"alone/heldout\.json is missing, which says the classes of .*: name the folder that has",
        ),
        ("text.tflite", r"text\.tflite is not loaded \(it is no TFLite file\): run `dvc checkout --force "),
        ("odd.tflite", r"is damaged \(class_names are not text\): run `dvc checkout --force "),
        ("few/model.tflite", r"few/model\.tflite gives 3 probabilities, .*few/heldout\.json names 2 classes: run"),
        ("size/model.tflite", r"size is damaged or not of .*size/model\.tflite \("),
        ("nothing", r"nothing has no model: add tflite to export\.formats and run `dvc repro`"),
    ],
)
def test_a_model_that_is_none_is_one_line(export, tmp_path, monkeypatch, model, line):
    monkeypatch.chdir(tmp_path)
    descriptions = {
        "few": DESCRIPTION | {"class_names": ["a", "b"]},
        "size": DESCRIPTION | {"preprocess": SETTINGS | {"channels": 1}},
        "nothing": DESCRIPTION,
        "odd": DESCRIPTION | {"class_names": [1, 2, 3]},
        ".": DESCRIPTION,
    }
    for name in ("alone", "few", "size", "nothing", "empty", "odd"):
        (tmp_path / name).mkdir()
    for name in ("alone", "few", "size"):
        shutil.copy(export / "model.tflite", tmp_path / name)
    for name, values in descriptions.items():
        (tmp_path / name / "heldout.json").write_text(json.dumps(values))
    for name in ("README.md", "text.tflite"):
        (tmp_path / name).write_text("some text")
    folder = tmp_path / "odd" if model == "odd.tflite" else None
    shutil.copy(export / "model.tflite", tmp_path / "odd.tflite")
    with pytest.raises(ValueError, match=line) as caught:
        model_file.load(model if model == "none.tflite" else tmp_path / model, folder)
    assert "\n" not in str(caught.value)


def test_rows_come_as_they_are_predicted_and_an_end_of_the_reader_ends_it(export, photos):
    command = [sys.executable, "-m", "heldout", "predict", "--export", str(export), "--format", "csv"]
    command += [str(photos / "a.png")] * 2000
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"path,") and process.stdout.readline().startswith(
            str(photos).encode()
        )
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode < 0


def test_an_interruption_is_one_line(export, photos):
    command = [sys.executable, "-m", "heldout", "predict", "--export", str(export), *[str(photos / "b.jpg")] * 5000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert (
        process.returncode == -signal.SIGINT and error.startswith(b"heldout: interrupted: ") and error.count(b"\n") == 1
    )
