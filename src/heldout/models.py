"""The networks: functions that return an uncompiled Keras model from raw pixels to probabilities."""

import warnings
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import Field

from heldout import pretrained
from heldout.attention import ATTENTION
from heldout.process import quiet

with quiet():
    import keras
    from keras import layers, regularizers

Units = Annotated[int, Field(ge=1, le=65536)]
Share = Annotated[float, Field(ge=0, lt=1)]
MEMORY = 0.9  # of batch normalization's moving statistics; Keras's 0.99 takes 460 steps to leave where it begins
WIDTHS = (16, 32, 64)  # channels of the three stages of a ResNet for small images


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    normalization: type[layers.BatchNormalization] = layers.BatchNormalization,
    *,
    family: str,
    attention: Literal["none", "se", "cbam"],
    filters: Annotated[list[Units], Len(1, 8)],
    batch_norm: bool,
    depth: Annotated[int, Field(ge=8, le=1202)],
    width: Annotated[int, Field(ge=1, le=32)],
    stem: Literal["small", "large"],
    weights: str,
    pooling: Literal["flatten", "average"],
    dense_units: Annotated[int, Field(ge=0, le=65536)],
    dropout: Share,
    l2: Annotated[float, Field(ge=0, lt=1)],
) -> keras.Model:
    """The network of a family.

    Input: pixels 0 to 255 of shape (n, height, width, channels), scaled inside. Output: probabilities (n, num_classes),
    float32.

    Args:
        image_shape: (height, width, channels).
        num_classes: how many probabilities.
        normalization: the layer of `batch_norm` and resnet; `normalization.BatchNormalization` trains faster, and an
            exported file would need it.
        family: `cnn`, `resnet`, or a network of keras.applications, such as `EfficientNetB0`.
        attention: after each block of cnn and resnet: none, `se` (squeeze and excite) or `cbam`.
        filters: cnn: the convolutions' output channels, one a block.
        batch_norm: cnn: normalize after each convolution.
        depth: resnet: layers, 6n + 2: 20, 32, 56.
        width: resnet: how many times the paper's 16, 32 and 64 channels.
        stem: resnet: how it begins: `small` with a 3x3 convolution; `large`, for photos, with two that halve the
            height and width each.
        weights: keras.applications: `imagenet`, `none`, or the path of a file.
        pooling: `flatten` or `average` (over the places) before the dense layer; resnet always averages.
        dense_units: the width of the hidden dense layer; 0 for none. resnet has none.
        dropout: the fraction dropped in training before the last layer; resnet has none.
        l2: the penalty on the squared weights of convolutions and dense layers.

    Raises:
        ValueError: where the images are too small for the network, or it cannot be built.
    """
    # Names of our own: Keras's would count on from other models of the process, into the exported files.
    images = keras.Input(image_shape, name="images")
    penalty = regularizers.L2(l2) if l2 else None
    if family == "cnn":
        x = _cnn(images, filters, normalization if batch_norm else None, ATTENTION[attention], penalty)
    elif family == "resnet":
        x, pooling, dense_units, dropout = (
            _resnet(images, depth, width, stem, normalization, ATTENTION[attention], penalty),
            "average",
            0,
            0.0,
        )
    else:
        x = _pretrained(images, family, weights)
    average = pooling == "average"
    x = (layers.GlobalAveragePooling2D(name="average") if average else layers.Flatten(name="flatten"))(x)
    if dense_units:
        x = layers.Dense(dense_units, activation="relu", kernel_regularizer=penalty, name="dense")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    last = layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=penalty, dtype="float32", name="probabilities"
    )
    return keras.Model(images, last(x), name=family.lower())


def pretrained_part(model: keras.Model) -> keras.Model:
    """The network of keras.applications within a model from `build`.

    Raises:
        ValueError: where it has none.
    """
    networks = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if not networks:
        raise ValueError(
            f"model.family is {model.name}, which has no pretrained layers to train further: expected a network of "
            "keras.applications, or train.fine_tune_epochs 0"
        )
    return networks[0]


def unfreeze(network: keras.Model, layers_from_top: int) -> None:
    """Let so many layers of a network train, counted from its output; its batch normalization stays as it is."""
    network.trainable = True
    for number, layer in enumerate(reversed(network.layers)):
        if number >= layers_from_top or isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def load(description: dict[str, Any], weights: str) -> keras.Model:
    """The trained model that models/model.json describes, with its weights.

    Raises:
        ValueError: where the weights are not those of the model described.
    """
    architecture = description["model"] | {"weights": "none"}  # the trained ones follow
    model = build(tuple(description["image_shape"]), len(description["class_names"]), **architecture)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it leaves a layer as it is
            model.load_weights(weights)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise ValueError(f"{weights} does not fit the model described beside it: run `dvc checkout models`") from error
    return model


def _cnn(images: Any, filters: list[int], normalization: Any, attend: Any, penalty: Any) -> Any:
    """The CNN of the tutorials: blocks of 3x3 convolution, ReLU and 2x2 max-pooling.

    With filters 32, 64, 128 this is the network of Chollet, "Building powerful image classification models using very
    little data" (the Keras blog, 2016), with a softmax for many classes.
    """
    smallest = 1
    for _ in filters:
        smallest = 2 * smallest + 2
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(
            f"images of {height} x {width} pixels are too small for {len(filters)} blocks: "
            f"expected {smallest} or more (preprocess.image_size), or fewer model.filters"
        )
    x = layers.Rescaling(1 / 255, name="scale")(images)
    for number, channels in enumerate(filters, 1):
        name = f"block{number}"
        if normalization:
            convolution = layers.Conv2D(channels, 3, use_bias=False, kernel_regularizer=penalty, name=f"{name}_conv")
            x = normalization(momentum=MEMORY, name=f"{name}_norm")(convolution(x))
            x = layers.ReLU(name=f"{name}_relu")(x)
        else:
            x = layers.Conv2D(channels, 3, activation="relu", kernel_regularizer=penalty, name=f"{name}_conv")(x)
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(attend(x, f"{name}_attention"))
    return x


def _resnet(images: Any, depth: int, width: int, stem: str, normalization: Any, attend: Any, penalty: Any) -> Any:
    """The ResNet for small images of 6n + 2 layers (He et al., Deep Residual Learning, 2016, section 4.2).

    A shortcut that changes its width is a 1x1 convolution (the paper's option B). The width is that of Wide Residual
    Networks (Zagoruyko and Komodakis, 2016). The large stem is in the manner of ResNet-C (He et al., Bag of Tricks,
    2019), whose 3x3 convolutions cost a third of the 7x7 convolution and the pooling before them.
    """
    if (depth - 2) % 6:
        raise ValueError(f"model.depth is {depth}: expected 6n + 2, such as 20, 32 or 56")

    def convolution(x: Any, channels: int, size: int, stride: int, name: str) -> Any:
        layer = layers.Conv2D(
            channels, size, stride, "same", use_bias=False,
            kernel_initializer="he_normal", kernel_regularizer=penalty, name=f"{name}_conv",
        )  # fmt: skip
        return normalization(momentum=MEMORY, name=f"{name}_norm")(layer(x))

    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(images)
    widths = [width * channels for channels in WIDTHS]
    for name, stride in [("first", 1)] if stem == "small" else [("first", 2), ("second", 2)]:
        x = layers.ReLU(name=f"{name}_relu")(convolution(x, widths[0], 3, stride, name))
    for stage, channels in enumerate(widths, 1):
        for block in range(1, (depth - 2) // 6 + 1):
            name, stride = f"stage{stage}_block{block}", 2 if stage > 1 and block == 1 else 1
            shortcut = x if stride == 1 else convolution(x, channels, 1, stride, f"{name}_shortcut")
            x = layers.ReLU(name=f"{name}_relu1")(convolution(x, channels, 3, stride, f"{name}_1"))
            x = attend(convolution(x, channels, 3, 1, f"{name}_2"), f"{name}_attention")
            x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, shortcut]))
    return x


def _pretrained(images: Any, family: str, weights: str) -> Any:
    """A frozen network of keras.applications; its batch normalization stays in inference."""
    x = images
    if images.shape[-1] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    network = pretrained.base(family, (*images.shape[1:3], 3), weights)
    return network(pretrained.preprocessing(family, x), training=False)
