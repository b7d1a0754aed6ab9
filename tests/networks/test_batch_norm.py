"""Fused batch normalization: Keras's own layer in what it computes, and in the file of weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_build import SMALL, small

from heldout.networks import build
from heldout.networks.batch_norm import BatchNormalization

SHAPE = (4, 5, 6, 8)


def new_layer(
    kind: type[keras.layers.BatchNormalization], shape=SHAPE, precision: str = "float32"
) -> keras.layers.BatchNormalization:
    layer = kind(momentum=0.9, dtype=precision)
    layer.build(shape)
    layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
    layer.beta.assign(np.linspace(-1, 1, shape[-1]))
    return layer


def step(
    kind: type[keras.layers.BatchNormalization], shape=SHAPE, precision: str = "float32", xla: bool = False
) -> list[np.ndarray]:
    """The outputs, the gradients of their cubes, and the moving statistics after one step of training."""
    layer = new_layer(kind, shape, precision)
    pixels = np.random.default_rng(0).normal(3, 2, shape).astype(np.float32)

    @tf.function(jit_compile=xla)
    def train(images: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
        return [outputs, *tape.gradient(total, [images, layer.gamma, layer.beta])]

    values = [*train(tf.constant(pixels)), layer.moving_mean, layer.moving_variance]
    return [np.asarray(value, np.float32) for value in values]


def test_a_step_by_hand():
    # Values 1 and 3: mean 2, variance over n 1. Moving: 0.9 * 0 + 0.1 * 2, 0.9 * 1 + 0.1 * 1.
    layer = BatchNormalization(momentum=0.9, epsilon=0.0625)
    outputs = layer(np.array([1, 3], np.float32).reshape(2, 1, 1, 1), training=True)
    assert np.ravel(outputs) == pytest.approx(np.array([-1, 1]) / np.sqrt(1.0625), rel=1e-6)
    assert float(layer.moving_mean[0]) == pytest.approx(0.2)
    assert float(layer.moving_variance[0]) == pytest.approx(1.0)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize(
    ("precision", "digits"), [("float32", 1e-5), ("mixed_bfloat16", 1e-2), ("mixed_float16", 1e-3)]
)
def test_a_step_is_that_of_keras(precision, digits, xla):
    fused = step(BatchNormalization, precision=precision, xla=xla)
    keras_own = step(keras.layers.BatchNormalization, precision=precision)
    for ours, theirs in zip(fused, keras_own, strict=True):
        assert ours == pytest.approx(theirs, rel=digits, abs=digits * float(np.abs(theirs).max()))
    for ours, theirs in zip(fused[-2:], keras_own[-2:], strict=True):  # sums are of float32 in every precision
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_one_value_a_channel_has_no_variance():
    outputs, *_, mean, variance = step(BatchNormalization, (1, 1, 1, 2))
    assert np.ravel(outputs) == pytest.approx([-1, 1])
    assert np.isfinite(mean).all() and variance == pytest.approx(0.9)


@pytest.mark.parametrize(("training", "trainable"), [(False, True), (True, False), (None, True)])
def test_inference_and_a_frozen_layer_are_keras_own(training, trainable):
    images = np.random.default_rng(1).normal(3, 2, SHAPE).astype(np.float32)
    outputs = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = new_layer(kind)
        layer.trainable = trainable
        outputs.append(np.asarray(layer(images, training=training)))
        assert np.array_equal(layer.moving_mean, np.zeros(8))
    assert np.array_equal(*outputs)


@pytest.mark.parametrize("architecture", ["cnn", "resnet"])
def test_trained_weights_go_into_a_model_of_keras_layers_alone(tmp_path, architecture):
    changed = {"architecture": architecture, "batch_norm": True}
    model = build.build((32, 32, 3), 3, BatchNormalization, **(SMALL | changed))
    assert any(isinstance(layer, BatchNormalization) for layer in model.layers)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    model(pixels, training=True)
    model.save_weights(tmp_path / "model.weights.h5")
    description = {"image_shape": (32, 32, 3), "class_names": ["a", "b", "c"], "model": SMALL | changed}
    loaded = build.load(description, str(tmp_path / "model.weights.h5"))
    assert np.array_equal(loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0))
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)
    assert not np.array_equal(loaded.predict(pixels, verbose=0), small(**changed, classes=3).predict(pixels, verbose=0))
