"""The model as one TensorFlow function, which the formats other than Keras's own are made of."""

from typing import Any

from heldout.core.process import suppress_native_stderr
from heldout.export.inputs import IMAGES, PROBABILITIES

with suppress_native_stderr():
    import keras
    import tensorflow as tf


def serving_function(model: keras.Model, pixels: tf.DType = tf.uint8) -> Any:
    """Raw pixels, and whatever else the model takes, to probabilities, always in inference mode.

    `model.export()` traces the model without `training=`, and keeps its variables in the order of a set, so that no
    two exports have the same bytes (Keras 3.15).

    Args:
        model: whose input of rank 4 is pixels; other inputs keep their names and dtypes.
        pixels: the dtype of the pixels, 0 to 255.

    Raises:
        ValueError: where the model's inputs are not in the order of their names, by which every format finds them.
    """
    specs = [_spec(tensor, pixels) for tensor in model.inputs]
    names = [spec.name for spec in specs]
    if names != sorted(names):
        raise ValueError(f"the model takes {', '.join(names)}: expected inputs in the order of their names")

    @tf.function(input_signature=specs)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {PROBABILITIES: predict(model, inputs)}

    return serve


def predict(model: keras.Model, inputs: Any) -> tf.Tensor:
    """The probabilities of a batch, in inference mode."""
    tensors = [tf.cast(tensor, expected.dtype) for tensor, expected in zip(inputs, model.inputs, strict=True)]
    return model(tensors if len(tensors) > 1 else tensors[0], training=False)


def _spec(tensor: Any, pixels: tf.DType) -> tf.TensorSpec:
    is_pixels = len(tensor.shape) == 4
    dtype, name = (pixels, IMAGES) if is_pixels else (tensor.dtype, tensor.name)
    return tf.TensorSpec((None, *tensor.shape[1:]), dtype, name=name)
