"""A TFLite file, float32 with uint8 input, and LiteRT to run it: loading it needs no TensorFlow."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.export import inputs as model_inputs

FILE = "model.tflite"
IS_QUANTIZED = False
RUNTIME = ("ai-edge-litert",)
IDENTIFIER = b"TFL3"  # of the FlatBuffers schema, behind the offset of the root table


def write(model: Any, path: Path, sources: Any) -> None:
    """Convert the Keras model."""
    path.write_bytes(convert(model))


def convert(model: Any, pixels: str = "uint8", **settings: Any) -> bytes:
    """A Keras model as TFLite; TensorFlow is imported here, because prediction alone does without.

    Args:
        model: the Keras model.
        pixels: the dtype that the converter sees as the model's input of pixels.
        settings: attributes of TFLiteConverter; `supported_types` and `supported_ops` of its `target_spec`.
    """
    with suppress_native_stderr():
        import tensorflow as tf

        from heldout.export.serving import serving_function

    serve = serving_function(model, tf.as_dtype(pixels))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], serve)
    for name, value in settings.items():
        setattr(converter.target_spec if name.startswith("supported_") else converter, name, value)
    with suppress_native_stderr(), warnings.catch_warnings():
        # Of the interpreter that the converter still calibrates with, and of ranges that are measured, not given.
        warnings.simplefilter("ignore", UserWarning)
        return converter.convert()


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of all of the model's inputs, to
    probabilities (n, num_classes), run by LiteRT in one thread.

    Raises:
        ValueError: where the file is no TFLite file; the format holds no code, and LiteRT refuses operations that are
            not its own.
    """
    from ai_edge_litert.interpreter import Interpreter

    with path.open("rb") as file:
        if file.read(8)[4:] != IDENTIFIER:
            raise ValueError("it is no TFLite file")
    with suppress_native_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    sources = {source["name"]: source["index"] for source in interpreter.get_input_details()}
    target = interpreter.get_output_details()[0]["index"]

    def run(inputs: Any) -> np.ndarray:
        arrays = model_inputs.named(sources, inputs)
        for name, array in arrays.items():
            interpreter.resize_tensor_input(sources[name], array.shape)
        interpreter.allocate_tensors()
        for name, array in arrays.items():
            interpreter.set_tensor(sources[name], array)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run
