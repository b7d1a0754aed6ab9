"""The encoder: what is shared with the network, what its file fits, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT

from heldout.networks import build, encoder

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
CNN = MODEL | {"filters": [4, 8], "dense_units": 8}
RESNET = MODEL | {"architecture": "resnet", "depth": 8}
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


def network(architecture: dict, shape: tuple[int, int, int] = (16, 16, 3)):
    return build.build(shape, 3, **architecture)


@pytest.mark.parametrize("architecture", [CNN, CNN | {"batch_norm": True, "attention": "se"}, RESNET])
def test_a_model_starts_from_a_saved_encoder_frozen_or_not(tmp_path, architecture):
    pretrained = encoder.encoder(network(architecture))
    encoder.save(pretrained, architecture, tmp_path, pool="of a test")
    assert json.loads((tmp_path / "encoder.json").read_text("utf-8"))["pool"] == "of a test"
    expected = np.asarray(pretrained(PIXELS, training=False))
    for frozen in (False, True):
        model = network(architecture)
        assert not np.array_equal(encoder.encoder(model)(PIXELS, training=False), expected)
        # What comes after the encoder may differ.
        assert encoder.transfer(model, architecture | {"dropout": 0.1}, str(tmp_path), start="", frozen=frozen)
        assert np.array_equal(encoder.encoder(model)(PIXELS, training=False), expected)
        trainable = {variable.path.split("/")[0] for variable in model.trainable_variables}
        assert (trainable <= {"dense", "probabilities"}) == frozen


def test_the_same_encoder_is_the_same_bytes(tmp_path):
    pretrained = encoder.encoder(network(CNN))
    for name in ("first", "second"):
        encoder.save(pretrained, CNN, tmp_path / name)
    for name in (encoder.WEIGHTS, encoder.DESCRIPTION):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize(
    ("changed", "shape", "message"),
    [
        ({"filters": [4, 16]}, (16, 16, 3), r"was pretrained with model.filters \[4, 8\], but it is \[4, 16\] here"),
        ({"architecture": "resnet"}, (16, 16, 3), "was pretrained with model.architecture cnn, but it is resnet here"),
        ({}, (20, 16, 3), r"was pretrained with image_shape \[16, 16, 3\], but it is \[20, 16, 3\] here"),
    ],
)
def test_another_network_is_refused(tmp_path, changed, shape, message):
    encoder.save(encoder.encoder(network(CNN)), CNN, tmp_path)
    other = CNN | changed
    with pytest.raises(ValueError, match=message):
        encoder.transfer(network(other, shape), other, str(tmp_path), start="models/encoder", frozen=False)


def test_damaged_weights_are_one_line(tmp_path):
    encoder.save(encoder.encoder(network(CNN)), CNN, tmp_path)
    weights = tmp_path / encoder.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"encoder.weights.h5 does not fit .*: run `dvc checkout"):
        encoder.transfer(network(CNN), CNN, str(tmp_path), start="models/encoder", frozen=False)
    Path(tmp_path, encoder.DESCRIPTION).write_text("{", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"encoder.json is missing or damaged: .*, or set transfer.start to pretrained"
    ):
        encoder.transfer(network(CNN), CNN, str(tmp_path), start="models/encoder", frozen=False)


def test_without_an_encoder_nothing_changes_and_nothing_can_be_frozen(tmp_path):
    model = network(CNN)
    before = model.get_weights()
    assert encoder.transfer(model, CNN, str(tmp_path), start="pretrained", frozen=False) == ""
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    with pytest.raises(ValueError, match=r"transfer.frozen is true, but transfer.start is pretrained, which holds no"):
        encoder.transfer(model, CNN, str(tmp_path), start="pretrained", frozen=True)


def test_keras_applications_have_no_encoder_to_pretrain():
    model = network(MODEL | {"architecture": "MobileNetV2", "weights": "none"}, (32, 32, 3))
    with pytest.raises(ValueError, match=r"model.architecture is mobilenetv2: only cnn and resnet have an encoder"):
        encoder.encoder(model)


def test_the_projection_is_on_averaged_features():
    model = encoder.with_projection(encoder.encoder(network(CNN)), [12, 6])
    assert model.output_shape == (None, 6) and model.get_layer("features").output.shape == (None, 8)
    assert model.get_layer("projection1").activation.__name__ == "relu"
