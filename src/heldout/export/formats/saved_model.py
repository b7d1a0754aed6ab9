"""A SavedModel folder: `serve` takes uint8 images, `serve_encoded` JPEG or PNG files of any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.export import inputs as model_inputs

FILE = "saved_model"
IS_QUANTIZED = False
RUNTIME = ("tensorflow",)
SERVE, SERVE_ENCODED = "serve", "serve_encoded"


def write(model: Any, path: Path, sources: Any) -> None:
    """Write the folder; a model that takes more than images has no signature for encoded ones."""
    from heldout.export import serving
    from heldout.export.decoding import encoded_images

    serve = serving.serving_function(model)
    signatures = {"serving_default": serve, SERVE: serve}
    if len(model.inputs) == 1:
        signatures[SERVE_ENCODED] = encoded_images.serving_function(model, **sources.preprocess)
    save(model, path, signatures)


def save(model: Any, path: Path, signatures: dict[str, Any]) -> None:
    """Write the folder, with its random uuid replaced by its checksum."""
    with suppress_native_stderr():
        import tensorflow as tf
        from tensorflow.core.protobuf import fingerprint_pb2

    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
    for name, function in signatures.items():
        setattr(module, name, function)
    for folder in (path, path / "assets", path / "variables"):
        folder.mkdir(exist_ok=True)  # TensorFlow's own have mode 755 whatever the umask, closed to a group that writes
    tf.saved_model.save(module, str(path), signatures=signatures)
    fingerprint = fingerprint_pb2.FingerprintDef.FromString((path / "fingerprint.pb").read_bytes())
    fingerprint.uuid = str(fingerprint.saved_model_checksum)
    (path / "fingerprint.pb").write_bytes(fingerprint.SerializeToString(deterministic=True))


def load(path: Path, signature: str = SERVE) -> Callable[[Any], np.ndarray]:
    """A function to probabilities (n, num_classes), run by TensorFlow.

    Args:
        path: the folder.
        signature: `serve`, which takes uint8 images (n, height, width, channels), or a list of all of the model's
            inputs; or `serve_encoded`, which takes files, an array of bytes (n,).

    Raises:
        ValueError: where its graph calls Python, or reads or writes other files than its checkpoint.
    """
    with suppress_native_stderr():
        import tensorflow as tf

    _check(path)
    function = tf.saved_model.load(str(path)).signatures[signature]
    names = list(function.structured_input_signature[1])

    def run(inputs: Any) -> np.ndarray:
        arrays = model_inputs.named(names, inputs)
        return function(**{name: tf.constant(array) for name, array in arrays.items()})[
            model_inputs.PROBABILITIES
        ].numpy()

    return run


def _check(path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    from heldout.core import untrusted

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    if not saved.meta_graphs:
        raise ValueError("it holds no graph")
    for graph in saved.meta_graphs:
        functions = graph.graph_def.library.function
        nodes = [*graph.graph_def.node, *(node for function in functions for node in function.node_def)]
        untrusted.check_operations(node.op for node in nodes)
        if graph.asset_file_def:
            raise ValueError(f"it refers to the file {graph.asset_file_def[0].filename}")
