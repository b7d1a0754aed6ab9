"""OpenVINO's intermediate representation, float32 with uint8 input, for Intel's CPUs and GPUs; an extra, `openvino`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.export import inputs as model_inputs

FILE = "openvino"
IS_QUANTIZED = False
RUNTIME = ("openvino",)
XML = "model.xml"  # beside it the weights, model.bin


def write(model: Any, path: Path, sources: Any) -> None:
    """Convert the Keras model, by way of a SavedModel."""
    with suppress_native_stderr():
        import openvino

        from heldout.export.formats import saved_model
        from heldout.export.serving import serving_function

        with tempfile.TemporaryDirectory() as folder:
            saved_model.save(model, Path(folder), {"serving_default": serving_function(model)})
            converted = openvino.convert_model(folder)
    converted.set_rt_info("saved_model", ["conversion_parameters", "input_model"])  # was the temporary folder
    path.mkdir()
    openvino.save_model(converted, str(path / XML), compress_to_fp16=False)


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of all of the model's inputs, to
    probabilities (n, num_classes), run by OpenVINO on the CPU in one thread, in float32: by itself it takes bfloat16
    where the CPU has it, which moves probabilities by 7e-3.

    Raises:
        ValueError: where the folder holds other files; the format holds no code.
    """
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*"))
    if files != ["model.bin", XML]:
        raise ValueError(f"expected model.bin and {XML}, it holds {', '.join(files) or 'nothing'}")
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(str(path / XML), "CPU", settings)
    names = [source.any_name for source in compiled.inputs]
    return lambda inputs: compiled(model_inputs.named(names, inputs))[compiled.output(0)]
