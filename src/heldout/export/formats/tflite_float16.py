"""A TFLite file of float16 weights: half the bytes, computed in float32 (or float16 on a GPU)."""

from pathlib import Path
from typing import Any

from heldout.export.formats import tflite

FILE = "model_float16.tflite"
IS_QUANTIZED = True
RUNTIME = tflite.RUNTIME
load = tflite.load


def write(model: Any, path: Path, sources: Any) -> None:
    """Convert the Keras model, its weights rounded to float16."""
    import tensorflow as tf

    settings: dict[str, Any] = {"optimizations": [tf.lite.Optimize.DEFAULT], "supported_types": [tf.float16]}
    path.write_bytes(tflite.convert(model, **settings))
