"""The CNN of the tutorials: blocks of convolution, ReLU and 2x2 max-pooling."""

from typing import Any

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    from keras import layers

BATCH_NORM_MOMENTUM = 0.9  # Keras's 0.99 takes 460 steps to leave what the moving statistics begin with


def cnn(
    images: Any, filters: list[int], kernel_size: int, batch_normalization: Any, attention: Any, regularizer: Any
) -> Any:
    """Blocks over scaled pixels.

    With filters 32, 64, 128 and kernels of 3 this is the network of Chollet, "Building powerful image classification
    models using very little data" (the Keras blog, 2016), with a softmax for many classes.

    Args:
        images: a Keras tensor of pixels 0 to 255, (n, height, width, channels).
        filters: the convolutions' output channels, one a block.
        kernel_size: their kernels' height and width.
        batch_normalization: the layer after each convolution, or None.
        attention: of `attention.ATTENTION`.
        regularizer: of the convolutions' kernels, or None.

    Raises:
        ValueError: where the images are too small for so many blocks.
    """
    smallest = 1
    for _ in filters:
        smallest = 2 * smallest + kernel_size - 1
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(
            f"images of {height} x {width} pixels are too small for {len(filters)} blocks: "
            f"expected {smallest} or more (preprocess.image_size), fewer model.filters, or a smaller model.kernel_size"
        )
    x = layers.Rescaling(1 / 255, name="scale")(images)
    for number, channels in enumerate(filters, 1):
        name = f"block{number}"
        if batch_normalization:
            convolution = layers.Conv2D(
                channels, kernel_size, use_bias=False, kernel_regularizer=regularizer, name=f"{name}_conv"
            )
            x = batch_normalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(convolution(x))
            x = layers.ReLU(name=f"{name}_relu")(x)
        else:
            convolution = layers.Conv2D(
                channels, kernel_size, activation="relu", kernel_regularizer=regularizer, name=f"{name}_conv"
            )
            x = convolution(x)
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(attention(x, f"{name}_attention"))
    return x
