"""What has no elements: known before anything runs, left out of what it is a part of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from ..graph import Array
from .opset import attributes_of, is_onnx, opset_of
from .single import StaticType, run_node, stand_in

_SCATTERED = ("Scatter", "ScatterND", "ScatterElements", "TensorScatter")
_OF_INTEGERS = ("ReduceLogSum", "ReduceLogSumExp")


def known_results(
    node: onnx.NodeProto, arrays: Mapping[str, Array], types: Mapping[str, StaticType]
) -> dict[str, Array]:
    """What a node gives of no elements where onnx's evaluator fails, as ONNX Runtime has it: a
    logarithm of nothing is the lowest number, and the scale of nothing 1."""
    x = arrays.get(node.input[0]) if node.input else None
    if x is None or x.size:
        return {}
    if node.op_type in _OF_INTEGERS and x.dtype.kind in "iu" and node.output[0] in types:
        lowest = np.array(np.iinfo(x.dtype).min, x.dtype)
        return {node.output[0]: np.broadcast_to(lowest, types[node.output[0]].shape)}
    if node.op_type == "DynamicQuantizeLinear":
        results = np.zeros(x.shape, np.uint8), np.float32(1), np.uint8(0)
        return {o: np.asarray(r) for o, r in zip(node.output, results, strict=False) if o}
    return {}


def known_inputs(model: onnx.ModelProto, types: Mapping[str, StaticType]) -> dict[str, Array]:
    """The inputs without elements, of which all is known."""
    names = (info.name for info in model.graph.input if info.name in types)
    return {name: stand_in(types[name]) for name in names if types[name].size == 0}


def without_empty_parts(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    types: Mapping[str, StaticType],
    room: int,
) -> dict[str, Array]:
    """Leave out arguments and results without elements; the arrays by name that this made known.

    ``room`` is how many elements may be computed, where one number is spread.
    """
    empty = {o for o in node.output if o in types and types[o].size == 0}
    if node.op_type == "Concat":
        parts = [name for name in node.input if name not in known or known[name].size]
        if parts:
            del node.input[:]
            node.input.extend(parts)
    elif node.op_type in _SCATTERED and any(
        name in known and not known[name].size for name in node.input[1:3]
    ):
        node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output, node.name))
    elif node.op_type == "Split" and empty and all(o in types for o in node.output):
        return _split_without(node, empty, types, opset_of(model))
    elif any(name in known and not known[name].size for name in node.input):
        return _filled(model, node, known, types, room)
    return {}


def _filled(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    types: Mapping[str, StaticType],
    room: int,
) -> dict[str, Array]:
    """Let a node that gives one number all over, as a sum over nothing is, spread that number."""
    single = [types[o] for o in node.output if o in types]
    if len(single) != 1 or len(node.output) > 1 or not is_onnx(node.domain):
        return {}
    arrays = {name: known[name] for name in node.input if name in known}
    if not {*node.input} - {""} <= arrays.keys() or single[0].size > room:
        return {}
    (result,) = (run_node(model, node, arrays) or {"": np.zeros(0)}).values()
    numbers = result.reshape(-1)[:1]
    same = numbers.size and np.array_equal(result, np.broadcast_to(numbers, result.shape), True)
    if not same:
        return {}
    number, shape = (f"{node.output[0]}/{name} of nothing" for name in ("number", "shape"))
    node.CopyFrom(helper.make_node("Expand", [number, shape], node.output, node.name))
    return {number: numbers.reshape(()), shape: np.asarray(result.shape, np.int64)}


def _split_without(
    node: onnx.NodeProto, empty: set[str], types: Mapping[str, StaticType], opset: int
) -> dict[str, Array]:
    attrs = attributes_of(node)
    axis = attrs.get("axis", 0)
    parts = [o for o in node.output if o not in empty]
    sizes = np.asarray([types[o].shape[axis] for o in parts], np.int64)
    made = {name: stand_in(types[name]) for name in empty}
    if len(parts) == 1:
        node.CopyFrom(helper.make_node("Identity", node.input[:1], parts, node.name))
    elif opset < 13:
        named = {"axis": axis, "split": sizes.tolist()}
        node.CopyFrom(helper.make_node("Split", node.input[:1], parts, node.name, **named))
    else:
        name = f"{node.output[0]}/sizes of parts"
        made[name] = sizes
        inputs = [node.input[0], name]
        node.CopyFrom(helper.make_node("Split", inputs, parts, node.name, axis=axis))
    return made
