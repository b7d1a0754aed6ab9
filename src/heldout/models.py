"""The networks: functions that return an uncompiled Keras model from raw pixels to probabilities."""

from typing import Annotated, Any

from annotated_types import Len
from pydantic import Field

from heldout.process import quiet

with quiet():
    import keras
    from keras import layers

Units = Annotated[int, Field(ge=1, le=65536)]


def cnn(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: Annotated[list[Units], Len(1, 8)],
    dense_units: Units,
    dropout: Annotated[float, Field(ge=0, lt=1)],
) -> keras.Model:
    """The CNN of the tutorials: blocks of 3x3 convolution, ReLU and 2x2 max-pooling, then a dense layer with dropout.

    Input: pixels 0 to 255 of shape (n, height, width, channels), scaled inside. Output: probabilities (n, num_classes),
    float32. With filters 32, 64, 128 this is the network of Chollet, "Building powerful image classification models
    using very little data" (the Keras blog, 2016), with a softmax for many classes.

    Args:
        image_shape: (height, width, channels).
        num_classes: how many probabilities.
        filters: the convolutions' output channels, one a block.
        dense_units: the width of the hidden dense layer.
        dropout: the fraction of it dropped in training.

    Raises:
        ValueError: where the images are too small for so many blocks.
    """
    smallest = 1
    for _ in filters:
        smallest = 2 * smallest + 2
    if min(image_shape[:2]) < smallest:
        raise ValueError(
            f"images of {image_shape[0]} x {image_shape[1]} pixels are too small for {len(filters)} blocks: "
            f"expected {smallest} or more (preprocess.image_size), or fewer model.filters"
        )
    # Names of our own: Keras's would count on from other models of the process, into the exported files.
    blocks = [
        layer
        for number, channels in enumerate(filters, 1)
        for layer in (
            layers.Conv2D(channels, 3, activation="relu", name=f"block{number}_conv"),
            layers.MaxPooling2D(2, name=f"block{number}_pool"),
        )
    ]
    return keras.Sequential(
        [
            keras.Input(image_shape, name="images"),
            layers.Rescaling(1 / 255, name="scale"),
            *blocks,
            layers.Flatten(name="flatten"),
            layers.Dense(dense_units, activation="relu", name="dense"),
            layers.Dropout(dropout, name="dropout"),
            layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities"),
        ],
        name="cnn",
    )


def load(description: dict[str, Any], weights: str) -> keras.Model:
    """The trained model that models/model.json describes, with its weights.

    Raises:
        ValueError: where the weights are not those of the model described.
    """
    model = cnn(tuple(description["image_shape"]), len(description["class_names"]), **description["model"])
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{weights} does not fit the model described beside it: run `dvc checkout models`") from error
    return model
