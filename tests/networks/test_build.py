"""The networks: the parameters that their papers and tutorials count, each built, saved and loaded again."""

import keras
import numpy as np
import pytest
import yaml
from conftest import ROOT

from heldout.networks import build, pretrained
from heldout.networks.attention import ATTENTION

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
SMALL = MODEL | {"filters": [8, 16], "dense_units": 16, "depth": 8, "weights": "none"}


def small(shape=(32, 32, 3), classes=10, **changed) -> keras.Model:
    return build.build(shape, classes, **(SMALL | changed))


def test_the_tutorial_cnn_has_its_parameters():
    # 896 + 18,496 + 73,856 for the convolutions, 17*17*128*512 + 512 for the dense layer, 512*10 + 10 for the last.
    model = build.build((150, 150, 3), 10, **MODEL)
    assert model.count_params() == 896 + 18496 + 73856 + 18940416 + 512 - 512 + 5130


def test_resnet20_has_its_parameters():
    model = small(architecture="resnet", depth=20)
    first, last = 3 * 3 * 3 * 16, 64 * 10 + 10
    stages = 6 * 9 * 16**2 + 9 * 16 * 32 + 5 * 9 * 32**2 + 9 * 32 * 64 + 5 * 9 * 64**2
    shortcuts = 16 * 32 + 32 * 64
    norms = 2 * (7 * 16 + 6 * 32 + 32 + 6 * 64 + 64)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == first + stages + shortcuts + norms + last == 272_474
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 19 + 2


def test_a_wide_resnet_with_the_large_stem_has_its_parameters():
    model = small((150, 150, 3), architecture="resnet", depth=8, width=2, stem="large")
    stem = 3 * 3 * 3 * 32 + 9 * 32**2
    stages = 2 * 9 * 32**2 + 9 * 32 * 64 + 9 * 64**2 + 9 * 64 * 128 + 9 * 128**2
    shortcuts = 32 * 64 + 64 * 128
    norms = 2 * (4 * 32 + 3 * 64 + 3 * 128)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == stem + stages + shortcuts + norms + 128 * 10 + 10
    assert model.get_layer("stage1_block1_add").output.shape == (None, 38, 38, 32)


def test_images_too_small_for_the_blocks():
    with pytest.raises(ValueError, match=r"images of 21 x 30 pixels are too small for 3 blocks: expected 22 or more"):
        small((21, 30, 3), filters=[4, 4, 4])
    assert small((22, 22, 3), filters=[4, 4, 4]).output_shape == (None, 10)


@pytest.mark.parametrize("architecture", ["cnn", "resnet"])
@pytest.mark.parametrize("attention", ["none", "se", "cbam"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_network_predicts_probabilities_and_loads_again(tmp_path, architecture, attention, channels):
    shape = (20, 24, channels)
    changed = {
        "architecture": architecture,
        "attention": attention,
        "batch_norm": True,
        "l2": 0.001,
        "pooling": "average",
    }
    model = small(shape, 3, **changed)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    probabilities = model.predict(pixels, verbose=0)
    assert probabilities.shape == (4, 3) and probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    path = str(tmp_path / "model.weights.h5")
    model.save_weights(path)
    description = {"image_shape": shape, "class_names": ["a", "b", "c"], "model": SMALL | changed}
    assert np.array_equal(build.load(description, path).predict(pixels, verbose=0), probabilities)


def test_squeeze_and_excite_by_hand():
    # Channels of 0, 100 and 200: with excite's weights 0 every weight is sigmoid(0), so the picture is halved.
    x = keras.Input((2, 2, 3))
    model = keras.Model(x, ATTENTION["se"](x, "se"))
    model.get_layer("se_excite").kernel.assign(np.zeros((1, 3)))
    picture = np.broadcast_to(np.array([0, 100, 200], np.float32), (1, 2, 2, 3))
    assert np.array_equal(model.predict(picture, verbose=0), picture / 2)


def test_cbam_weighs_channels_and_positions_by_hand():
    x = keras.Input((4, 5, 2))
    model = keras.Model(x, ATTENTION["cbam"](x, "cbam"))
    model.get_layer("cbam_channel_excite").kernel.assign(np.zeros((1, 2)))
    kernel = np.zeros((7, 7, 2, 1), np.float32)
    kernel[3, 3, 1] = 1  # the weight of a place is the sigmoid of its largest channel
    model.get_layer("cbam_spatial_weight").kernel.assign(kernel)
    picture = np.random.default_rng(0).random((1, 4, 5, 2), np.float32)
    halved = picture / 2
    expected = halved / (1 + np.exp(-halved.max(axis=-1, keepdims=True)))
    assert model.predict(picture, verbose=0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("depth", [9, 19, 21])
def test_a_depth_that_is_no_resnet(depth):
    with pytest.raises(ValueError, match=rf"model\.depth is {depth}: expected 6n \+ 2, such as 20, 32 or 56"):
        small(architecture="resnet", depth=depth)


def test_an_unknown_architecture():
    with pytest.raises(
        ValueError, match=r"model\.architecture is 'resnet50': expected cnn, resnet or one of ConvNeXt.*Xception"
    ):
        small(architecture="resnet50")


MODULES = {
    "ConvNeXt": "convnext", "DenseNet": "densenet", "EfficientNetB": "efficientnet",
    "EfficientNetV2": "efficientnet_v2",
    "InceptionR": "inception_resnet_v2", "InceptionV3": "inception_v3", "MobileNetV3": "mobilenet_v3",
    "MobileNetV2": "mobilenet_v2", "MobileNet": "mobilenet", "NASNet": "nasnet", "VGG16": "vgg16", "VGG19": "vgg19",
    "Xception": "xception",
}  # fmt: skip


@pytest.mark.parametrize("name", pretrained.names())
def test_the_preprocessing_of_every_family_is_keras_own(name):
    if name.startswith("ResNet"):
        module = keras.applications.resnet_v2 if name.endswith("V2") else keras.applications.resnet
    else:
        module = getattr(keras.applications, next(m for start, m in MODULES.items() if name.startswith(start)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.float32)
    x = keras.Input((3, 4, 3))
    ours = keras.Model(x, pretrained.preprocessing(name, x)).predict(pixels, verbose=0)
    assert ours == pytest.approx(module.preprocess_input(pixels.copy()), abs=1e-4)


def test_a_pretrained_network_is_frozen_and_its_norms_rest(tmp_path):
    base = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=1.0)
    path = tmp_path / "base.weights.h5"
    base.save_weights(path)
    changed = {"architecture": "MobileNetV2", "weights": str(path), "pooling": "average"}
    model = small((32, 32, 3), 3, **changed)
    assert [weight.path.split("/")[0] for weight in model.trainable_weights] == ["dense"] * 2 + ["probabilities"] * 2
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    features = base(keras.applications.mobilenet_v2.preprocess_input(pixels.astype(np.float32)), training=False)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    ours = keras.Model(model.inputs, inner(pretrained.preprocessing("MobileNetV2", model.inputs[0]), training=False))
    assert ours.predict(pixels, verbose=0) == pytest.approx(np.asarray(features), rel=1e-3)
    before = [weight.numpy() for weight in inner.weights]
    model.compile("sgd", "categorical_crossentropy")
    model.fit(pixels, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], verbose=0)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, inner.weights, strict=True))


def test_a_pretrained_network_of_gray_images():
    assert small((32, 32, 1), 3, architecture="MobileNetV2").output_shape == (None, 3)


def test_weights_that_are_not_there():
    with pytest.raises(
        ValueError, match=r"model\.weights is none\.h5: no such file; expected imagenet, none or a file"
    ):
        small(architecture="MobileNetV2", weights="none.h5")


@pytest.mark.parametrize("weights", ["/tmp/some.h5", "pretrained/../some.h5", "some.h5", "pretrained2/some.h5"])
def test_weights_that_are_no_input_of_training_are_refused(weights):
    with pytest.raises(ValueError, match=r"outside pretrained/, .* and name it pretrained/some\.h5"):
        pretrained.weights_id(weights, "pretrained")


def test_weights_are_known_by_their_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained").mkdir()
    path = tmp_path / "pretrained/some.h5"
    path.write_bytes(b"one")
    digest = pretrained.weights_id("./pretrained/some.h5", "pretrained")
    assert digest == pretrained.weights_id(str(path), "pretrained") == "f97c5d29941bfb1b2fdab0874906ab82"
    path.write_bytes(b"two")
    assert pretrained.weights_id("pretrained/some.h5", "pretrained") != digest
    assert [pretrained.weights_id(name, "pretrained") for name in ("imagenet", "none")] == ["imagenet", "none"]
    with pytest.raises(ValueError, match=r"model\.weights is pretrained/other\.h5: no such file"):
        pretrained.weights_id("pretrained/other.h5", "pretrained")


def test_images_too_small_for_a_pretrained_network():
    with pytest.raises(ValueError, match=r"VGG16 cannot be built for \(20, 20, 3\): .*32"):
        small((20, 20, 3), architecture="VGG16")
