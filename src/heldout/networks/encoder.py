"""The encoder of a network, all before its pooling: what is pretrained without labels, and trained on from there."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from heldout.core import atomic
from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras
    from keras import layers

WEIGHTS, DESCRIPTION = "encoder.weights.h5", "encoder.json"
# Of the section `model`: what an encoder is made of; the rest is of the layers after it.
KEYS = ("architecture", "attention", "filters", "kernel_size", "batch_norm", "depth", "width", "stem")
NONE = "pretrained"  # the value of transfer.start that is no encoder
ARCHITECTURES = ("cnn", "resnet")
POOLING = ("average", "flatten")  # its name, of `build.build`


def encoder(model: keras.Model) -> keras.Model:
    """The layers of a model of `build.build` before its pooling, shared with it, which give features (n, h, w, c).

    Raises:
        ValueError: for a network of keras.applications, which comes with pretrained weights.
    """
    if model.name not in ARCHITECTURES:
        raise ValueError(
            f"model.architecture is {model.name}: only {' and '.join(ARCHITECTURES)} have an encoder to pretrain; a "
            "network of keras.applications starts from model.weights"
        )
    return keras.Model(model.inputs[0], pooling(model).input, name="encoder")  # a text comes in after the pooling


def pooling(model: keras.Model) -> layers.Layer:
    """The layer of a model of `build.build` that makes a vector of its features: what learns to see is before it."""
    return next(layer for layer in model.layers if layer.name in POOLING)


def with_projection(network: keras.Model, units: list[int]) -> keras.Model:
    """An encoder with the head of SimCLR on its averaged features (Chen et al., 2020): dense layers with ReLU between.

    Without batch normalization, so that a batch that two replicas share is the batch of one.

    Args:
        network: of `encoder`.
        units: of each dense layer; the last are the embedding's dimensions.
    """
    x = layers.GlobalAveragePooling2D(name="features")(network.output)
    for number, width in enumerate(units[:-1], 1):
        x = layers.Dense(width, activation="relu", name=f"projection{number}")(x)
    x = layers.Dense(units[-1], dtype="float32", name="embedding")(x)
    return keras.Model(network.input, x, name="simclr")


def transfer(model: keras.Model, architecture: dict[str, Any], folder: str, *, start: str, frozen: bool) -> str:
    """Start a model from a pretrained encoder, where the section `transfer` names one.

    Args:
        model: of `build.build`, with its first weights.
        architecture: the section `model`.
        folder: `start`, as dvc.yaml hands it on.
        start: `pretrained`, the folder of weights for keras.applications, or an encoder of the stage `pretrain`.
        frozen: train the layers after the encoder alone.

    Returns:
        The md5 of the encoder's weights, '' where there is none.

    Raises:
        ValueError: where the encoder is of another architecture, or there is none to freeze.
    """
    if start == NONE:
        if frozen:
            raise ValueError(
                f"transfer.frozen is true, but transfer.start is {NONE}, which holds no encoder: set it to that of "
                "the stage pretrain (`heldout recipe simclr`), or transfer.frozen to false"
            )
        return ""
    network = encoder(model)
    load(network, architecture, folder)
    network.trainable = not frozen
    return hashlib.md5(Path(folder, WEIGHTS).read_bytes(), usedforsecurity=False).hexdigest()


def save(network: keras.Model, architecture: dict[str, Any], folder: str | Path, **facts: Any) -> None:
    """Write an encoder's weights, and beside them what they fit.

    Args:
        network: of `encoder`.
        architecture: the section `model`.
        folder: gets encoder.weights.h5 and encoder.json.
        facts: further entries of encoder.json.
    """
    with atomic.replacing(Path(folder, WEIGHTS)) as partial:
        network.save_weights(partial)
    atomic.write_json(Path(folder, DESCRIPTION), describe(network, architecture) | facts)


def describe(network: keras.Model, architecture: dict[str, Any]) -> dict[str, Any]:
    """What an encoder's weights fit: its part of the section `model`, and the shape of its images."""
    return {"model": {key: architecture[key] for key in KEYS}, "image_shape": list(network.input_shape[1:])}


def load(network: keras.Model, architecture: dict[str, Any], folder: str | Path) -> None:
    """Put pretrained weights into an encoder.

    Args:
        network: of `encoder`.
        architecture: the section `model`.
        folder: what `save` has written.

    Raises:
        ValueError: where they are of another architecture or of images of another shape, or damaged.
    """
    path = Path(folder, DESCRIPTION)
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        expected = describe(network, architecture)
        pretrained = {"image_shape": description["image_shape"], **description["model"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is missing or damaged: run `dvc checkout {folder}` or `dvc repro`, or set transfer.start to {NONE}"
        ) from error
    for key, value in {"image_shape": expected["image_shape"], **expected["model"]}.items():
        if pretrained.get(key) != value:
            name = key if key == "image_shape" else f"model.{key}"
            raise ValueError(
                f"{folder} was pretrained with {name} {pretrained.get(key)}, but it is {value} here: pretrain again, "
                "or set it back"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it leaves a layer as it is
            network.load_weights(Path(folder, WEIGHTS))
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise ValueError(f"{folder}/{WEIGHTS} does not fit {path}: run `dvc checkout {folder}`") from error
