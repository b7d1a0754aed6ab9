"""A TFLite file of int8 weights, whose activations stay float32: a quarter of the bytes, no images needed."""

from pathlib import Path
from typing import Any

from heldout.export.formats import tflite

FILE = "model_dynamic.tflite"
IS_QUANTIZED = True
RUNTIME = tflite.RUNTIME
load = tflite.load


def write(model: Any, path: Path, sources: Any) -> None:
    """Convert the Keras model, its weights rounded to int8."""
    import tensorflow as tf

    path.write_bytes(tflite.convert(model, optimizations=[tf.lite.Optimize.DEFAULT]))
