"""A SavedModel folder, signature `serve`: uint8 images to probabilities, always in inference mode."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras
    import tensorflow as tf
    from tensorflow.core.protobuf import fingerprint_pb2


def serving_function(model: keras.Model) -> Any:
    """Raw pixels, and tokens where the model takes them, to probabilities as one TensorFlow function, always in
    inference mode.

    `model.export()` traces the model without `training=`, and keeps its variables in the order of a set, so that no
    two exports have the same bytes (Keras 3.15).
    """
    if len(model.inputs) == 2:
        pixels, tokens = model.inputs
        signature = [
            tf.TensorSpec((None, *pixels.shape[1:]), tf.uint8, name="images"),
            tf.TensorSpec((None, *tokens.shape[1:]), tf.int32, name="tokens"),
        ]

        @tf.function(input_signature=signature)
        def serve_both(images: tf.Tensor, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": model([tf.cast(images, tf.float32), tokens], training=False)}

        return serve_both
    shape = (None, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name="images")])
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(tf.cast(images, tf.float32), training=False)}

    return serve


def write(model: keras.Model, path: Path) -> None:
    """Write the folder, with its random uuid replaced by its checksum."""
    serve = serving_function(model)
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
    module.serve = serve
    for folder in (path, path / "assets", path / "variables"):
        folder.mkdir()  # TensorFlow's own have mode 755 whatever the umask, closed to a group that writes
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve, "serve": serve})
    fingerprint = fingerprint_pb2.FingerprintDef.FromString((path / "fingerprint.pb").read_bytes())
    fingerprint.uuid = str(fingerprint.saved_model_checksum)
    (path / "fingerprint.pb").write_bytes(fingerprint.SerializeToString(deterministic=True))


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of them and of int32 tokens (n, length), to
    probabilities (n, num_classes)."""
    serve = tf.saved_model.load(str(path)).signatures["serve"]

    def run(inputs: Any) -> np.ndarray:
        named = zip(("images", "tokens"), inputs if isinstance(inputs, list) else [inputs], strict=False)
        return serve(**{name: tf.constant(values) for name, values in named})["probabilities"].numpy()

    return run
