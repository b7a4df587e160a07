"""Seeded random inputs that a model can take: token ids stay inside their embedding table."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

Array = NDArray[Any]

# Operators through which an index keeps its value.
_CARRIERS = frozenset(
    {"Cast", "Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
# Operator -> the argument that holds indices; argument 0 is what they point into.
_LOOKUPS = {"Gather": 1, "GatherElements": 1}
_UNKNOWN_BOUND = 2  # of integers that are no indices: 0 and 1, as in a mask


def random_inputs(model: onnx.ModelProto, seed: int) -> dict[str, Array]:
    """One array per model input; the shapes must be static.

    Floats are standard normal, booleans fair coins. Integers that index an axis of n elements are
    drawn from 0..n-1, other integers from 0..1.
    """
    rng = np.random.default_rng(seed)
    weights = {w.name for w in model.graph.initializer}
    bounds = _index_bounds(model.graph)
    return {
        value.name: _random(value, bounds.get(value.name, _UNKNOWN_BOUND), rng)
        for value in model.graph.input
        if value.name not in weights
    }


def _random(value: onnx.ValueInfoProto, bound: int, rng: np.random.Generator) -> Array:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if dtype == np.bool_:
        return np.asarray(rng.integers(0, 2, shape) == 1)
    if np.issubdtype(dtype, np.integer):
        return np.asarray(rng.integers(0, bound, shape)).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def _index_bounds(graph: onnx.GraphProto) -> dict[str, int]:
    """For each value that indices are read from, the size of the smallest axis they index.

    Walks from the lookups back to the model's inputs.
    """
    shapes = _shapes(graph)
    bounds: dict[str, int] = {}
    for node in reversed(graph.node):
        if node.op_type in _LOOKUPS:
            data, indices = node.input[0], node.input[_LOOKUPS[node.op_type]]
            shape = shapes.get(data)
            if shape:
                _limit(bounds, indices, shape[_axis(node)])
        elif node.op_type in _CARRIERS and node.output[0] in bounds:
            for name in node.input if node.op_type == "Concat" else node.input[:1]:
                _limit(bounds, name, bounds[node.output[0]])
    return bounds


def _limit(bounds: dict[str, int], name: str, size: int) -> None:
    if size > 0:
        bounds[name] = min(size, bounds.get(name, size))


def _axis(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 0)


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    shapes = {w.name: list(w.dims) for w in graph.initializer}
    for value in [*graph.input, *graph.value_info]:
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                shapes[node.output[0]] = list(attribute.t.dims)
    return shapes
