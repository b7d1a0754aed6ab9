"""The model that ships: the trained one, whose probabilities are calibrated by a temperature (Guo et al., 2017)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras

KEYS = ("temperature", "threshold", "target_accuracy")  # what ships, of metrics/calibration.json


def read(path: str | Path) -> dict[str, float]:
    """KEYS of metrics/calibration.json.

    Raises:
        ValueError: where it is damaged.
    """
    try:
        values: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        calibration = {key: float(values[key]) for key in KEYS}
        if not calibration["temperature"] > 0:
            raise ValueError(f"temperature {calibration['temperature']:g}, expected more than 0")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): run `dvc repro`, or `git checkout {path}`") from error
    return calibration


def calibrate(model: keras.Model, temperature: float) -> keras.Model:
    """A model that gives softmax(logits / temperature), which shares all layers but the last with the one given.

    The weights of its last layer are divided by the temperature, so that the network, the operations and the size of a
    file stay as they were, in each format, and nothing is lost where a probability is 0 in float32.

    Args:
        model: of `build.build`.
        temperature: more than 0; at 1 the model is returned as it is.
    """
    if temperature == 1:
        return model
    last = model.get_layer("probabilities")
    classifier = keras.layers.Dense.from_config(last.get_config())
    calibrated = keras.Model(model.input, classifier(last.input), name=model.name)
    classifier.set_weights([weights / np.float64(temperature) for weights in last.get_weights()])
    return calibrated
