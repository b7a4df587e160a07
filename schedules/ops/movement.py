"""Data movement: which argument's element an element of the result is.

Both sides of a ``Select`` are evaluated, so an element outside a tensor is replaced by one at its
border before it is chosen away. TVM's simplifier would undo that where the condition says that the
index is inside, so ``_clamp`` is written in LLVM's terms, which it cannot read. What that costs, a
load for each lane, is saved wherever the loops' bounds prove that an index is inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..ir.dtype import DTYPES, Kind
from ..ir.workload import Node, Tensor
from ..tir.elements import dtype_of
from ..tir.indices import Index
from ..tir.literals import constant
from ..tir.point import Point, broadcast_point
from ..tvm_late import tirx
from .numbers import number
from .operator import Array, Attrs, Elements, Expr, Movement, like_first

# Types.


def _infer_transpose(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    return Tensor(tuple(args[0].shape[i] for i in attrs["axes"]), args[0].dtype)


def _infer_concat(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axis = attrs["axis"]
    shape = list(args[0].shape)
    shape[axis] = sum(a.shape[axis] for a in args)
    return Tensor(tuple(shape), args[0].dtype)


def _infer_take_along(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    return Tensor(args[1].shape, args[0].dtype)


def _infer_take(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axis, shape = attrs["axis"], args[0].shape
    return Tensor((*shape[:axis], *args[1].shape, *shape[axis + 1 :]), args[0].dtype)


# In NumPy.


def _transpose(node: Node, x: Array) -> Array:
    return x.transpose(node.attr("axes"))


def _broadcast_to(node: Node, x: Array) -> Array:
    return np.broadcast_to(x, node.out.shape)


def _concat(node: Node, *args: Array) -> Array:
    return np.concatenate(args, axis=node.attr("axis"))


def _slice(node: Node, x: Array) -> Array:
    index = []
    steps = zip(node.attr("begin"), node.attr("steps"), node.out.shape, strict=True)
    for begin, step, count in steps:
        end = begin + step * count
        index.append(slice(begin, None if end < 0 else end, step))
    return x[tuple(index)]


def _pad(node: Node, x: Array) -> Array:
    before, mode = node.attr("before"), node.attr("mode")
    width = [(b, o - b - i) for b, o, i in zip(before, node.out.shape, x.shape, strict=True)]
    if mode == "constant":
        return np.pad(x, width, constant_values=number(node.attr("value"), x))
    return np.pad(x, width, mode=mode)


def _take(node: Node, x: Array, indices: Array) -> Array:
    axis = node.attr("axis")
    size = x.shape[axis]
    from_start = np.where(indices < 0, indices + size, indices)
    return np.take(x, np.clip(from_start, 0, size - 1), axis=axis)


def _gather_nd(node: Node, x: Array, indices: Array) -> Array:
    first, count = node.attr("batch_dims"), indices.shape[-1]
    ones = [1] * (indices.ndim - 1)
    batch = [np.arange(x.shape[d]).reshape([*ones[:d], -1, *ones[d + 1 :]]) for d in range(first)]
    sizes = np.reshape(x.shape[first : first + count], (count, *ones))
    places = np.moveaxis(indices, -1, 0)
    from_start = np.where(places < 0, places + sizes, places)
    return np.asarray(x[(*batch, *np.clip(from_start, 0, sizes - 1))])


def _take_along(node: Node, x: Array, indices: Array) -> Array:
    axis = node.attr("axis")
    size = x.shape[axis]
    from_start = np.where(indices < 0, indices + size, indices)
    within = tuple(slice(None if d == axis else n) for d, n in enumerate(indices.shape))
    return np.take_along_axis(x[within], np.clip(from_start, 0, size - 1), axis=axis)


def _window_mean(node: Node, x: Array) -> Array:
    axis, size, before = node.attr("axis"), node.attr("size"), node.attr("before")
    width = [(0, 0)] * x.ndim
    width[axis] = (before, size - 1 - before)
    x = x.astype(np.float32) if x.dtype == np.float16 else x
    windows = sliding_window_view(np.pad(x, width), size, axis=axis)
    return np.asarray(windows.sum(axis=-1) / size)


def _iota(node: Node) -> Array:
    start, step = node.attr("start"), node.attr("step")
    return np.asarray(start + step * np.arange(node.out.shape[0]))


# As expressions.


def _emit_reshape(ev: Elements, node: Node, point: Point) -> Expr:
    return ev.at(node.args[0], Point(ev.shape(node.args[0]), flat=point.linear))


def _emit_transpose(ev: Elements, node: Node, point: Point) -> Expr:
    place = dict(zip(node.attr("axes"), point.coordinates, strict=True))
    coords = tuple(place[axis] for axis in range(len(place)))
    return ev.at(node.args[0], Point(ev.shape(node.args[0]), coords))


def _emit_broadcast_to(ev: Elements, node: Node, point: Point) -> Expr:
    return ev.at(node.args[0], broadcast_point(point, ev.shape(node.args[0])))


def _emit_slice(ev: Elements, node: Node, point: Point) -> Expr:
    begin, steps = node.attr("begin"), node.attr("steps")
    coords = tuple(c * s + b for c, b, s in zip(point.coordinates, begin, steps, strict=True))
    return ev.at(node.args[0], Point(ev.shape(node.args[0]), coords))


def _emit_pad(ev: Elements, node: Node, point: Point) -> Expr:
    source = ev.shape(node.args[0])
    mode = node.attr("mode", "constant")
    coords: list[Index] = []
    inside: Any = True
    padding = zip(point.coordinates, node.attr("before"), source, point.shape, strict=True)
    for c, before, size, total in padding:
        if size == total and before == 0:
            coords.append(c)
            continue
        position = c - before
        if mode == "reflect" and _is_inside(ev.builder, position, size) is not True:
            position = (size - 1) - _absolute((size - 1) - _absolute(position))
        elif mode == "constant":
            inside = _both(inside, _is_inside(ev.builder, position, size))
        coords.append(_clamp(ev.builder, position, size))
    fill = constant(node.attr("value", 0.0), node.out.dtype)
    if inside is False:
        return fill
    return _choose(inside, ev.at(node.args[0], Point(source, tuple(coords))), fill)


def _emit_concat(ev: Elements, node: Node, point: Point) -> Expr:
    axis, coords = node.attr("axis"), point.coordinates
    result: Expr = None
    offset = 0
    for a in node.args:
        shape = ev.shape(a)
        position = coords[axis] - offset
        inside = _is_inside(ev.builder, position, shape[axis])
        offset += shape[axis]
        if inside is False:
            continue
        local = _clamp(ev.builder, position, shape[axis])
        value = ev.at(a, Point(shape, (*coords[:axis], local, *coords[axis + 1 :])))
        if inside is True:
            return value
        result = value if result is None else _choose(position >= 0, value, result)
    return result


def _emit_take(ev: Elements, node: Node, point: Point) -> Expr:
    data, indices = node.args
    axis, coords = node.attr("axis"), point.coordinates
    shape, rank = ev.shape(data), len(ev.shape(indices))
    index = ev.at(indices, Point(ev.shape(indices), coords[axis : axis + rank]))
    index = _clamp(ev.builder, _from_start(ev, index, shape[axis]), shape[axis])
    index = ev.builder.invariant(index, otherwise=ev.builder.let)
    return ev.at(data, Point(shape, (*coords[:axis], index, *coords[axis + rank :])))


def _emit_take_along(ev: Elements, node: Node, point: Point) -> Expr:
    data, indices = node.args
    axis, coords, shape = node.attr("axis"), point.coordinates, ev.shape(data)
    index = _from_start(ev, ev.at(indices, point), shape[axis])
    index = ev.builder.invariant(_clamp(ev.builder, index, shape[axis]), otherwise=ev.builder.let)
    return ev.at(data, Point(shape, (*coords[:axis], index, *coords[axis + 1 :])))


def _emit_gather_nd(ev: Elements, node: Node, point: Point) -> Expr:
    data, indices = node.args
    first, coords = node.attr("batch_dims"), point.coordinates
    shape, places = ev.shape(data), ev.shape(indices)
    outer = len(places) - 1
    chosen = []
    for k in range(places[-1]):
        index = ev.at(indices, Point(places, (*coords[:outer], k)))
        index = _clamp(ev.builder, _from_start(ev, index, shape[first + k]), shape[first + k])
        chosen.append(ev.builder.invariant(index, otherwise=ev.builder.let))
    return ev.at(data, Point(shape, (*coords[:first], *chosen, *coords[outer:])))


def _from_start(ev: Elements, index: Expr, size: int) -> Expr:
    """A 32-bit index which counts from the start; it may still be outside."""
    dtype = dtype_of(index)
    if dtype in ("int64", "uint64", "uint32"):
        index = tirx.min(index, tirx.const(2**31 - 1, dtype))
    if dtype == "int64":
        index = tirx.max(index, tirx.const(-(2**31), dtype))
    index = tirx.Cast("int32", index)
    if DTYPES[dtype].kind is Kind.UINT:
        return index
    index = ev.builder.let(index)
    return tirx.Select(index < 0, index + size, index)


def _emit_window_mean(ev: Elements, node: Node, point: Point) -> Expr:
    axis, size, before = node.attr("axis"), node.attr("size"), node.attr("before")
    shape, coords = point.shape, point.coordinates
    zero = tirx.const(0.0, node.out.dtype)
    total: Expr = zero
    for shift in range(-before, size - before):
        position = coords[axis] + shift
        inside = _is_inside(ev.builder, position, shape[axis])
        if inside is not False:
            local = _clamp(ev.builder, position, shape[axis])
            at = Point(shape, (*coords[:axis], local, *coords[axis + 1 :]))
            total = total + _choose(inside, ev.at(node.args[0], at), zero)
    return total * tirx.const(1.0 / size, node.out.dtype)


def _emit_iota(ev: Elements, node: Node, point: Point) -> Expr:
    index = point.coordinates[-1]
    index = tirx.const(index, "int32") if isinstance(index, int) else index
    start = constant(node.attr("start", 0), node.out.dtype)
    step = constant(node.attr("step", 1), node.out.dtype)
    return start + tirx.Cast(node.out.dtype, index) * step


def _is_inside(builder: Any, index: Index, size: int) -> Any:
    """Whether ``0 <= index < size``: settled here where the loops' bounds settle it."""
    if isinstance(index, int):
        return 0 <= index < size
    low, high = index >= 0, index < size
    if builder.proves(tirx.all(low, high)):
        return True
    if builder.proves(index < 0) or builder.proves(index >= size):
        return False
    return tirx.all(low, high)


def _clamp(builder: Any, index: Index, size: int) -> Index:
    """``index`` limited to ``0 .. size - 1``."""
    if isinstance(index, int):
        return min(max(index, 0), size - 1)
    if _is_inside(builder, index, size) is True:
        return index
    above = tirx.call_llvm_pure_intrin("int32", "llvm.smax", index, tirx.const(0, "int32"))
    return tirx.call_llvm_pure_intrin("int32", "llvm.smin", above, constant(size - 1, "int32"))


def _choose(condition: Any, then: Expr, otherwise: Expr) -> Expr:
    return then if condition is True else tirx.Select(condition, then, otherwise)


def _both(a: Any, b: Any) -> Any:
    if a is False or b is False:
        return False
    if a is True:
        return b
    return a if b is True else tirx.all(a, b)


def _absolute(index: Index) -> Index:
    return abs(index) if isinstance(index, int) else tirx.max(index, 0 - index)


_view = partial(Movement, forwards=True, is_view=True)
OPERATORS = (
    # to the node's output shape
    _view("reshape", 1, lambda node, x: x.reshape(node.out.shape), emit=_emit_reshape),
    _view("transpose", 1, _transpose, _infer_transpose, emit=_emit_transpose),  # axes
    # to the node's output shape
    _view("broadcast_to", 1, _broadcast_to, emit=_emit_broadcast_to, by_dimension=True),
    # begin, steps: for each dimension; steps may be negative
    Movement("slice", 1, _slice, emit=_emit_slice, chooses=True, forwards=True, by_dimension=True),
    # before, for each dimension; value; mode "constant", "reflect" or "edge"
    Movement("pad", 1, _pad, emit=_emit_pad, by_dimension=True),
    Movement("concat", None, _concat, _infer_concat, emit=_emit_concat),  # axis
    # data, integer indices; axis (negatives count from the end; the rest is clipped)
    Movement("take", 2, _take, _infer_take, emit=_emit_take, chooses=True),
    # data, integer indices; axis: each element at its own place but for that (see ``take``)
    Movement("take_along", 2, _take_along, _infer_take_along, emit=_emit_take_along, chooses=True),
    # data, integer indices whose last dimension names a place; batch_dims (see ONNX's GatherND)
    Movement("gather_nd", 2, _gather_nd, emit=_emit_gather_nd, chooses=True),
    # axis, size, before: mean of ``size`` neighbours, zeros outside
    Movement("window_mean", 1, _window_mean, like_first, emit=_emit_window_mean, by_dimension=True),
    Movement("iota", 0, _iota, emit=_emit_iota),  # start, step along the last axis (rank 1)
)
