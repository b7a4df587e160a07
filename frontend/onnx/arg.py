"""ArgMax, ArgMin and Hardmax: where a row's extreme element stands.

The extreme is reduced first, then the places of its equals, so no sentinel can be mistaken for an
element. A row that holds NaN has its extreme there, as in NumPy; the standard leaves it open, and
ONNX Runtime's choice depends on the row's length.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..graph.emitter import Emitter
from .node import OnnxNode, Operator


def _place(t: Emitter, x: int, axis: int, op: str, *, last: bool) -> int:
    """The first or last index of the extreme along ``axis``, in int32; of size 1 there."""
    extreme = t.emit(op, x, axes=(axis,), keepdims=True)
    found = t.emit("equal", x, extreme)
    if t.type(x).element.is_float:
        found = t.emit("logical_or", found, t.emit("isnan", x))
    nowhere = -1 if last else t.shape(x)[axis]
    places = t.emit("where", found, _indices(t, x, axis), t.number(nowhere, "int32"))
    return t.emit("max" if last else "min", places, axes=(axis,), keepdims=True)


def _indices(t: Emitter, x: int, axis: int) -> int:
    """0, 1, ... along one of the dimensions of ``x``."""
    shape = [size if i == axis else 1 for i, size in enumerate(t.shape(x))]
    return t.constant(np.arange(shape[axis], dtype=np.int32).reshape(shape))


def _arg_reduction(op: str, node: OnnxNode) -> int:
    t, axis = node.t, _axis(node, 0)
    place = _place(t, node.x, axis, op, last=bool(node.attr("select_last_index", 0)))
    index = t.cast(place, "int64")
    if node.attr("keepdims", 1):
        return index
    return t.reshape(index, [d for i, d in enumerate(node.shape) if i != axis])


def _hardmax(node: OnnxNode) -> int:
    """One at the first maximum; before operator set 13, of all dimensions from ``axis``."""
    if node.opset >= 13:
        return _one_hot(node, node.x, _axis(node, -1))
    flat = node.matrix(_axis(node, 1))
    return node.t.reshape(_one_hot(node, flat, 1), node.shape)


def _one_hot(node: OnnxNode, x: int, axis: int) -> int:
    t = node.t
    place = _place(t, x, axis, "max", last=False)
    return t.cast(t.emit("equal", _indices(t, x, axis), place), node.dtype)


def _axis(node: OnnxNode, default: int) -> int:
    axis = int(node.attr("axis", default))
    if not -node.rank <= axis < node.rank:
        raise node.unsupported(f"axis {axis} of {node.rank} dimensions")
    return axis % node.rank


OPERATORS: dict[str, Operator] = {
    "ArgMax": Operator(partial(_arg_reduction, "max")),
    "ArgMin": Operator(partial(_arg_reduction, "min")),
    "Hardmax": Operator(_hardmax),
}
