"""Seeded weights for models whose weights are filled with one number.

The ``light_*`` models of the onnx wheel keep an architecture without its weights: each is a
``ConstantOfShape``, so every output is the same, whatever the input. With weights drawn as for
training (He et al. 2015, *Delving Deep into Rectifiers*) and logits of a trained net's scale, an
output depends on every operator, and a wrong one shows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[np.float32]

LOGITS_SCALE = 2.0  # standard deviation
_UNIFORM = {("BatchNormalization", 1), ("BatchNormalization", 4), ("Mul", 0), ("Mul", 1)}
_PASSES_ON = ("Unsqueeze", "Reshape", "Identity")


def seeded(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """A copy of ``model`` in which every constant-filled float tensor is a random initializer."""
    rng = np.random.default_rng(seed)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    filled = {n.output[0]: n for n in graph.node if n.op_type == "ConstantOfShape"}
    shapes = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = {
        name: _draw(graph, name, tuple(int(d) for d in shapes[node.input[0]]), rng)
        for name, node in filled.items()
    }
    _scale_logits(copy, weights)
    return _with_weights(copy, weights)


def _uses(graph: onnx.GraphProto, name: str) -> Iterator[tuple[onnx.NodeProto, int]]:
    """The nodes that compute with a value, and as which argument, seen through reshapes."""
    for node in graph.node:
        for position, argument in enumerate(node.input):
            if argument != name:
                continue
            if node.op_type in _PASSES_ON:
                yield from _uses(graph, node.output[0])
            else:
                yield node, position


def _draw(
    graph: onnx.GraphProto, name: str, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    node, position = next(_uses(graph, name))
    if node.op_type in ("Conv", "Gemm") and position == 1:
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        columns = node.op_type == "Gemm" and not transposed
        fan_in = shape[0] if columns else np.prod(shape[1:])
        drawn = rng.normal(0, np.sqrt(2 / fan_in), shape)
    elif (node.op_type, position) in _UNIFORM:
        drawn = rng.uniform(0.5, 1.5, shape)
    else:
        drawn = rng.normal(0, 0.1, shape)
    return drawn.astype(np.float32)


def _with_weights(model: onnx.ModelProto, weights: dict[str, Array]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [n for n in copy.graph.node if n.output[0] not in weights]
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    copy.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return copy


def _scale_logits(model: onnx.ModelProto, weights: dict[str, Array]) -> None:
    """Scale the last layer, so that the softmax after it neither saturates nor is flat."""
    last = next(n for n in reversed(model.graph.node) if n.op_type in ("Conv", "Gemm"))
    probe = _with_weights(model, weights)
    del probe.graph.output[:]
    probe.graph.output.append(onnx.helper.make_empty_tensor_value_info(last.output[0]))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every unused initializer
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options)
    rng = np.random.default_rng(0)
    inputs = {i.name: rng.standard_normal(i.shape, np.float32) for i in session.get_inputs()}
    (logits,) = session.run(None, inputs)
    for name in weights:
        if any(node is last for node, _ in _uses(model.graph, name)):
            weights[name] *= np.float32(LOGITS_SCALE / logits.std())
