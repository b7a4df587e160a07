"""ONNX's reductions: what is done before, the reduction, and after.

With ``noop_with_empty_axes`` and no axes nothing is reduced, but the rest is still done.

To ArgMax, ArgMin and Hardmax a row that holds NaN has its extreme there, as in NumPy; the standard
leaves it open, and ONNX Runtime's choice depends on the row's length.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..composites import math as composite
from ..graph.emitter import Emitter
from .node import OnnxNode, Operator

_BUILD_TIME = (1,)


def _axes(node: OnnxNode) -> list[int] | None:
    """The axes; None for all, an empty list for none."""
    given = node.setting("axes", 1)
    if given is not None and given.size:
        if node.rank == 0 and all(a in (-1, 0) for a in given.reshape(-1)):
            return []  # as in ONNX Runtime
        return sorted({node.axis(a) for a in given.reshape(-1)})
    return [] if node.attr("noop_with_empty_axes", 0) else None


def _keeps(node: OnnxNode) -> bool:
    return bool(node.attr("keepdims", 1) == 1)


def _reduced(node: OnnxNode, x: int, op: str) -> int:
    return composite.reduce(node.t, op, x, _axes(node), _keeps(node))


def _reduction(op: str) -> Operator:
    return Operator(lambda node: _reduced(node, node.x, op), _BUILD_TIME)


def _reduced_in_steps(node: OnnxNode, op: str, before: str | None, after: str | None) -> int:
    """Of what ``before`` makes of each element, then ``after`` of that."""
    x = node.x
    if before:
        x = node.t.emit(before, *[x] * (2 if before == "multiply" else 1))
    y = _reduced(node, x, op)
    return node.t.emit(after, y) if after else y


def _in_steps(op: str, before: str) -> Operator:
    """Several operators of the graph."""
    return Operator(
        lambda node: _reduced_in_steps(node, op, before, None), _BUILD_TIME, in_steps=True
    )


def _mean(node: OnnxNode) -> int:
    """Of integers the quotient, rounded towards zero."""
    if node.element.is_float:
        return _reduced(node, node.x, "mean")
    axes = _axes(node)
    over = node.shape if axes is None else [node.shape[a] for a in axes]
    total = _reduced(node, node.x, "sum")
    return node.t.emit("divide", total, node.number(int(np.prod(over, dtype=int))))


def _whole(node: OnnxNode, op: str, after: str, *, squared: bool = False) -> int:
    """Of integers, as ONNX Runtime has it: what comes after is computed in float64, and cut."""
    t, x = node.t, node.x
    if squared:
        x = t.cast(x, "float64")
        x = t.emit("multiply", x, x)
    y = t.cast(_reduced(node, x, op), "float64")
    return t.cast(t.emit(after, y), node.dtype)


def _norm(node: OnnxNode) -> int:
    if not node.element.is_float:
        return _whole(node, "sum", "sqrt", squared=True)
    return _reduced_in_steps(node, "sum", "multiply", "sqrt")


def _log_sum(node: OnnxNode) -> int:
    if not node.element.is_float:
        return _whole(node, "sum", "log")
    return _reduced_in_steps(node, "sum", None, "log")


def _log_sum_exp_of_integers(node: OnnxNode, axes: list[int] | None) -> int:
    """As ONNX Runtime has it, which cuts each power about the largest element: 1 of that, 0 of
    others. So it is the largest and the logarithm of how often that is there, cut."""
    t, x = node.t, node.x
    largest = composite.reduce(t, "max", x, axes, keepdims=True)
    ones = t.cast(t.emit("equal", x, largest), "float64")
    total = composite.reduce(t, "sum", ones, axes, keepdims=True)
    y = t.emit("add", t.cast(largest, "float64"), t.emit("log", total))
    return _without(node, t.cast(y, node.dtype), axes)


def _without(node: OnnxNode, y: int, axes: list[int] | None) -> int:
    """Without the dimensions that are reduced, if these do not stay."""
    if _keeps(node):
        return y
    gone = range(node.rank) if axes is None else axes
    return node.t.reshape(y, [d for i, d in enumerate(node.shape) if i not in gone])


def _log_sum_exp(node: OnnxNode) -> int:
    """About the largest element, so that nothing overflows; about 0 where that is not finite."""
    t, x, axes = node.t, node.x, _axes(node)
    if axes == []:
        return x
    if not node.element.is_float:
        return _log_sum_exp_of_integers(node, axes)
    largest = composite.reduce(t, "max", x, axes, keepdims=True)
    base = t.emit("where", composite.isfinite(t, largest), largest, node.number(0))
    powers = t.emit("exp", t.emit("subtract", x, base))
    total = composite.reduce(t, "sum", powers, axes, keepdims=True)
    return _without(node, t.emit("add", t.emit("log", total), base), axes)


def _of_places(node: OnnxNode, op: str) -> int:
    """Over all dimensions after the channels."""
    return composite.reduce(node.t, op, node.x, range(2, node.rank), keepdims=True)


# Where a row's extreme element stands.


def place(t: Emitter, x: int, axis: int, op: str, *, last: bool) -> int:
    """The first or last index of the extreme along ``axis``, in int32; of size 1 there."""
    return t.emit(f"arg{op}", x, axes=(axis,), keepdims=True, last=last)


def _indices(t: Emitter, x: int, axis: int) -> int:
    """0, 1, ... along one of the dimensions of ``x``."""
    shape = [size if i == axis else 1 for i, size in enumerate(t.shape(x))]
    return t.constant(np.arange(shape[axis], dtype=np.int32).reshape(shape))


def _arg_reduction(op: str, node: OnnxNode) -> int:
    t, axis = node.t, _row_axis(node, 0)
    found = place(t, node.x, axis, op, last=bool(node.attr("select_last_index", 0)))
    index = t.cast(found, "int64")
    if _keeps(node):
        return index
    return t.reshape(index, [d for i, d in enumerate(node.shape) if i != axis])


def _hardmax(node: OnnxNode) -> int:
    """One at the first maximum; before operator set 13, of all dimensions from ``axis``."""
    if node.opset >= 13:
        return _one_hot(node, node.x, _row_axis(node, -1))
    flat = node.matrix(_row_axis(node, 1))
    return node.t.reshape(_one_hot(node, flat, 1), node.shape)


def _one_hot(node: OnnxNode, x: int, axis: int) -> int:
    t = node.t
    found = place(t, x, axis, "max", last=False)
    return t.cast(t.emit("equal", _indices(t, x, axis), found), node.dtype)


def _row_axis(node: OnnxNode, default: int) -> int:
    axis = int(node.attr("axis", default))
    if not -node.rank <= axis < node.rank:
        raise node.unsupported(f"axis {axis} of {node.rank} dimensions")
    return axis % node.rank


OPERATORS: dict[str, Operator] = {
    "ArgMax": Operator(partial(_arg_reduction, "max")),
    "ArgMin": Operator(partial(_arg_reduction, "min")),
    "GlobalAveragePool": Operator(lambda node: _of_places(node, "mean"), in_steps=True),
    "GlobalMaxPool": Operator(lambda node: _of_places(node, "max")),
    "Hardmax": Operator(_hardmax),
    "ReduceL1": _in_steps("sum", before="abs"),
    "ReduceL2": Operator(_norm, _BUILD_TIME, in_steps=True),
    "ReduceLogSum": Operator(_log_sum, _BUILD_TIME, in_steps=True),
    "ReduceLogSumExp": Operator(_log_sum_exp, _BUILD_TIME, in_steps=True),
    "ReduceMax": _reduction("max"),
    "ReduceMean": Operator(_mean, _BUILD_TIME, in_steps=True),
    "ReduceMin": _reduction("min"),
    "ReduceProd": _reduction("prod"),
    "ReduceSum": _reduction("sum"),
    "ReduceSumSquare": _in_steps("sum", before="multiply"),
}
