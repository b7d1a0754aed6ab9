"""Loading runs nothing that a file holds: pickles, code, other files and odd archives are refused in one line."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_models import network, pixels, sources
from test_export_formats import EVERY_FORMAT

from heldout.core.process import suppress_native_stderr
from heldout.export import files

with suppress_native_stderr():
    import keras
    import tensorflow as tf

pytestmark = pytest.mark.slow
INSIDE = {"saved_model": "saved_model.pb", "openvino": "model.xml"}


class Payload:
    """What makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return Path.mkdir, (Path(self.marker),)


def refused(name: str, path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        files.load(name, path)
    assert str(caught.value).startswith(f"{path} is not loaded (") and "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"): run `dvc checkout --force {path.parent}`, or `dvc repro`")


def test_the_payload_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "marker")))
    assert (tmp_path / "marker").is_dir()


@EVERY_FORMAT
@pytest.mark.parametrize("content", ["pickle", "nothing"])
def test_a_pickle_is_refused_and_not_read(tmp_path, name, content):
    path = tmp_path / files.FILES[name]
    if name in INSIDE:
        path.mkdir()
    bytes_of = pickle.dumps(Payload(tmp_path / "marker")) if content == "pickle" else b""
    (path / INSIDE[name] if name in INSIDE else path).write_bytes(bytes_of)
    if name == "openvino":
        (path / "model.bin").write_bytes(bytes_of)
    refused(name, path, "is not loaded")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["keras", "h5"])
def test_a_lambda_is_refused(tmp_path, name):
    text = str(tmp_path / "marker")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: [Path(text).mkdir(), x][1])(inputs))
    Path(text).rmdir()
    with suppress_native_stderr():
        model.save(tmp_path / files.FILES[name])
    refused(name, tmp_path / files.FILES[name], r"it holds code, a Lambda|it holds code, a __lambda__")
    assert not Path(text).exists()


def config_of(module: str, class_name: str) -> str:
    values = json.loads(network().to_json())
    values["config"]["layers"][1] |= {"module": module, "class_name": class_name}
    return json.dumps(values)


@pytest.mark.parametrize(("module", "class_name"), [("keras.utils", "get_file"), ("os", "system"), ("mine", "Layer")])
def test_a_class_that_is_not_of_a_network_is_refused(tmp_path, module, class_name):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", config_of(module, class_name))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    refused("keras", tmp_path / "model.keras", f"it names {module}.{class_name}, which is no part of Keras's networks")
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = config_of(module, class_name)
    refused("h5", tmp_path / "model.h5", f"it names {module}.{class_name}, which is no part")


@pytest.mark.parametrize("member", ["../escaped", "/tmp/escaped", "assets/a.txt", "model.weights.npz"])
def test_an_archive_with_anything_else_is_refused(tmp_path, member):
    path = tmp_path / "folder/model.keras"
    path.parent.mkdir()
    files.FORMATS["keras"].write(network(), path, None)
    pickled = io.BytesIO()
    np.savez(pickled, weights=np.array([Payload(tmp_path / "marker")], object))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, pickled.getvalue())
    refused("keras", path, f"it holds {member}")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("kind", ["link", "external"])
@pytest.mark.parametrize("name", ["keras", "h5"])
def test_weights_from_another_file_are_refused(tmp_path, name, kind):
    path = tmp_path / files.FILES[name]
    (tmp_path / "secret").write_bytes(bytes(64))
    weights = tmp_path / "weights.h5" if name == "keras" else path
    with h5py.File(weights, "w") as file:
        file.attrs["model_config"] = network().to_json()
        if kind == "link":
            file["stolen"] = h5py.ExternalLink(str(tmp_path / "secret"), "/")
        else:
            file.create_dataset("a/stolen", (8,), "f8", external=[(str(tmp_path / "secret"), 0, 64)])
    if name == "keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", network().to_json())
            archive.writestr("metadata.json", "{}")
            archive.write(weights, "model.weights.h5")
    refused(name, path, "its stolen refers to another place")


def test_a_saved_model_that_reads_a_file_is_refused(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.uint8, name="images")])
    def serve(images):
        content = tf.io.read_file("/etc/passwd")
        return {"probabilities": tf.cast(images, tf.float32) + tf.cast(tf.strings.length(content), tf.float32)}

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures={"serve": serve})
    refused("saved_model", tmp_path / "saved_model", "it holds the operation ReadFile, which no exported model needs")


@pytest.mark.parametrize("kind", ["data", "domain"])
def test_an_onnx_file_that_needs_more_than_itself_is_refused(tmp_path, kind):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    path = tmp_path / "model.onnx"
    files.FORMATS["onnx"].write(network(), path, None)
    proto = onnx.load(path)
    if kind == "data":
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../secret")
    else:
        proto.graph.node[0].domain = "com.example"
    path.write_bytes(proto.SerializeToString())
    refused("onnx", path, {"data": "its weights are in another file", "domain": "operations of com.example"}[kind])


def test_an_openvino_folder_with_anything_else_is_refused(tmp_path):
    folder = tmp_path / "openvino"
    folder.mkdir()
    for name in ("model.xml", "model.bin", "plugins.xml"):
        (folder / name).write_text("<net/>")
    refused("openvino", folder, r"expected model\.bin and model\.xml, it holds model\.bin, model\.xml, plugins\.xml")


def test_what_is_trusted_is_what_heldout_writes(tmp_path):
    """Attention of cbam is made of Keras's operations, which are layers of other modules than keras.layers."""
    model = network(attention="cbam", batch_norm=True)
    for name in ("keras", "h5"):
        path = tmp_path / files.FILES[name]
        files.FORMATS[name].write(model, path, sources(pixels()))
        assert np.abs(files.load(name, path)(pixels()) - model.predict_on_batch(pixels())).max() == 0
