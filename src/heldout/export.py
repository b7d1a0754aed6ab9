"""Export: the files to ship, byte-stable, taking raw pixels, each compared with the model that was measured."""

import json
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Len
from pydantic import Field

from heldout import predict
from heldout.process import quiet
from heldout.shards import Images

with quiet():
    import keras
    import tensorflow as tf
    from tensorflow.core.protobuf import fingerprint_pb2

Format = Literal["keras", "saved_model", "tflite"]
FILES = {"keras": "model.keras", "saved_model": "saved_model", "tflite": "model.tflite"}
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold


def write(
    model: keras.Model,
    folder: Path,
    images: Images,
    probabilities: np.ndarray,
    *,
    formats: Annotated[list[Format], Len(1)],
    tolerance: Annotated[float, Field(gt=0, le=1)],
) -> dict[str, dict[str, float | int]]:
    """Write the model in each format, load it again, and compare its answers with the model's.

    Args:
        model: the trained model.
        folder: where the files go.
        images: the test images.
        probabilities: the model's answers on them, (n, num_classes).
        formats: keras (model.keras), saved_model (a folder; signature `serve`: uint8 images -> probabilities), tflite
            (float32, uint8 input).
        tolerance: the largest difference of a probability that is taken.

    Returns:
        For each format: largest_difference of a probability, changed_answers (images), and bytes.

    Raises:
        ValueError: where a file differs by more than `tolerance`.
    """
    serve = _serving_function(model)
    writers: dict[str, Any] = {
        "keras": lambda path: _write_keras(model, path),
        "saved_model": lambda path: _write_saved_model(model, serve, path),
        "tflite": lambda path: _write_tflite(serve, path),
    }
    report: dict[str, dict[str, float | int]] = {}
    for name in formats:
        path = folder / FILES[name]
        writers[name](path)
        shipped = LOADERS[name](path)
        answers = np.concatenate([shipped(batch) for batch in images.batches()])
        difference = float(np.abs(answers - probabilities).max())
        changed = int((answers.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
        if not difference <= tolerance:
            raise ValueError(
                f"{path.name} does not answer as the model does: a probability differs by {difference:.2g}, "
                f"expected {tolerance:g} at most (export.tolerance), {changed} of {len(answers)} answers change"
            )
        report[name] = {
            "largest_difference": float(f"{difference:.1e}"),
            "changed_answers": changed,
            "bytes": _size(path),
        }
    return report


def _serving_function(model: keras.Model) -> Any:
    """Raw pixels to probabilities as one TensorFlow function, always in inference mode.

    `model.export()` traces the model without `training=`, and keeps its variables in the order of a set, so that no
    two exports have the same bytes (Keras 3.15).
    """
    shape = (None, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name="images")])
    def serve(images):
        return {"probabilities": model(tf.cast(images, tf.float32), training=False)}

    return serve


def _write_keras(model: keras.Model, path: Path) -> None:
    """A `.keras` file without the date and the memory addresses that Keras puts in."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
    parts["metadata.json"] = json.dumps(metadata).encode()
    parts["config.json"] = json.dumps(_numbered(json.loads(parts["config.json"]), {})).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)


def _numbered(config: Any, seen: dict[int, int]) -> Any:
    """The configuration with its shared objects numbered in the order of their appearance, not by address."""
    if isinstance(config, list):
        return [_numbered(item, seen) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: seen.setdefault(value, len(seen)) if key == "shared_object_id" else _numbered(value, seen)
        for key, value in config.items()
    }


def _write_saved_model(model: keras.Model, serve: Any, path: Path) -> None:
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve, "serve": serve})
    fingerprint = fingerprint_pb2.FingerprintDef.FromString((path / "fingerprint.pb").read_bytes())
    fingerprint.uuid = str(fingerprint.saved_model_checksum)  # else drawn at random
    (path / "fingerprint.pb").write_bytes(fingerprint.SerializeToString(deterministic=True))


def _write_tflite(serve: Any, path: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], serve)
    with quiet():
        content = converter.convert()
    path.write_bytes(content)


def _load_keras(path: Path) -> Any:
    model = keras.saving.load_model(path)
    return lambda images: model.predict_on_batch(images)


def _load_saved_model(path: Path) -> Any:
    serve = tf.saved_model.load(str(path)).signatures["serve"]
    return lambda images: serve(images=tf.constant(images))["probabilities"].numpy()


LOADERS = {"keras": _load_keras, "saved_model": _load_saved_model, "tflite": predict.tflite_model}


def _size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    )
