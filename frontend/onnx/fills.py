"""Tensors of one number all over that are joined with another one: that is padded.

So programs of several sizes are alike, though for some there is nothing to be filled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..graph import Array
from .opset import attributes_of, is_onnx, opset_of
from .single import StaticType

_FIRST = 11  # operator set in which a run may say how much is padded
_KINDS = "fiu"


def fill_of(node: onnx.NodeProto, known: Mapping[str, Array]) -> Array | None:
    """The number that all elements are of what a node gives; None where it fills nothing."""
    if not is_onnx(node.domain):
        return None
    if node.op_type == "ConstantOfShape":
        value = attributes_of(node).get("value")
        given = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    elif node.op_type == "Expand" and node.input[0] in known:
        given = known[node.input[0]]
    else:
        return None
    return given.reshape(()) if given.size == 1 and given.dtype.kind in _KINDS else None


def padded(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    fills: Mapping[str, Array],
    types: Mapping[str, StaticType],
) -> dict[str, Array]:
    """Let a node that joins one tensor with ``fills`` of one number pad it; what it is told then.

    Nothing where it does not, or where their ``types`` are not known.
    """
    others = [name for name in node.input if name not in fills]
    numbers = {fills[name].tobytes() for name in node.input if name in fills}
    is_join = node.op_type == "Concat" and is_onnx(node.domain) and opset_of(model) >= _FIRST
    if not is_join or len(others) != 1 or len(numbers) != 1:
        return {}
    if any(name not in types for name in node.input):
        return {}
    shapes = [types[name].shape for name in node.input]
    axis, place = attributes_of(node).get("axis", 0), list(node.input).index(others[0])
    rank = len(shapes[place])
    if not -rank <= axis < rank or any(len(shape) != rank for shape in shapes):
        return {}
    number = next(fills[name] for name in node.input if name in fills)
    if rank == 1 and number.dtype == np.int64:  # may be sizes, which are to be known
        return {}
    widths = np.zeros((2, rank), np.int64)
    lengths = [shape[axis] for shape in shapes]
    widths[:, axis] = sum(lengths[:place]), sum(lengths[place + 1 :])
    told = {f"{node.output[0]}/pads": widths.reshape(-1), f"{node.output[0]}/fill": number}
    node.CopyFrom(helper.make_node("Pad", [others[0], *told], node.output, node.name))
    return told
