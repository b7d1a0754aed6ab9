"""The frozen part of a network, which gives an image the same features in every epoch, and the head that trains."""

import hashlib
from typing import Any, NamedTuple

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.networks import build, encoder

with suppress_native_stderr():
    import keras
    from keras import layers

# Of the section `model`: what features depend on, beside weights.
HEAD_KEYS = ("dense_units", "dropout", "l2", "weights")


class Parts(NamedTuple):
    """Two models that share all layers with the one they are parts of: pixels to features (n, units), and features,
    with whatever else the model takes beside pixels, to probabilities."""

    backbone: keras.Model
    head: keras.Model


def parts(model: keras.Model) -> Parts | None:
    """The parts of a model from `build.build`; None where layers before the pooling train."""
    features = encoder.pooling(model).output
    backbone = keras.Model(model.inputs[0], features, name="backbone")
    if backbone.trainable_variables:
        return None
    return Parts(backbone, keras.Model([features, *model.inputs[1:]], model.output, name="head"))


def pretrained_part(model: keras.Model) -> keras.Model:
    """The network within a model from `build.build` whose weights it began with: one of keras.applications, or an
    encoder of the stage `pretrain` while it is frozen.

    Raises:
        ValueError: where it has none.
    """
    networks = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    network = networks[0] if networks else encoder.encoder(model)
    if not networks and network.trainable_variables:
        raise ValueError(
            f"model.architecture is {model.name}, which has no pretrained layers to fine-tune: expected a network of "
            "keras.applications, an encoder of the stage pretrain with transfer.frozen true, or fine_tune.epochs 0"
        )
    return network


def unfreeze(network: keras.Model, num_layers: int) -> None:
    """Let the top layers of a network train, so many, counted from its output; its batch normalization stays frozen."""
    network.trainable = True
    # Each by itself: to a new model over frozen layers, saying that it is trainable does nothing (Keras 3.15).
    for number, layer in enumerate(reversed(network.layers)):
        layer.trainable = number < num_layers and not isinstance(layer, layers.BatchNormalization)


def fingerprint(backbone: keras.Model, architecture: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """What the features of an image depend on beside its pixels and the code.

    Args:
        backbone: of `parts`.
        architecture: the section `model`.
        environment: what its results depend on beside its inputs, such as that of `devices.environment`.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for variable in backbone.variables:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).data)
    return {
        **{key: value for key, value in architecture.items() if key not in HEAD_KEYS},
        "image_shape": list(backbone.input_shape[1:]),
        "weights": digest.hexdigest(),
        **environment,
    }


BUILD = build.__file__  # the code that features depend on
