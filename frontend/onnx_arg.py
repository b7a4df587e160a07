"""Converters of our own for ArgMax, ArgMin and Hardmax: where a row's extreme element stands.

The extreme is reduced first, then the places of its equals, so no sentinel can be mistaken for an
element. A row that holds NaN has its extreme there, as in NumPy; the standard leaves it open, and
ONNX Runtime's choice depends on the row's length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from luthier.schedules.tvm_late import relax

from .onnx_node import OnnxConverter, OnnxNode, dtype_of, shape_of


def _place(node: OnnxNode, x: Any, axis: int, op: str, last: bool) -> Any:
    """The first or last index of the extreme along ``axis``, in int32; of size 1 there."""
    size = shape_of(x)[axis]
    extreme = node.emit(getattr(relax.op, op)(x, axis, keepdims=True))
    found = node.emit(relax.op.equal(x, extreme))
    if dtype_of(x).startswith("float"):
        found = node.emit(relax.op.logical_or(found, relax.op.isnan(x)))
    indices = relax.const(_indices(size, axis, len(shape_of(x))))
    if last:
        places = relax.op.where(found, indices, relax.const(-1, "int32"))
        return node.emit(relax.op.max(node.emit(places), axis, keepdims=True))
    places = relax.op.where(found, indices, relax.const(size, "int32"))
    return node.emit(relax.op.min(node.emit(places), axis, keepdims=True))


def _indices(size: int, axis: int, rank: int) -> Any:
    """0, 1, ... along one of ``rank`` dimensions."""
    shape = [size if i == axis else 1 for i in range(rank)]
    return np.arange(size, dtype=np.int32).reshape(shape)


def _arg_reduction(op: str) -> OnnxConverter:
    def convert(node: OnnxNode) -> Any:
        axis = _axis(node, 0)
        place = _place(node, node.x, axis, op, bool(node.attr("select_last_index", 0)))
        index = relax.op.astype(place, "int64")
        return index if node.attr("keepdims", 1) else relax.op.squeeze(node.emit(index), [axis])

    return convert


def _hardmax(node: OnnxNode) -> Any:
    """One at the first maximum; before operator set 13, of all dimensions from ``axis``."""
    if node.opset >= 13:
        return _one_hot(node, node.x, _axis(node, -1))
    axis = _axis(node, 1)
    rows = math.prod(node.shape[:axis])
    flat = node.emit(relax.op.reshape(node.x, (rows, math.prod(node.shape[axis:]))))
    return relax.op.reshape(_one_hot(node, flat, 1), node.shape)


def _one_hot(node: OnnxNode, x: Any, axis: int) -> Any:
    place = _place(node, x, axis, "max", last=False)
    indices = relax.const(_indices(shape_of(x)[axis], axis, len(shape_of(x))))
    hot = node.emit(relax.op.equal(indices, place))
    return node.emit(relax.op.astype(hot, node.dtype))


def _axis(node: OnnxNode, default: int) -> int:
    axis = int(node.attr("axis", default))
    if not -node.rank <= axis < node.rank:
        raise node.unsupported(f"axis {axis} of {node.rank} dimensions")
    return axis % node.rank


CONVERTERS: dict[str, OnnxConverter] = {
    "ArgMax": _arg_reduction("max"),
    "ArgMin": _arg_reduction("min"),
    "Hardmax": _hardmax,
}
