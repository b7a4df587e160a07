"""Caches of keys and values: that keep their size, rows are written in place, or that grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx

from .domain import DOMAIN

# Of each operator: which inputs are the past of which outputs.
_CACHES = {"GroupQueryAttention": ((3, 1), (4, 2))}
_IN_PLACE, _GROWS, _ROWS = "luthier.in_place", "luthier.grows", 2
_LAST = 5  # the input that says where the last key of each batch is

_Dims = Sequence[onnx.TensorShapeProto.Dimension]


def mark_caches(model: onnx.ModelProto) -> None:
    """Say of each node whether its cache keeps its size, as the model declares it.

    Names of sizes are compared, which are numbers once a model is at fixed sizes. In ONNX Runtime
    the caller decides, who lets past and present share one buffer.
    """
    inputs, outputs = (
        {v.name: v.type.tensor_type.shape.dim for v in values}
        for values in (model.graph.input, model.graph.output)
    )
    for node, ends in _with_caches(model):
        if all(_same(inputs.get(past, ()), outputs.get(now, ())) for past, now in ends.items()):
            node.metadata_props.add(key=_IN_PLACE, value="1")


def mark_growing(model: onnx.ModelProto, states: Mapping[str, str]) -> None:
    """Say of each node whether its caches are states that grow: what such a state holds is all that
    there is before the new rows."""
    for node, ends in _with_caches(model):
        grows = ends.items() <= states.items() and not is_in_place(node)
        if grows and not any(a.name == "sliding_window_cache" and a.i for a in node.attribute):
            node.metadata_props.add(key=_GROWS, value="1")


def _with_caches(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, dict[str, str]]]:
    """Nodes with outputs by the inputs that they are in the next run."""
    for node in model.graph.node:
        pairs = _CACHES.get(node.op_type, ()) if node.domain == DOMAIN else ()
        ends = [(i, o) for i, o in pairs if i < len(node.input) and o < len(node.output)]
        if ends and all(node.input[i] and node.output[o] for i, o in ends):
            yield node, {node.input[i]: node.output[o] for i, o in ends}


def shared_caches(model: onnx.ModelProto) -> dict[str, str]:
    """By inputs of a model that was read the outputs that lie in their buffers."""
    return {
        node.input[i]: node.output[o]
        for node in model.graph.node
        if is_in_place(node)
        for i, o in _CACHES[node.op_type]
    }


def is_in_place(node: onnx.NodeProto) -> bool:
    """Whether ``mark_caches`` said so."""
    return any(each.key == _IN_PLACE for each in node.metadata_props)


def is_growing(node: onnx.NodeProto) -> bool:
    """Whether ``mark_growing`` said so."""
    return any(each.key == _GROWS for each in node.metadata_props)


def last_keys(node: onnx.NodeProto) -> tuple[str, str, str]:
    """Of a node whose caches grow: where the last keys are, the past, and the new rows."""
    return node.input[_LAST], node.input[_CACHES[node.op_type][0][0]], node.input[0]


def _same(past: _Dims, present: _Dims) -> bool:
    """Whether two shapes have one size along their rows."""
    if min(len(past), len(present)) <= _ROWS:
        return False
    one, other = past[_ROWS], present[_ROWS]
    if one.dim_value > 0 or other.dim_value > 0:
        return bool(one.dim_value == other.dim_value)
    return bool(one.dim_param) and one.dim_param == other.dim_param
