"""Networks of keras.applications as a frozen base, each with the preprocessing that it was trained with inside."""

import contextlib
import hashlib
import io
import os
import traceback
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from heldout.core.process import suppress_native_stderr
from heldout.networks import weights as weights_file

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
ALPHAS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4)  # of which keras.applications has weights
MAX_RELATIVES = 8  # that are tried to say whose weights a file holds
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


def frozen_features(images: Any, name: str, weights: str, alpha: float = 1.0, minimalistic: bool = False) -> Any:
    """The features of a frozen network over raw pixels; its batch normalization stays in inference.

    Args:
        images: a Keras tensor of pixels 0 to 255, (n, height, width, 1 or 3).
        name, weights, alpha, minimalistic: of `base_network`.
    """
    x = images
    if images.shape[-1] == 1:
        x = layers.Concatenate(name="gray_to_rgb")([x, x, x])
    network = base_network(name, (*images.shape[1:3], 3), weights, alpha, minimalistic)
    return network(preprocessing(name, x), training=False)


def base_network(
    name: str, image_shape: tuple[int, int, int], weights: str, alpha: float = 1.0, minimalistic: bool = False
) -> keras.Model:
    """The network without its top, frozen.

    Args:
        name: of `names`.
        image_shape: (height, width, 3).
        weights: `imagenet`, `none`, or the path of a file with the weights of the network, with its top or without.
        alpha: MobileNet, V2 and V3: scales the number of channels.
        minimalistic: MobileNetV3: without squeeze and excite, hard swish and 5x5 convolutions.

    Raises:
        ValueError: where the images are too small, the network does not take `alpha` or `minimalistic`, or the weights
            cannot be had or do not fit.
    """
    if name not in names():
        raise ValueError(f"model.architecture is {name!r}: expected cnn, resnet or one of {', '.join(names())}")
    if weights not in ("imagenet", "none"):
        _weights_file(weights)
    arguments = _arguments(name, alpha, minimalistic)
    network = _imagenet(name, image_shape, arguments) if weights == "imagenet" else _build(name, image_shape, arguments)
    if weights not in ("imagenet", "none"):
        try:
            weights_file.load(network, weights)
        except weights_file.Mismatch as error:
            raise ValueError(f"{error}{_fitting(name, image_shape, weights, arguments)}") from error
    network.trainable = False
    return network


def _arguments(name: str, alpha: float, minimalistic: bool) -> dict[str, Any]:
    """Those of `alpha` and `minimalistic` that the network takes.

    Raises:
        ValueError: where one that is not the default is not among them.
    """
    taken = signature(getattr(keras.applications, name)).parameters
    arguments: dict[str, Any] = {"alpha": float(alpha), "minimalistic": minimalistic}
    for key, default in (("alpha", 1.0), ("minimalistic", False)):
        if key not in taken and arguments[key] != default:
            raise ValueError(f"model.{key} is {arguments[key]}, which {name} does not take: set it to {default}")
    return {key: value for key, value in arguments.items() if key in taken}


def _build(name: str, image_shape: tuple[int, int, int], arguments: dict[str, Any]) -> keras.Model:
    """The network with random weights."""
    try:
        return getattr(keras.applications, name)(
            include_top=False, weights=None, input_shape=image_shape, **arguments
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{name} cannot be built for {image_shape}: {_shortened(error)}") from error


def _imagenet(name: str, image_shape: tuple[int, int, int], arguments: dict[str, Any]) -> keras.Model:
    """The network with the weights that Keras fetches, or has fetched before; it prints what it does, we do not."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            return getattr(keras.applications, name)(
                include_top=False, weights="imagenet", input_shape=image_shape, **arguments
            )  # fmt: skip
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be built for {image_shape} with weights imagenet: {_shortened(error)}"
        ) from error
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise ValueError(
            f"the ImageNet weights of {name} could not be fetched: where there is a network, get {_origin(error)}, "
            "`dvc add` it in pretrained/, and set model.weights to its path; or set it to none"
        ) from error


def _origin(error: BaseException) -> str:
    """What Keras was to fetch: the address and the hash that it knows, of the frame that the error passed through."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "get_file" and "origin" in frame.f_locals:
            digest = frame.f_locals.get("file_hash")
            method = "md5" if digest and len(digest) == 32 else "SHA-256"
            return f"{frame.f_locals['origin']}" + (f" ({method} {digest})" if digest else "")
    return "the file that Keras names"


def _fitting(name: str, image_shape: tuple[int, int, int], weights: str, arguments: dict[str, Any]) -> str:
    """What the weights fit instead: another alpha, or another network of the same family."""
    stored = weights_file.shapes(weights)
    candidates = [(name, arguments | {"alpha": alpha}) for alpha in ALPHAS] if "alpha" in arguments else []
    candidates += [(other, {}) for other in names() if other != name and other[:6] == name[:6]][:MAX_RELATIVES]
    for other, others in candidates:
        try:
            network = _build(other, image_shape, others)
        except ValueError:
            continue
        if weights_file.fits(network, stored):
            return f"; it fits {other}" + (f" with model.alpha {others['alpha']:g}" if others else "")
    return "; expected the file of this network, with its top or without"


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
