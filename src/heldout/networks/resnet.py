"""The ResNet for small images, its wide form, and a stem for photos."""

from typing import Any

from heldout.core.process import suppress_native_stderr
from heldout.networks.cnn import BATCH_NORM_MOMENTUM

with suppress_native_stderr():
    from keras import layers

CHANNELS = (16, 32, 64)  # of the three stages of a ResNet for small images


def resnet(
    images: Any, depth: int, width: int, stem: str, batch_normalization: Any, attention: Any, regularizer: Any
) -> Any:
    """The ResNet of 6n + 2 layers (He et al., Deep Residual Learning, 2016, section 4.2).

    A shortcut that changes its width is a 1x1 convolution (the paper's option B). The width is that of Wide Residual
    Networks (Zagoruyko and Komodakis, 2016). The large stem is in the manner of ResNet-C (He et al., Bag of Tricks,
    2019), whose 3x3 convolutions cost a third of the 7x7 convolution and the pooling before them.

    Args:
        images: a Keras tensor of pixels 0 to 255, (n, height, width, channels).
        depth: layers, 6n + 2.
        width: times the paper's channels.
        stem: `small` or `large`, which shrinks images to a quarter each way.
        batch_normalization: the layer after each convolution.
        attention: of `attention.ATTENTION`.
        regularizer: of the convolutions' kernels, or None.

    Raises:
        ValueError: where `depth` is not 6n + 2.
    """
    if (depth - 2) % 6:
        raise ValueError(f"model.depth is {depth}: expected 6n + 2, such as 20, 32 or 56")

    def convolution(x: Any, channels: int, size: int, stride: int, name: str) -> Any:
        layer = layers.Conv2D(
            channels, size, stride, "same", use_bias=False,
            kernel_initializer="he_normal", kernel_regularizer=regularizer, name=f"{name}_conv",
        )  # fmt: skip
        return batch_normalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(layer(x))

    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(images)
    widths = [width * channels for channels in CHANNELS]
    for name, stride in [("first", 1)] if stem == "small" else [("first", 2), ("second", 2)]:
        x = layers.ReLU(name=f"{name}_relu")(convolution(x, widths[0], 3, stride, name))
    for stage, channels in enumerate(widths, 1):
        for block in range(1, (depth - 2) // 6 + 1):
            name, stride = f"stage{stage}_block{block}", 2 if stage > 1 and block == 1 else 1
            shortcut = x if stride == 1 else convolution(x, channels, 1, stride, f"{name}_shortcut")
            x = layers.ReLU(name=f"{name}_relu1")(convolution(x, channels, 3, stride, f"{name}_1"))
            x = attention(convolution(x, channels, 3, 1, f"{name}_2"), f"{name}_attention")
            x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, shortcut]))
    return x
