"""What ships gives calibrated probabilities, in each format, by the operations that it had."""

import json

import numpy as np
import pytest
import yaml
from conftest import ROOT
from small_models import sources

from heldout.core.process import suppress_native_stderr
from heldout.evaluation.calibration import rescale
from heldout.export import calibrate, files
from heldout.networks import build

with suppress_native_stderr():
    import keras

pytestmark = pytest.mark.slow
MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
WRITTEN = {"temperature": 1.5, "threshold": 0.75, "target_accuracy": 0.99, "val_coverage_at_threshold": 0.9}


def network(size: int = 32, **changed) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build.build((size, size, 3), 4, **(MODEL | {"weights": "none", "filters": [8, 8]} | changed))


def pixels(model: keras.Model) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:]), np.uint8)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"pooling": "average", "dense_units": 0, "l2": 0.01},
        {"architecture": "resnet", "depth": 8, "attention": "se"},
        {"architecture": "MobileNetV2"},
    ],
    ids=str,
)
def test_probabilities_are_those_of_the_temperature(changed):
    model = network(**changed)
    model.get_layer("probabilities").bias.assign([0.5, -1, 0, 2])
    images, before = pixels(model), model.get_weights()
    probabilities = model.predict_on_batch(images)
    for temperature in (0.3, 1.110885, 4.0):
        calibrated = calibrate.calibrate(model, temperature)
        shipped = calibrated.predict_on_batch(images)
        assert np.abs(shipped - rescale(probabilities, temperature)).max() < 2e-6
        assert (shipped.argmax(axis=1) == probabilities.argmax(axis=1)).all()
        assert [layer.name for layer in calibrated.layers] == [layer.name for layer in model.layers]
        assert calibrated.name == model.name and calibrated.count_params() == model.count_params()
        assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))
        assert (model.predict_on_batch(images) == probabilities).all()


def test_at_temperature_one_the_model_ships_as_it_is():
    model = network()
    assert calibrate.calibrate(model, 1.0) is model


def test_nothing_is_lost_where_a_probability_is_nought():
    """Logits of 0 and 200: float32 has no probability of e^-200, and e^-10 of their twentieth."""
    inputs = keras.Input((1, 1, 1))
    outputs = keras.layers.Dense(2, "softmax", name="probabilities")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[0.0, 200]], np.float32), np.zeros(2, np.float32)])
    image = np.ones((1, 1, 1, 1), np.float32)
    assert model.predict_on_batch(image)[0, 0] == 0
    small = 1 / (1 + np.exp(10))
    assert calibrate.calibrate(model, 20.0).predict_on_batch(image)[0] == pytest.approx([small, 1 - small], rel=1e-5)


@pytest.mark.parametrize("changed", [{}, {"architecture": "MobileNetV2", "pooling": "average"}], ids=str)
def test_every_format_ships_them_with_the_same_bytes_and_no_more_operations(changed, tmp_path):
    model = network(**changed)
    images = pixels(model)
    expected = rescale(model.predict_on_batch(images), 1.7)
    for name in ("keras", "saved_model", "tflite"):
        path = files.FILES[name]
        # A saved model is written once: TensorFlow numbers its functions on within a process, so no second is the same.
        written = (("first", 1.7), ("second", 1.7), ("as_it_is", 1.0))[: 1 if name == "saved_model" else 3]
        for folder, temperature in written:
            (tmp_path / folder).mkdir(exist_ok=True)
            calibrated = calibrate.calibrate(model, temperature)
            files.FORMATS[name].write(calibrated, tmp_path / folder / path, sources(images))
        shipped = files.load(name, tmp_path / "first" / path)(images)
        assert np.abs(shipped - expected).max() < 2e-6, name
        if name != "saved_model":
            first, second, as_it_is = ((tmp_path / folder / path).read_bytes() for folder, _ in written)
            assert first == second, name
            assert first != as_it_is and len(first) == len(as_it_is), name


def test_what_ships_of_the_calibration(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(WRITTEN), encoding="utf-8")
    assert calibrate.read(path) == {"temperature": 1.5, "threshold": 0.75, "target_accuracy": 0.99}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        (json.dumps(WRITTEN | {"threshold": None}), "NoneType"),
        ('{"temperature": 1.5}', "'threshold'"),
        (json.dumps(WRITTEN | {"temperature": 0}), "temperature 0, expected more than 0"),
        (json.dumps(WRITTEN | {"temperature": float("nan")}), "temperature nan, expected more than 0"),
    ],
)
def test_a_damaged_calibration_ends_in_one_line(tmp_path, text, reason):
    path = tmp_path / "calibration.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"calibration\.json is damaged \(.*{reason}.*\): run `dvc repro`, or `git"):
        calibrate.read(path)
