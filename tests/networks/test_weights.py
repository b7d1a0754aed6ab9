"""Files of weights: real and made ones, with a top and without, damaged, and those of another network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import SHARED

from heldout.networks import pretrained, weights

REAL = SHARED.parent / "pretrained"
SHAPE = (32, 32, 3)


def network(name: str = "MobileNetV2", **arguments) -> keras.Model:
    keras.utils.set_random_seed(3)
    return getattr(keras.applications, name)(
        **{"weights": None, "input_shape": SHAPE, "include_top": False, **arguments}
    )


def save_legacy(model: keras.Model, path: str, full: bool = False) -> None:
    """The layout of Keras 2: groups by layer, in order, with the names of the weights."""
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if full else file
        group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        for layer in model.layers:
            part = group.create_group(layer.name)
            names = [f"{layer.name}/{number}:0" for number in range(len(layer.weights))]
            part.attrs["weight_names"] = [name.encode() for name in names]
            ordered = [*layer.trainable_weights, *layer.non_trainable_weights]
            for name, weight in zip(names, ordered, strict=True):
                part[name] = np.asarray(weight)


def loaded(path: str, name: str = "MobileNetV2", **arguments) -> keras.Model:
    """The network with the file's weights, from other random ones."""
    keras.utils.set_random_seed(4)
    return pretrained.base_network(name, SHAPE, path, **arguments)


def same(ours: keras.Model, expected: keras.Model) -> bool:
    """Whether all layers of a network have the weights of the layers of these names."""
    by_name = {layer.name: layer.get_weights() for layer in expected.layers}
    pairs = [(layer.get_weights(), by_name[layer.name]) for layer in ours.layers if layer.weights]
    return all(np.array_equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", ["w.weights.h5", "w.h5", "full.h5", "w.keras"])
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2", "MobileNetV3Small"])
def test_weights_with_a_top_and_without_are_the_networks(name, file):
    for top in ({}, {"include_top": True, "classes": 7}):
        model = network(name, **top)
        if file.endswith(".weights.h5"):
            model.save_weights(file)
        elif file.endswith(".keras"):
            model.save(file)
        else:
            save_legacy(model, file, full=file.startswith("full"))
        assert same(loaded(file, name), model)
        Path(file).unlink()


def test_a_file_of_another_name_is_told_by_its_content():
    model = network()
    model.save_weights("w.weights.h5")
    Path("w.weights.h5").rename("w.h5")
    save_legacy(model, "legacy.weights.h5")
    assert same(loaded("w.h5"), model) and same(loaded("legacy.weights.h5"), model)


@pytest.mark.parametrize(
    ("file", "name", "alpha"),
    [
        ("mobilenet_v2_0.35_224_no_top.weights.h5", "MobileNetV2", 0.35),
        ("mobilenet_0.25_224_no_top.weights.h5", "MobileNet", 0.25),
        ("mobilenet_v2_1.0_224_ptq_no_top.weights.h5", "MobileNetV2", 1.0),
    ],
)
def test_real_weights(file, name, alpha):
    path = REAL / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    ours = pretrained.base_network(name, SHAPE, str(path), alpha)
    assert same(ours, network(name, weights=str(path), alpha=alpha))
    if alpha != 1:
        with pytest.raises(ValueError, match=rf"does not fit .*; it fits {name} with model\.alpha {alpha}$"):
            pretrained.base_network(name, SHAPE, str(path))


def test_minimalistic_is_another_network():
    model = network("MobileNetV3Small", minimalistic=True)
    model.save_weights("w.weights.h5")
    assert same(loaded("w.weights.h5", "MobileNetV3Small", minimalistic=True), model)
    with pytest.raises(ValueError, match="does not fit MobileNetV3Small"):
        loaded("w.weights.h5", "MobileNetV3Small")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ResNet50", "alpha": 0.5}, r"model\.alpha is 0\.5, which ResNet50 does not take: set it to 1\.0"),
        ({"name": "MobileNetV2", "minimalistic": True}, r"model\.minimalistic is True, which MobileNetV2 does not"),
    ],
)
def test_an_argument_that_a_network_lacks_is_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        pretrained.base_network(image_shape=SHAPE, weights="none", **arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"w\.h5 is empty; expected weights of Keras"),
        (b"<!DOCTYPE html><html>", r"w\.h5 is HTML, the page of a site"),
        (b"version https://git-lfs.github.com/spec/v1\noid", r"w\.h5 is a Git LFS pointer: run `git lfs pull`"),
        (b"outs:\n- md5: 1", r"w\.h5 is a \.dvc file"),
        (b"\x80\x04\x95", r"w\.h5 is a pickle"),
        (b"\x1f\x8b\x08\x00", r"w\.h5 is no HDF5 file; expected weights of Keras"),
        (b"PK\x03\x04" + b"\0" * 40, r"w\.h5 is a zip archive without weights of Keras"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, r"w\.h5 is damaged or cut short .*: fetch it again"),
    ],
)
def test_what_is_no_file_of_weights_is_said(content, message):
    Path("w.h5").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        loaded("w.h5")


@pytest.mark.parametrize("file", ["w.weights.h5", "w.h5", "w.keras"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_said(file, part):
    model = network("MobileNet", alpha=0.25)
    if file == "w.h5":
        save_legacy(model, file)
    elif file == "w.keras":
        model.save(file)
    else:
        model.save_weights(file)
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: int(len(content) * part)])
    message = rf"{file} is (damaged or cut short|a zip archive without).*fetch it again"
    with pytest.raises(ValueError, match=message) as caught:
        loaded(file, "MobileNet", alpha=0.25)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_of_another_network_are_said_to_be_its_own(legacy):
    other = network("ResNet101")
    if legacy:
        save_legacy(other, "w.h5")
    else:
        other.save_weights("w.weights.h5")
        Path("w.weights.h5").rename("w.h5")
    with pytest.raises(ValueError, match=r"w\.h5 does not fit resnet50: .*; it fits ResNet101$") as caught:
        loaded("w.h5", "ResNet50")
    assert "\n" not in str(caught.value)


def test_an_hdf5_file_of_something_else_is_said():
    with h5py.File("w.h5", "w") as file:
        file["table"] = [1, 2]
    with pytest.raises(ValueError, match=r"w\.h5 does not fit .*it is an HDF5 file without layers, of table"):
        loaded("w.h5")


def test_a_layer_that_is_missing_is_never_left_random():
    network().save_weights("w.weights.h5")
    with h5py.File("w.weights.h5", "a") as file:
        del file["layers/conv2d_5"]
    with pytest.raises(ValueError, match="does not fit"):
        loaded("w.weights.h5")


def test_weights_never_lead_to_other_files():
    network().save_weights("w.weights.h5")
    with h5py.File("w.weights.h5", "a") as file:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(ValueError, match=r"w\.weights\.h5 .* refers to another place"):
        loaded("w.weights.h5")


def test_imagenet_that_cannot_be_fetched_ends_in_one_whole_line(tmp_path):
    program = (
        "import json\n"
        "from heldout.networks import pretrained\n"
        "try:\n    pretrained.base_network('MobileNetV2', (224, 224, 3), 'imagenet')\n"
        "except ValueError as error:\n    print(json.dumps(str(error)))\n"
    )
    away = {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | away, capture_output=True, text=True)
    assert "Downloading" not in done.stdout + done.stderr
    [line] = done.stdout.splitlines()
    message = json.loads(line)
    assert message.startswith("the ImageNet weights of MobileNetV2 could not be fetched: where there is a network, get")
    assert "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5" in message
    assert message.endswith("`dvc add` it in pretrained/, and set model.weights to its path; or set it to none")


def test_shapes_tell_what_a_file_fits():
    model = network("MobileNet", alpha=0.25)
    model.save_weights("w.weights.h5")
    assert weights.fits(model, weights.shapes("w.weights.h5"))
    assert not weights.fits(network("MobileNet", alpha=0.5), weights.shapes("w.weights.h5"))
