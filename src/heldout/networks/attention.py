"""Attention after a block of convolutions, of Keras's own layers alone, so that exported files need none of ours."""

from typing import Any

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    from keras import layers

REDUCTION = 16  # of the channels, inside both; the ratio of both papers
KERNEL = 7  # of CBAM's spatial convolution


def squeeze_and_excite(x: Any, name: str) -> Any:
    """Weigh each channel by what all of them are on average (Hu et al., Squeeze-and-Excitation Networks, 2018).

    Args:
        x: a Keras tensor (n, height, width, channels).
        name: what the layers' names start with.
    """
    squeeze, excite = _bottleneck(x.shape[-1], name, last="sigmoid")
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    return layers.Multiply(name=f"{name}_scale")([x, excite(squeeze(pooled))])


def cbam(x: Any, name: str) -> Any:
    """Weigh each channel, then each position (Woo et al., CBAM: Convolutional Block Attention Module, 2018).

    Args:
        x: a Keras tensor (n, height, width, channels).
        name: what the layers' names start with.
    """
    height, width, channels = x.shape[1:]
    squeeze, excite = _bottleneck(channels, f"{name}_channel", last=None)
    average = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_channel_average")(x)
    largest = layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}_channel_max")(x)
    both = layers.Add(name=f"{name}_channel_add")([excite(squeeze(average)), excite(squeeze(largest))])
    weight = layers.Activation("sigmoid", name=f"{name}_channel_weight")(both)
    x = layers.Multiply(name=f"{name}_channel_scale")([x, weight])

    # Over the channels: pooling takes the last axis where it is told that channels come first.
    positions = layers.Reshape((height * width, channels), name=f"{name}_positions")(x)
    average = layers.GlobalAveragePooling1D("channels_first", keepdims=True, name=f"{name}_spatial_average")(positions)
    largest = layers.GlobalMaxPooling1D("channels_first", keepdims=True, name=f"{name}_spatial_max")(positions)
    both = layers.Concatenate(name=f"{name}_spatial_both")([average, largest])
    both = layers.Reshape((height, width, 2), name=f"{name}_spatial_map")(both)
    convolution = layers.Conv2D(
        1, KERNEL, padding="same", activation="sigmoid", use_bias=False, name=f"{name}_spatial_weight"
    )
    return layers.Multiply(name=f"{name}_spatial_scale")([x, convolution(both)])


def _bottleneck(channels: int, name: str, last: str | None) -> tuple[Any, Any]:
    hidden = max(1, channels // REDUCTION)
    squeeze = layers.Dense(hidden, activation="relu", name=f"{name}_squeeze")
    return squeeze, layers.Dense(channels, activation=last, name=f"{name}_excite")


ATTENTION = {"none": lambda x, name: x, "se": squeeze_and_excite, "cbam": cbam}
