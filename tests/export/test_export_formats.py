"""Every format: written twice with the same bytes, loaded in its own runtime, and held to its bar."""

import hashlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from small_models import exam_of, network, pixels, sources

from heldout.core.process import suppress_native_stderr
from heldout.evaluation.intervals import Interval
from heldout.export import export, files
from heldout.export.exam import Parity

with suppress_native_stderr():
    import keras

pytestmark = pytest.mark.slow
BARS = {"tolerance": 1e-4, "max_accuracy_drop": 0.01, "on_miss": "error", "gate": 0}
WRITE = """
import sys
from pathlib import Path
from heldout.core import process
process.setup()
from small_models import network, pixels, sources
from heldout.export import files
for name in sys.argv[2:]:
    files.FORMATS[name].write(network(), Path(sys.argv[1], files.FILES[name]), sources(pixels()))
"""


def is_installed(name: str) -> bool:
    try:
        return all(version(distribution) for distribution in files.FORMATS[name].RUNTIME)
    except PackageNotFoundError:
        return False


INSTALLED = [name for name in files.FORMATS if is_installed(name)]
EVERY_FORMAT = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"the extra {name} is not installed"))
        for name in files.FORMATS
    ],
)


def digests(path: Path) -> dict[str, str]:
    parts = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
    return {part.relative_to(path.parent).as_posix(): hashlib.md5(part.read_bytes()).hexdigest() for part in parts}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a small model in every format that is installed."""
    folder = tmp_path_factory.mktemp("written")
    for name in INSTALLED:
        files.FORMATS[name].write(network(), folder / files.FILES[name], sources(pixels()))
    return folder


@EVERY_FORMAT
def test_a_file_predicts_what_the_model_does_in_any_batch(written, name):
    images, run = pixels(), files.load(name, written / files.FILES[name])
    expected = network().predict_on_batch(images)
    for count in (8, 1, 3):
        difference = np.abs(run(images[:count]) - expected[:count]).max()
        assert difference < (0.02 if files.FORMATS[name].IS_QUANTIZED else 1e-6), name


def test_another_process_writes_the_same_bytes(written, tmp_path):
    """saved_model's are compared between processes by dvc.lock: within one TensorFlow numbers its functions on."""
    names = [name for name in INSTALLED if name != "saved_model"]
    env = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}/tests:{ROOT}/tests/export", "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path), *names], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    for name in names:
        assert digests(tmp_path / files.FILES[name]) == digests(written / files.FILES[name]), name


@EVERY_FORMAT
def test_a_model_of_two_inputs_ships(tmp_path, name):
    images, tokens = keras.Input((16, 16, 3), name="images"), keras.Input((5,), dtype="int32", name="tokens")
    words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 4)(tokens))
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(images), words])
    model = keras.Model([images, tokens], keras.layers.Dense(2, activation="softmax")(joined))
    given = [pixels(), np.arange(40, dtype=np.int32).reshape(8, 5) % 10]
    path = tmp_path / files.FILES[name]
    if name == "tflite_int8":
        line = (
            r"^model_int8\.tflite is not written \(its ranges are .*images, tokens\): remove tflite_int8 from export\.f"
        )
        with pytest.raises(ValueError, match=line):
            files.write(name, model, path, sources(pixels()))
        return
    files.write(name, model, path, sources(pixels()))
    difference = np.abs(files.load(name, path)(given) - model.predict_on_batch(given)).max()
    assert difference < (0.05 if files.FORMATS[name].IS_QUANTIZED else 1e-5)


def test_int8_takes_the_pixels_as_they_are(written):
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(str(written / files.FILES["tflite_int8"])).get_input_details()
    assert [(item["dtype"], item["quantization"]) for item in details] == [(np.uint8, (1.0, 0))]


def test_what_misses_its_bar_fails_by_name_or_is_left_out(images, tmp_path):
    given = (network(), tmp_path, exam_of(images), sources(images))
    tight, formats = BARS | {"tolerance": 1e-12}, ["keras", "tflite"]
    line = (
        r"^model\.tflite does not predict what the model does: max difference \S+, expected 1e-12 at most \(export.tol"
    )
    with pytest.raises(ValueError, match=line):
        export.export(*given, formats=formats, **tight)
    shipped = export.export(*given, formats=formats, **tight | {"on_miss": "warn"})
    assert list(shipped.parity) == ["keras"] and [path.name for path in tmp_path.glob("model*")] == ["model.keras"]
    assert shipped.missed[0].startswith("model.tflite is left out: it does not predict what the model does")
    assert export.lines(shipped, len(images))[-1] == shipped.missed[0]
    with pytest.raises(ValueError, match=r"^nothing ships: model\.tflite is left out"):
        export.export(*given, formats=["tflite"], **tight | {"on_miss": "warn"})


def test_below_the_gate_nothing_ships(images, tmp_path):
    with pytest.raises(
        ValueError, match=r"^nothing ships: the accuracy is 0\.\d+ at least .* 0\.\d+ below export\.gate"
    ):
        export.export(network(), tmp_path, exam_of(images), sources(images), formats=["keras"], **BARS | {"gate": 0.99})
    assert list(tmp_path.glob("model*")) == []


def test_the_figures_are_flat_and_quantized_files_are_held_to_the_accuracy():
    parity = Parity(0.2, 3, 100, Interval(0.9, 0.85, 0.94), Interval(-0.02, -0.04, -0.001))
    line = export._miss("tflite_int8", parity, 0.2, 1e-4, 0.01)
    assert line == (
        "is less accurate than the model: by 0.0200 [0.0010, 0.0400], expected 0.01 at most (export.max_accuracy_drop)"
    )
    assert export._miss("tflite_int8", parity, 0.2, 1e-4, 0.02) == ""
    assert export._miss("onnx", parity, float("nan"), 1e-4, 1).startswith("does not predict what the model does")
    assert export.metrics(export.Shipped({"onnx": parity}, {}, [])) == {
        "onnx_max_abs_difference": 0.2,
        "onnx_changed_predictions": 3,
        "onnx_bytes": 100,
        "onnx_accuracy": 0.9,
        "onnx_accuracy_low": 0.85,
        "onnx_accuracy_high": 0.94,
        "onnx_accuracy_difference": -0.02,
        "onnx_accuracy_difference_low": -0.04,
        "onnx_accuracy_difference_high": -0.001,
    }


def test_a_runtime_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(files.FORMATS, "openvino", SimpleNamespace(RUNTIME=("no-such-library",)))
    line = r"^export\.formats has openvino, which needs no-such-library: install the extra openvino \(`uv pip install "
    with pytest.raises(ValueError, match=line):
        files.check_runtimes(["keras", "openvino"])
