"""Multiply-adds against TensorFlow's own profiler, and what an epoch costs."""

import pytest

from heldout.search import costs


def test_an_epoch_is_a_pass_unless_it_is_so_many_steps():
    train = {"steps_per_epoch": 0, "batch_size": 32, "gradient_accumulation_steps": 2}
    assert costs.epoch_cost({"train": train}, 640) == 1
    assert costs.epoch_cost({"train": train | {"steps_per_epoch": 5}}, 640) == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"architecture": "cnn", "filters": [8, 16], "dense_units": 32, "attention": "se"},
        {"architecture": "resnet", "depth": 8, "stem": "large"},
        {"architecture": "MobileNetV2", "weights": "none", "pooling": "average"},
    ],
    ids=lambda changed: changed["architecture"],
)
def test_multiply_adds_are_half_of_the_operations_that_tensorflow_counts(changed):
    import tensorflow as tf
    import yaml
    from conftest import ROOT

    from heldout.networks import build

    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"] | changed
    model = build.build((64, 64, 3), 10, **settings)
    function = tf.function(lambda images: model(images, training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, 64, 64, 3))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    operations = tf.compat.v1.profiler.profile(
        graph, options=tf.compat.v1.profiler.ProfileOptionBuilder(options).with_empty_output().build()
    ).total_float_ops
    # Additions of biases, normalization and activations are the profiler's alone.
    assert costs.multiply_adds(model) <= operations / 2 < 1.06 * costs.multiply_adds(model)
