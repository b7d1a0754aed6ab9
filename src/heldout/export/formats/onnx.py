"""An ONNX file, float32 with uint8 input, for ONNX Runtime and what else reads ONNX; an extra, `onnx`."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.export import inputs as model_inputs

FILE = "model.onnx"
IS_QUANTIZED = False
RUNTIME = ("onnxruntime", "onnx", "tf2onnx")
OPSET = 17  # of 2022: old enough for the runtimes in use, and the newest but one that tf2onnx 1.17 writes
DOMAINS = {"", "ai.onnx.ml"}  # of ONNX itself


def write(model: Any, path: Path, sources: Any) -> None:
    """Convert the Keras model; `model.export(format="onnx")` calls tf2onnx as well, on a model that may be training."""
    with suppress_native_stderr():
        import tf2onnx

        from heldout.export.serving import serving_function

        serve = serving_function(model)
        proto, _ = tf2onnx.convert.from_function(serve, input_signature=serve.input_signature, opset=OPSET)
    _canonicalize(proto.graph)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def load(path: Path) -> Callable[[Any], np.ndarray]:
    """A function from uint8 images (n, height, width, channels), or a list of all of the model's inputs, to
    probabilities (n, num_classes), run by ONNX Runtime in one thread.

    Raises:
        ValueError: where the file refers to another file, or to operations that are not ONNX's own.
    """
    import onnx
    import onnxruntime

    proto = onnx.load(path, load_external_data=False)
    domains = {entry.domain for entry in proto.opset_import} | {node.domain for node in proto.graph.node}
    if not proto.opset_import or not domains <= DOMAINS:
        raise ValueError(f"it needs operations of {', '.join(sorted(domains - DOMAINS)) or 'no known set'}")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(proto)):
        raise ValueError("its weights are in another file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [source.name for source in session.get_inputs()]
    return lambda inputs: session.run([model_inputs.PROBABILITIES], model_inputs.named(names, inputs))[0]


def _canonicalize(graph: Any) -> None:
    """Order the nodes by what the outputs are computed from, and name nodes, values and weights by that order: tf2onnx
    takes both from sets and from what TensorFlow has counted in the process. Names of inputs and outputs stay."""
    nodes = list(_in_order(graph))
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    used: list[Any] = []
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}_{number}"
        for name in node.input:
            if name in weights and name not in names:
                names[name] = f"weights_{len(used)}"
                used.append(weights[name])
        for position, name in enumerate(node.output):
            names.setdefault(name, f"{node.name}_{position}")
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
    for tensor in used:
        tensor.name = names[tensor.name]
    ordered, kept = [copy.deepcopy(node) for node in nodes], [copy.deepcopy(tensor) for tensor in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(ordered)
    graph.initializer.extend(kept)
    graph.name, graph.doc_string = "heldout", ""
    for tensor in (*graph.input, *graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"


def _in_order(graph: Any) -> Iterator[Any]:
    """The nodes that the outputs need, each after those that it needs itself, first inputs first."""
    maker = {name: node for node in graph.node for name in node.output}
    done: set[int] = set()
    stack = [(maker[value.name], False) for value in reversed(graph.output)]
    while stack:
        node, is_ready = stack.pop()
        if id(node) in done:
            continue
        if is_ready:
            done.add(id(node))
            yield node
        else:
            stack.append((node, True))
            stack += [(maker[name], False) for name in reversed(node.input) if name in maker]


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of a protobuf message, at any depth."""
    if type(message).__name__ == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(item)
