"""What a trial costs: passes over the training images, parameters, multiply-adds, milliseconds as TFLite."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RUNS, WARM_UP = 30, 5


def epoch_cost(sections: dict[str, Any], images: int) -> float:
    """How many passes over so many training images an epoch is.

    Args:
        sections: of params.yaml, of which `train` is read.
        images: of the training split.
    """
    train = sections["train"]
    step = train["batch_size"] * train["gradient_accumulation_steps"]
    return train["steps_per_epoch"] * step / images if train["steps_per_epoch"] else 1.0


def multiply_adds(model: Any) -> int:
    """Those of the convolutions and dense layers of a Keras model, for one image.

    The rest (normalization, pooling, activations) is a few per cent, as in the figures of papers.
    """
    return sum(_of_layer(layer) for layer in model.layers)


def _of_layer(layer: Any) -> int:
    if hasattr(layer, "layers"):
        return multiply_adds(layer)
    total = 0
    for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        kernel = getattr(layer, name, None)
        if kernel is not None:
            # Each weight meets every place of the output once; a dense layer over a vector has one.
            places = int(np.prod(layer.output.shape[1:-1]))
            total += int(np.prod(kernel.shape)) * places
    return total


def latency(model: Any) -> float:
    """Milliseconds of one image as TFLite on one thread of this machine, the median of RUNS: no part of any file.

    Args:
        model: of Keras, trained or not.
    """
    from heldout.export.formats import tflite

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(tflite.convert(model))
        run = tflite.load(path)
        dtypes = (np.uint8, np.int32)  # pixels, and tokens where the model sees texts
        inputs = [np.zeros((1, *tensor.shape[1:]), dtype) for tensor, dtype in zip(model.inputs, dtypes, strict=False)]
        seconds = []
        for _ in range(WARM_UP + RUNS):
            started = time.perf_counter()
            run(inputs if len(inputs) > 1 else inputs[0])
            seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[WARM_UP:]))
