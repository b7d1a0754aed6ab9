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


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of them and of int32 tokens (n, length), to
    probabilities (n, num_classes), run by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    sources = {source["dtype"]: source["index"] for source in interpreter.get_input_details()}
    target = interpreter.get_output_details()[0]

    def run(inputs: Any) -> np.ndarray:
        arrays = inputs if isinstance(inputs, list) else [inputs]
        for array in arrays:  # told apart by their dtypes, as a file keeps no order
            interpreter.resize_tensor_input(sources[array.dtype.type], array.shape)
        interpreter.allocate_tensors()
        for array in arrays:
            interpreter.set_tensor(sources[array.dtype.type], array)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run
