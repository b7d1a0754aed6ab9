"""Networks of keras.applications as a frozen base, each with the preprocessing that it was trained with inside."""

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras
    from keras import layers

# What `preprocess_input` of each does to pixels 0 to 255; the others hold theirs already (ConvNeXt, EfficientNet,
# EfficientNetV2, MobileNetV3). tests/networks/test_build.py compares every one of them.
RESNET_V2 = ("ResNet50V2", "ResNet101V2", "ResNet152V2")
MINUS_ONE_TO_ONE = ("Inception", "MobileNet", "MobileNetV2", "NASNet", *RESNET_V2, "Xception")
CAFFE = ("ResNet50", "ResNet101", "ResNet152", "VGG")  # blue, green, red, their ImageNet means taken off
TORCH = ("DenseNet",)  # ImageNet's means taken off, divided by its standard deviations
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEANS = (123.68, 116.779, 103.939)  # red, green, blue


def names() -> list[str]:
    """The networks of keras.applications."""
    return sorted(name for name in dir(keras.applications) if name[0].isupper())


def preprocessing(name: str, x: Any) -> Any:
    """Pixels 0 to 255 (n, height, width, 3) as the network `name` expects them."""
    kind = _kind(name)
    if kind is MINUS_ONE_TO_ONE:
        return layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="scale")(x)
    if kind is TORCH:
        scale = [1 / (255 * deviation) for deviation in DEVIATIONS]
        offset = [-mean / deviation for mean, deviation in zip(MEANS, DEVIATIONS, strict=True)]
        return layers.Rescaling(scale, offset, dtype="float32", name="scale")(x)
    if kind is CAFFE:
        x = layers.Rescaling(1.0, offset=[-mean for mean in CAFFE_MEANS], dtype="float32", name="center")(x)
        return keras.ops.flip(x, axis=-1)
    return x


def weights_id(weights: str, folder: str) -> str:
    """What tells weights from others: the md5 of a file, else their name.

    Args:
        weights: of `base_network`.
        folder: the one whose files are inputs of training: a change of a file elsewhere would rerun nothing.

    Raises:
        ValueError: where `weights` is a path outside it, or no file.
    """
    if weights in ("imagenet", "none"):
        return weights
    if not Path(os.path.normpath(Path(weights).absolute())).is_relative_to(Path(folder).absolute()):
        raise ValueError(
            f"model.weights is {weights}, outside {folder}/, so that a change of it would rerun nothing: "
            f"copy it to {folder}/, `dvc add` it there, and name it {folder}/{Path(weights).name}"
        )
    with _weights_file(weights).open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def frozen_features(images: Any, name: str, weights: str) -> Any:
    """The features of a frozen network over raw pixels; its batch normalization stays in inference.

    Args:
        images: a Keras tensor of pixels 0 to 255, (n, height, width, 1 or 3).
        name, weights: of `base_network`.
    """
    x = images
    if images.shape[-1] == 1:
        x = layers.Concatenate(name="gray_to_rgb")([x, x, x])
    network = base_network(name, (*images.shape[1:3], 3), weights)
    return network(preprocessing(name, x), training=False)


def base_network(name: str, image_shape: tuple[int, int, int], weights: str) -> keras.Model:
    """The network without its top, frozen.

    Args:
        name: of `names`.
        image_shape: (height, width, 3).
        weights: `imagenet`, `none`, or the path of a file with the weights of the network without its top.

    Raises:
        ValueError: where the images are too small, or the weights cannot be had or do not fit.
    """
    if name not in names():
        raise ValueError(f"model.architecture is {name!r}: expected cnn, resnet or one of {', '.join(names())}")
    if weights not in ("imagenet", "none"):
        _weights_file(weights)
    try:
        network = getattr(keras.applications, name)(
            include_top=False, weights=None if weights == "none" else weights, input_shape=image_shape
        )
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be built for {image_shape} with weights {weights}: {_shortened(error)}"
        ) from error
    except Exception as error:  # Keras raises a bare Exception where a download fails
        if weights not in ("imagenet", "none"):
            raise ValueError(
                f"{weights} cannot be read as weights of {name} ({_shortened(error)}): expected a Keras file of the "
                "network without its top; fetch it again"
            ) from error
        raise ValueError(
            f"the ImageNet weights of {name} could not be fetched ({_shortened(error)}): fetch the file elsewhere, "
            "put it into pretrained/ and set model.weights to its path, or to none"
        ) from error
    network.trainable = False
    return network


def _weights_file(weights: str) -> Path:
    if not Path(weights).is_file():
        raise ValueError(f"model.weights is {weights}: no such file; expected imagenet, none or a file of weights")
    return Path(weights)


def _kind(name: str) -> tuple[str, ...] | None:
    """Which preprocessing: by the full name, else by the family that the name starts with."""
    for kind in (MINUS_ONE_TO_ONE, CAFFE, TORCH):
        if name in kind:
            return kind
    if name.startswith(("MobileNetV3", "EfficientNet", "ConvNeXt")):
        return None
    return next(
        (kind for kind in (MINUS_ONE_TO_ONE, CAFFE, TORCH) if name.startswith(tuple(kind))),
        None,
    )


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
