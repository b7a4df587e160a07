"""What ONNX Runtime's domain had before ONNX did, and what only reads, counts or looks up."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ...graph.emitter import MOST_IN_TABLE
from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT32, _INT64 = 6, 7
_RENAMED = {"bilinear": "linear", "bicubic": "cubic"}  # of GridSample, by operator set 20


def _same(op: str, call: Spelling, **attrs: object) -> str:
    """By ONNX's operator of the same inputs."""
    return call.emit(op, *call.node.input, **attrs)


def _pad(call: Spelling) -> Results:
    """Widths may lie in a matrix of one row."""
    pads = call.reshape(call.given(1), -1)
    rest = [call.reshape(call.input(2), 1)] if call.input(2) else []
    if rest and call.opset < 24:
        rest = [call.emit("Squeeze", *rest)]
    return call.emit("Pad", call.x, pads, *rest, mode=call.attr("mode", "constant"))


def _expand_dims(call: Spelling) -> Results:
    axis = call.array(call.given(1))
    if axis is None or axis.size != 1:
        raise call.unsupported("an axis that is computed at run time")
    place, rank = int(axis.item()), call.rank(call.x) + 1
    if not -rank <= place < rank:
        raise call.unsupported(f"the axis {place} of {rank} dimensions")
    return call.unsqueeze(call.x, place % rank)


def _gather_nd(call: Spelling) -> Results:
    """Its places may be of 32 bits."""
    return call.emit("GatherND", call.x, call.cast(call.given(1), _INT64))


def _grid_sample(call: Spelling) -> Results:
    mode = call.attr("mode", "bilinear")
    more = {
        "mode": _RENAMED.get(mode, mode) if call.opset >= 20 else mode,
        "padding_mode": call.attr("padding_mode", "zeros"),
        "align_corners": call.attr("align_corners", 0),
    }
    return _same("GridSample", call, **more)


def _distances(call: Spelling) -> Results:
    """Of each row of one matrix from each of another."""
    metric = call.attr("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise call.unsupported(f"the metric '{metric}'")
    a, b = call.unsqueeze(call.x, 1), call.unsqueeze(call.given(1), 0)
    apart = call.emit("Sub", a, b)
    total = call.reduce("ReduceSum", call.emit("Mul", apart, apart), [2], keepdims=0)
    return call.emit("Sqrt", total) if metric == "euclidean" else total


def _all_finite(call: Spelling) -> Results:
    """Of all inputs together."""
    infinite, nan = call.attr("isinf_only", 0), call.attr("isnan_only", 0)
    if infinite and nan:
        raise call.unsupported("isinf_only and isnan_only together")
    found = []
    for index in range(max(1, len(call.node.input))):
        x = call.wide(call.given(index))
        tests = [] if nan else [call.emit("IsInf", x)]
        tests += [] if infinite else [call.emit("IsNaN", x)]
        broken = reduce(lambda a, b: call.emit("Or", a, b), tests)
        flat = call.reshape(call.cast(broken, _INT32), -1)
        found.append(call.reduce("ReduceMax", flat, [0], keepdims=0))
    worst = reduce(lambda a, b: call.emit("Add", a, b), found)
    return call.emit("Equal", worst, call.constant(0, "int32"))


def _unfolded(call: Spelling) -> Results:
    """Windows along a dimension, their elements in a last one."""
    dim, size, step = call.attr("dim", -1), call.count("size"), call.count("step", 1)
    shape = call.shape(call.x)
    rank = len(shape)
    if not -rank <= dim < rank or size > shape[dim]:
        raise call.unsupported(f"a window of {size} along dimension {dim} of {list(shape)}")
    dim %= rank
    firsts = np.arange(0, shape[dim] - size + 1, step)
    if firsts.size * size > MOST_IN_TABLE:
        raise call.unsupported(f"a table of {firsts.size * size} elements")
    places = call.constant(firsts[:, None] + np.arange(size)[None, :], "int64")
    wide = call.emit("Gather", call.x, places, axis=dim)  # [..., windows, size, ...]
    axes = [i for i in range(rank + 1) if i != dim + 1]
    return call.transpose(wide, *axes, dim + 1)


def _triangle(call: Spelling) -> Results:
    """Before operator set 14, rows and columns are counted."""
    upper = call.attr("upper", 1)
    if call.opset >= 14:
        return _same("Trilu", call, upper=upper)
    rows, columns = call.shape(call.x)[-2:]
    across = np.arange(columns)[None, :] - np.arange(rows)[:, None]
    if across.size > MOST_IN_TABLE:
        raise call.unsupported(f"a table of {across.size} elements")
    first = call.input(1) or call.constant(0, "int64")
    apart = call.emit("Sub", call.constant(across, "int64"), first)
    wrong = call.constant(0 if upper else 1, "int64")
    before, zero = call.emit("Less", apart, wrong), call.number(0, call.x)
    return call.emit("Where", before, *((zero, call.x) if upper else (call.x, zero)))


def _kept(call: Spelling) -> Results:
    """Nothing is dropped in inference."""
    total = call.emit("Add", call.x, call.given(1))
    return call.emit("Add", total, call.input(2)) if call.input(2) else total


OPERATORS: Operators = {
    "BiasDropout": Spelled(_kept, 5, attributes("seed"), in_steps=True),
    "CDist": Spelled(_distances, 2, attributes("metric"), in_steps=True),
    "ExpandDims": Spelled(_expand_dims, 2),
    "GatherND": Spelled(_gather_nd, 2, since=11),
    "GridSample": Spelled(_grid_sample, 2, attributes("align_corners mode padding_mode"), since=16),
    "IsAllFinite": Spelled(_all_finite, 64, attributes("isinf_only isnan_only"), since=10),
    "Pad": Spelled(_pad, 3, attributes("mode"), since=11),
    "Range": Spelled(
        lambda call: (
            _same("Range", call)
            if call.input(2)
            else call.emit("Range", call.x, call.given(1), call.number(1, call.x))
        ),
        3,
        since=11,
    ),
    "SampleOp": Spelled(lambda call: call.x, 1),
    "TorchEmbedding": Spelled(lambda call: call.emit("Gather", call.x, call.given(1)), 4),
    "Trilu": Spelled(_triangle, 2, attributes("upper"), since=9),
    "UnfoldTensor": Spelled(_unfolded, 1, attributes("dim size step")),
}
