"""A request of TensorFlow Serving's REST interface, in rows, built by the commands of docs/export.md.

The server itself is not installed: its request is read here as its json_tensor.cc reads it, by the names, dtypes and
ranks of the signature.
"""

import base64
import json
import re
import subprocess

import numpy as np
import pytest
from conftest import PREPROCESS, ROOT
from small_models import network, pixels, sources

from heldout.core.process import suppress_native_stderr
from heldout.data import images
from heldout.export import self_test
from heldout.export.formats import saved_model

with suppress_native_stderr():
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

pytestmark = pytest.mark.slow
KINDS = {tf.uint8.as_datatype_enum: np.uint8, tf.string.as_datatype_enum: object}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "saved_model"
    saved_model.write(network(), path, sources(pixels()))
    return path


def serve(folder, request: dict) -> dict:
    """What the server answers."""
    (graph,) = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    assert list(graph.meta_info_def.tags) == ["serve"]  # the tag that the server loads
    signature = graph.signature_def[request.get("signature_name", "serving_default")]
    assert signature.method_name == "tensorflow/serving/predict"
    ((name, info),) = signature.inputs.items()
    rows = [row[name] if isinstance(row, dict) and set(row) != {"b64"} else row for row in request["instances"]]
    rows = [base64.b64decode(row["b64"], validate=True) if isinstance(row, dict) else row for row in rows]
    array = np.array(rows, KINDS[info.dtype])
    assert array.ndim == len(info.tensor_shape.dim) and info.tensor_shape.dim[0].size == -1
    assert list(signature.outputs) == ["probabilities"]  # of one output, a row is its values without a name
    function = tf.saved_model.load(str(folder)).signatures[request.get("signature_name", "serving_default")]
    return {"predictions": function(**{name: tf.constant(array)})["probabilities"].numpy().tolist()}


def test_the_request_of_the_documentation_is_answered_with_probabilities(folder, tmp_path):
    document = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^(printf .*> request\.json)$", document, re.MULTILINE)
    photo = self_test.drawn()[0].content
    (tmp_path / "photo.jpg").write_bytes(photo)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    request = json.loads((tmp_path / "request.json").read_text(encoding="utf-8"))
    assert request["signature_name"] == "serve_encoded"
    (row,) = serve(folder, request)["predictions"]
    resized = images.decode_and_resize(photo, "photo.jpg", **PREPROCESS | {"image_size": [16, 16]})
    np.testing.assert_allclose(row, network().predict_on_batch(resized[None])[0], atol=2e-3)  # a level of a pixel
    named = {"signature_name": "serve_encoded", "instances": [{"images": item} for item in request["instances"]]}
    assert serve(folder, named)["predictions"] == [row]


def test_rows_of_pixels_are_answered_as_well(folder):
    request = json.loads(json.dumps({"instances": pixels(3).tolist()}))
    answers = serve(folder, request)["predictions"]
    np.testing.assert_allclose(answers, network().predict_on_batch(pixels(3)), atol=1e-6)
