"""A TFLite file, float32 with uint8 input, and LiteRT to run it: loading it needs no TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr


def write(model: Any, path: Path) -> None:
    """Convert the Keras model; TensorFlow is imported here, because prediction alone does without."""
    with suppress_native_stderr():
        import tensorflow as tf

        from heldout.export.formats.saved_model import serving_function

    serve = serving_function(model)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], serve)
    with suppress_native_stderr():
        content = converter.convert()
    path.write_bytes(content)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, height, width, channels) to probabilities (n, num_classes), run by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(source["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run
