"""Export and prediction: the shipped files are the measured ones, byte-stable, and predict single images."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, execute
from small_models import sources
from test_export_formats import BARS

from heldout.data import manifest, shards
from heldout.export import calibrate, exam, export, files
from heldout.networks import build

pytestmark = pytest.mark.slow
FORMATS = ["keras", "saved_model", "tflite"]
NO_THRESHOLD = '{"class_names": ["a"], "preprocess": {}, "threshold": "high"}'


def heldout(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "heldout", *arguments], cwd=folder, capture_output=True, text=True)


def description(project: Path) -> dict:
    return json.loads((project / "export/heldout.json").read_text(encoding="utf-8"))


@pytest.fixture
def parts(finished):
    """The finished project's model, calibrated, its test images, and its predictions of them."""
    description = json.loads((finished / "models/model.json").read_text(encoding="utf-8"))
    temperature = calibrate.read(finished / "metrics/calibration.json")["temperature"]
    assert temperature != 1
    model = calibrate.calibrate(build.load(description, str(finished / "models/model.weights.h5")), temperature)
    images = shards.Images(finished / "data/processed/test")
    return model, images, model.predict(images[np.arange(len(images))], verbose=0)


def test_every_file_predicts_what_the_model_does(finished):
    report = json.loads((finished / "metrics/export.json").read_text(encoding="utf-8"))
    ends = ("", "_low", "_high")
    keys = ["max_abs_difference", "changed_predictions", "bytes"]
    keys += [f"{score}{end}" for score in ("accuracy", "accuracy_difference") for end in ends]
    assert list(report) == [f"{name}_{key}" for name in FORMATS for key in keys]
    scores = json.loads((finished / "metrics/eval.json").read_text(encoding="utf-8"))
    for name in FORMATS:
        assert report[f"{name}_max_abs_difference"] < 1e-5 and report[f"{name}_changed_predictions"] == 0
        assert report[f"{name}_bytes"] > 10000
        assert [report[f"{name}_accuracy{end}"] for end in ends] == [scores[f"accuracy{end}"] for end in ends]
        assert report[f"{name}_accuracy_difference"] == 0 > report[f"{name}_accuracy_difference_low"]
    assert (finished / "export/labels.txt").read_text().split() == list("0123456789")


def test_a_second_export_has_the_same_bytes(finished, parts, tmp_path):
    model, images, _ = parts
    class_names = description(finished)["class_names"]
    given = exam.read(images, manifest.read(finished / "data/splits/test.csv"), class_names)
    export.export(model, tmp_path, given, sources(images), formats=FORMATS, **BARS)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6
    # The saved model's own bytes are compared between processes, by dvc.lock in test_repro.py: here TensorFlow has
    # numbered its functions on from what this process did before.
    for name in ("model.keras", "model.tflite"):
        assert (tmp_path / name).read_bytes() == (finished / "export" / name).read_bytes(), name


def test_predict_gives_the_predictions_of_the_evaluation(finished):
    table = pd.read_csv(finished / "metrics/predictions.csv", dtype={"label": str, "predicted": str})
    done = heldout(finished, "predict", "--json", "--top", "3", *table["path"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    saved = heldout(finished, "predict", "--format", "csv", "--model", "export/saved_model", *table["path"])
    columns = pd.read_csv(io.StringIO(saved.stdout), dtype={"predicted": str})
    assert (columns[["path", "predicted"]] == table[["path", "predicted"]]).all(axis=None)
    assert columns["confidence"].tolist() == pytest.approx(table["calibrated_confidence"].tolist(), abs=1e-5)
    assert done.returncode == 0 and done.stderr == ""
    assert [row["path"] for row in rows] == table["path"].tolist()
    assert [row["predictions"][0]["class"] for row in rows] == table["predicted"].tolist()
    confidence = [row["predictions"][0]["confidence"] for row in rows]
    assert confidence == pytest.approx(table["calibrated_confidence"].tolist(), abs=1e-5)
    assert all(len(row["predictions"]) == 3 for row in rows)
    unsure, threshold = np.array([row["unsure"] for row in rows]), description(finished)["threshold"]
    clear = np.abs(table["calibrated_confidence"] - threshold) > 1e-5
    assert (unsure == (table["calibrated_confidence"] < threshold))[clear].all() and 0 < unsure.sum() < len(rows)
    coverage = json.loads((finished / "metrics/eval.json").read_text(encoding="utf-8"))["selective_coverage"]
    assert 1 - unsure.mean() == pytest.approx(coverage, abs=1e-6 + (~clear).mean())


def test_the_description_tells_how_it_was_calibrated_and_on_which_exam_measured(finished):
    calibration = json.loads((finished / "metrics/calibration.json").read_text(encoding="utf-8"))
    data = json.loads((finished / "metrics/data.json").read_text(encoding="utf-8"))
    values = description(finished)
    assert list(values) == ["class_names", "preprocess", *calibrate.KEYS, "test_fingerprint", "lineage"]
    assert {key: values[key] for key in calibrate.KEYS} == {key: calibration[key] for key in calibrate.KEYS}
    assert values["test_fingerprint"] == data["test_fingerprint"]
    lock = yaml.safe_load((finished / "dvc.lock").read_text(encoding="utf-8"))["stages"]["export"]["deps"]
    digests = {dep["path"]: dep["md5"] for dep in lock}
    made_of = ["models/model.weights.h5", "models/model.json", "metrics/calibration.json", "data/splits/test.csv"]
    assert values["lineage"] == {path: digests[path] for path in made_of}


def test_speeds_are_where_neither_git_nor_dvc_look(finished):
    speeds = json.loads((finished / ".dvc/state/export_speed.json").read_text(encoding="utf-8"))
    assert list(speeds) == FORMATS
    assert all(list(speed) == ["median_ms", "p95_ms", "images_per_second"] for speed in speeds.values())
    assert execute("git", "status", "--porcelain", cwd=finished).stdout == ""


@pytest.mark.parametrize(("threshold", "unsure"), [(0, False), (1.01, True), (None, False)])
def test_unsure_is_said_below_the_threshold_and_never_without_one(finished, tmp_path, threshold, unsure):
    """None: an export from before there was a threshold."""
    shutil.copytree(finished / "export", tmp_path / "export")
    values = description(finished) | {"threshold": threshold}
    if threshold is None:
        del values["threshold"]
    (tmp_path / "export/heldout.json").unlink()  # a link into DVC's cache
    (tmp_path / "export/heldout.json").write_text(json.dumps(values), encoding="utf-8")
    arguments = ("predict", "--export", str(tmp_path / "export"), "data/sample/3/1503.png", "--top", "2")
    line = heldout(finished, *arguments).stdout
    assert line.count("%") == 2 and line.endswith("%  unsure\n" if unsure else "%\n")
    assert json.loads(heldout(finished, *arguments, "--json").stdout)["unsure"] is unsure


def test_predict_reads_folders_and_prints_a_table(finished):
    done = heldout(finished, "predict", "data/sample/3")
    lines = done.stdout.splitlines()
    assert len(lines) == len(list((finished / "data/sample/3").iterdir()))
    assert lines[0].startswith("data/sample/3/1500.png  ") and lines[0].removesuffix("  unsure").endswith("%")


def test_predict_says_what_is_wrong_and_goes_on(finished):
    done = heldout(finished, "predict", "README.md", "data/sample/3/1503.png")
    assert done.returncode == 1
    line = "heldout: README.md cannot be decoded as an image: convert it to JPEG or PNG, or remove it\n"
    assert done.stderr == f"{line}heldout: 1 of 2 not predicted\n"
    assert done.stdout.startswith("data/sample/3/1503.png")
    done = heldout(finished, "predict", "none.png", "data/sample/3/1503.png", "tests")
    assert done.returncode == 1 and done.stdout.startswith("data/sample/3/1503.png")
    lines = ["none.png: no such file or folder", "tests holds no images", "2 of 3 not predicted"]
    assert done.stderr == "".join(f"heldout: {line}\n" for line in lines)
    line = heldout(finished, "predict", "README.md", "--export", "nowhere").stderr
    assert line == "heldout: nowhere/heldout.json is missing: run `dvc repro export` or `dvc pull export` first\n"


def test_predict_passes_over_what_is_no_image(finished, tmp_path):
    for name in ("a.png", "b"):
        shutil.copy(finished / "data/sample/3/1503.png", tmp_path / name)
    (tmp_path / "caption.txt").write_text("a caption")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = heldout(finished, "predict", str(tmp_path))
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [f"{tmp_path}/a.png", f"{tmp_path}/b"]
    assert done.stderr.startswith(f"heldout: {tmp_path}/broken.png ") and done.stderr.count("\n") == 2


def test_predict_prints_any_path_so_that_any_terminal_takes_it(finished, tmp_path):
    image = finished / "data/sample/3/1503.png"
    for name in (b"\xff.png", b"two\nlines.png", b"\x1b[31m.png", "名.png".encode()):
        shutil.copy(image, os.fsencode(tmp_path) + b"/" + name)
    command = [sys.executable, "-m", "heldout", "predict", str(tmp_path)]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=finished, capture_output=True, text=True, env=env)
    assert done.returncode == 0 and done.stderr == ""
    printed = [line.split("  ")[0].removeprefix(f"{tmp_path}/") for line in done.stdout.splitlines()]
    assert printed == [r"\x1b[31m.png", r"two\nlines.png", r"\u540d.png", r"\udcff.png"]
    rows = subprocess.run([*command, "--json"], cwd=finished, capture_output=True, text=True, env=env).stdout
    assert [json.loads(line)["path"] for line in rows.splitlines()][-1] == f"{tmp_path}/\udcff.png"


def test_predict_ends_quietly_where_nobody_reads_on(finished):
    command = f"{sys.executable} -m heldout predict data/sample/3 data/sample/4 | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=finished, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("heldout.json", "{", "export is damaged (Expecting property name"),
        ("heldout.json", "{}", "export is damaged ('class_names'): run `dvc checkout --force "),
        ("heldout.json", NO_THRESHOLD, "export is damaged (could not convert string to float: 'high'): run `dvc "),
        (
            "model.tflite",
            "text",
            "export/model.tflite is not loaded (it is no TFLite file): run `dvc checkout --force ",
        ),
    ],
)
def test_a_damaged_export_ends_in_one_line(finished, tmp_path, name, content, line):
    shutil.copytree(finished / "export", tmp_path / "export")
    (tmp_path / "export" / name).unlink()
    (tmp_path / "export" / name).write_text(content)
    done = heldout(finished, "predict", "--export", f"{tmp_path}/export", "data/sample/3/1503.png")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"heldout: {tmp_path}/{line}") and done.stderr.count("\n") == 1


def test_a_full_disk_within_tensorflow_is_one_line(finished, tmp_path, full_disk):
    code = f"""
from pathlib import Path
from heldout.core import process
process.setup()
import keras
from heldout.export.formats import saved_model
from heldout.export.serving import serving_function
layers = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(512)]
model = keras.Sequential(layers)
saved_model.save(model, Path({str(tmp_path / "disk/saved_model")!r}), {{"serve": serving_function(model)}})
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([*full_disk, sys.executable, "-c", code], capture_output=True, text=True, env=env)
    lines = [
        line for line in done.stderr.splitlines() if "port.cc" not in line and "cuda" not in line and "absl" not in line
    ]
    assert lines == ["-c: No space left on device; free some space and run it again"] and done.returncode == 1


def test_predict_needs_no_tensorflow(finished):
    code = "import sys; from heldout.__main__ import main; main(['predict', 'data/sample/3/1503.png']); "
    code += "sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=finished, check=True, capture_output=True)


def test_stages_without_a_network_import_no_tensorflow():
    for name in ("code", "sample", "index", "split", "preprocess", "augment"):
        code = f"import sys, stages.{name}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
        execute(sys.executable, "-c", code, cwd=ROOT)


def test_the_saved_model_loads_in_keras_as_a_layer(finished, parts):
    import keras

    _, images, probabilities = parts
    layer = keras.layers.TFSMLayer(str(finished / "export/saved_model"), call_endpoint="serve")
    assert np.abs(layer(images[np.arange(9)])["probabilities"] - probabilities[:9]).max() < 1e-6
    assert files.DESCRIPTION in {path.name for path in (finished / "export").iterdir()}


def test_summary_shows_the_figures_and_where_to_look(finished):
    text = heldout(finished, "summary").stdout
    accuracy = json.loads((finished / "metrics/eval.json").read_text())["accuracy"]
    assert f"{accuracy:,.4f}" in text and "metrics/predictions.csv" in text
