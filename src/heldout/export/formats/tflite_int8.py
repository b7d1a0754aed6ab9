"""A TFLite file of int8 weights and activations, for devices without floating point: uint8 in, float32 probabilities
of 1/256 each out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heldout.export.formats import tflite

FILE = "model_int8.tflite"
IS_QUANTIZED = True
RUNTIME = tflite.RUNTIME
load = tflite.load


def write(model: Any, path: Path, sources: Any) -> None:
    """Convert the Keras model; the ranges of its activations are those that images of train give.

    Raises:
        ValueError: where the model takes more than images.
    """
    import tensorflow as tf

    if len(model.inputs) > 1:
        raise ValueError(
            "its ranges are for models of images alone, this one takes "
            f"{', '.join(tensor.name for tensor in model.inputs)}"
        )

    def representative() -> Iterator[list[np.ndarray]]:
        for image in sources.representative():
            yield [image[None].astype(np.float32)]

    settings: dict[str, Any] = {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": representative,
        "supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8],
        "inference_input_type": tf.uint8,
    }
    path.write_bytes(tflite.convert(model, pixels="float32", **settings))
