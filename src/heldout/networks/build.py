"""The networks: functions that return an uncompiled Keras model from raw pixels to probabilities."""

import warnings
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import Field

from heldout.core.process import suppress_native_stderr
from heldout.networks import pretrained
from heldout.networks.attention import ATTENTION
from heldout.networks.cnn import cnn
from heldout.networks.fusion import fuse
from heldout.networks.resnet import resnet

with suppress_native_stderr():
    import keras
    from keras import layers, regularizers

Channels = Annotated[int, Field(ge=1, le=65536)]


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    batch_normalization: type[layers.BatchNormalization] = layers.BatchNormalization,
    text: dict[str, Any] | None = None,
    *,
    architecture: str,
    attention: Literal["none", "se", "cbam"],
    filters: Annotated[list[Channels], Len(1, 8)],
    kernel_size: Annotated[int, Field(ge=1, le=31)],
    batch_norm: bool,
    depth: Annotated[int, Field(ge=8, le=1202)],
    width: Annotated[int, Field(ge=1, le=32)],
    stem: Literal["small", "large"],
    alpha: Annotated[float, Field(gt=0, le=4)],
    minimalistic: bool,
    weights: str,
    pooling: Literal["flatten", "average"],
    dense_units: Annotated[int, Field(ge=0, le=65536)],
    dropout: Annotated[float, Field(ge=0, lt=1)],
    l2: Annotated[float, Field(ge=0, lt=1)],
) -> keras.Model:
    """The network of an architecture.

    Input: pixels 0 to 255 of shape (n, height, width, channels), scaled inside; with a text a second one, its tokens,
    int32 (n, length). Output: probabilities (n, num_classes), float32.

    Args:
        image_shape: (height, width, channels).
        num_classes: how many probabilities.
        batch_normalization: the layer of `batch_norm` and resnet; `batch_norm.BatchNormalization` trains faster, and an
            exported file would need it.
        text: the section `text`, or None for pixels alone.
        architecture: `cnn`, `resnet`, or a network of keras.applications, such as `EfficientNetB0`.
        attention: after each block of cnn and resnet: none, `se` (squeeze and excite) or `cbam`.
        filters: cnn: the convolutions' output channels, one a block.
        kernel_size: cnn: the convolutions' height and width.
        batch_norm: cnn: normalize after each convolution.
        depth: resnet: layers, 6n + 2: 20, 32, 56.
        width: resnet: how many times the paper's 16, 32 and 64 channels.
        stem: resnet: how it begins: `small` with a 3x3 convolution; `large`, for photos, with two that halve the
            height and width each.
        alpha: MobileNet, V2 and V3: scales the number of channels.
        minimalistic: MobileNetV3: without squeeze and excite, hard swish and 5x5 convolutions.
        weights: keras.applications: `imagenet`, `none`, or the path of a file.
        pooling: `flatten` or `average` (over height and width) before the dense layer; resnet always averages.
        dense_units: the width of the hidden dense layer; 0 for none. resnet has none.
        dropout: the fraction dropped in training before the last layer; resnet has none.
        l2: the penalty on the squared weights of convolutions and dense layers.

    Raises:
        ValueError: where the images are too small for the network, or it cannot be built.
    """
    # Names of our own: Keras's would count on from other models of the process, into the exported files.
    images = keras.Input(image_shape, name="images")
    regularizer = regularizers.L2(l2) if l2 else None
    attend = ATTENTION[attention]
    if architecture == "cnn":
        x = cnn(images, filters, kernel_size, batch_normalization if batch_norm else None, attend, regularizer)
    elif architecture == "resnet":
        x = resnet(images, depth, width, stem, batch_normalization, attend, regularizer)
        pooling, dense_units, dropout = "average", 0, 0.0
    else:
        x = pretrained.frozen_features(images, architecture, weights, alpha, minimalistic)
    average = pooling == "average"
    x = (layers.GlobalAveragePooling2D(name="average") if average else layers.Flatten(name="flatten"))(x)
    inputs = images
    if text:
        tokens, x = fuse(x, text["buckets"], text["length"])
        inputs = [images, tokens]
    if dense_units:
        x = layers.Dense(dense_units, activation="relu", kernel_regularizer=regularizer, name="dense")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    classifier = layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=regularizer, dtype="float32", name="probabilities"
    )
    return keras.Model(inputs, classifier(x), name=architecture.lower())


def load(description: dict[str, Any], weights: str) -> keras.Model:
    """The trained model that models/model.json describes, with its weights.

    Raises:
        ValueError: where the weights are not those of the model described.
    """
    defaults = {"kernel_size": 3, "alpha": 1.0, "minimalistic": False}  # which models of before 0.5 do not name
    architecture = defaults | description["model"] | {"weights": "none"}  # the trained ones follow
    shape, text = tuple(description["image_shape"]), description.get("text")
    model = build(shape, len(description["class_names"]), text=text, **architecture)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it leaves a layer as it is
            model.load_weights(weights)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise ValueError(f"{weights} does not fit the model described beside it: run `dvc checkout models`") from error
    return model
