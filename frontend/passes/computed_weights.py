"""Convolutions whose weights are known only at run time, which no kernel packs: as products of
what their windows see."""

from __future__ import annotations

from luthier.schedules import Node, Tensor
from luthier.schedules import node as make_node

from ..graph import Rewriter


def as_product(b: Rewriter, node: Node) -> int:
    """A ``conv2d``: of few channels a group a sum over taps, else products of all windows."""
    (x, w), groups = node.args, node.attr("groups")
    n, rows, columns, results = node.out.shape
    _, height, width, channels = b.values[w].shape
    seen = _windows(b, node, x)  # [n, rows, height, columns, width, c]
    places, taps = n * rows * columns, height * width * channels
    if channels == 1 and results == groups:
        weights = b.reshaped(_transposed(b, w, (1, 2, 0, 3)), (height, 1, width, results))
        total = b.emit("multiply", seen, weights)
        return b.emit("sum", total, axes=(2, 4), keepdims=False)
    split = b.reshaped(seen, (n, rows, height, columns, width, groups, channels))
    split = _transposed(b, split, (5, 0, 1, 3, 2, 4, 6))
    left = b.reshaped(split, (groups, places, taps))
    right = b.reshaped(w, (groups, results // groups, taps))
    if groups == 1:
        left, right = b.reshaped(left, (places, taps)), b.reshaped(right, (results, taps))
    y = b.emit("matmul", left, right, transpose_b=True)
    if groups > 1:
        y = _transposed(b, y, (1, 0, 2))
    return b.reshaped(y, node.out.shape)


def as_convolution(b: Rewriter, node: Node) -> Node:
    """What a ``conv2d_transpose`` is: of the input with zeros between its elements, and of weights
    in the opposite order."""
    (x, w), groups = node.args, node.attr("groups")
    c, height, width, per_group = b.values[w].shape
    flipped = b.emit(
        "slice",
        w,
        out=b.values[w],
        begin=(0, height - 1, width - 1, 0),
        steps=(1, -1, -1, 1),
    )
    split = b.reshaped(flipped, (groups, c // groups, height, width, per_group))
    weights = b.reshaped(
        _transposed(b, split, (0, 4, 2, 3, 1)),
        (groups * per_group, height, width, c // groups),
    )
    for axis in (1, 2):
        x = _spread(b, node, x, axis)
    return make_node(
        "conv2d",
        (x, weights),
        node.out,
        strides=(1, 1),
        pads=(0, 0, 0, 0),
        dilations=node.attr("dilations"),
        groups=groups,
    )


def _spread(b: Rewriter, node: Node, x: int, axis: int) -> int:
    """With zeros between its elements along a dimension, and as many around as windows reach."""
    shape, stride = list(b.values[x].shape), node.attr("strides")[axis - 1]
    size, dtype = shape[axis], b.values[x].dtype
    if stride > 1:
        apart = (*shape[: axis + 1], 1, *shape[axis + 1 :])
        wide = (*shape[: axis + 1], stride, *shape[axis + 1 :])
        before = (0,) * len(wide)
        split = b.reshaped(x, apart)
        out = Tensor(wide, dtype)
        padded = b.emit("pad", split, out=out, before=before, value=0, mode="constant")
        shape[axis] = size * stride
        x = b.reshaped(padded, shape)
    taps = b.values[node.args[1]].shape[axis]
    reach = (taps - 1) * node.attr("dilations")[axis - 1]
    begin = reach - node.attr("pads")[axis - 1]
    wanted, have = node.out.shape[axis] + reach, (size - 1) * stride + 1
    first, last = max(-begin, 0), min(have, wanted - begin)
    shape[axis] = last - first
    x = _part(b, x, axis, first, shape)
    if begin <= 0 and last - first == wanted:
        return x
    shape[axis] = wanted
    before = tuple(max(begin, 0) if i == axis else 0 for i in range(4))
    out = Tensor(tuple(shape), dtype)
    return b.emit("pad", x, out=out, before=before, value=0, mode="constant")


def _part(b: Rewriter, x: int, axis: int, first: int, shape: list[int]) -> int:
    if tuple(shape) == b.values[x].shape:
        return x
    begin = tuple(first if i == axis else 0 for i in range(4))
    out = Tensor(tuple(shape), b.values[x].dtype)
    return b.emit("slice", x, out=out, begin=begin, steps=(1,) * 4)


def _windows(b: Rewriter, node: Node, x: int) -> int:
    """[n, rows, height, columns, width, c]: what each tap sees at each place."""
    top, left, bottom, right = node.attr("pads")
    _, height, width, _ = b.values[node.args[1]].shape
    n, h, wide, c = b.values[x].shape
    if any((top, left, bottom, right)):
        out = Tensor((n, h + top + bottom, wide + left + right, c), b.values[x].dtype)
        x = b.emit("pad", x, out=out, before=(0, top, left, 0), value=0, mode="constant")
    for axis, place, kernel in ((1, 0, height), (3, 1, width)):
        count = node.out.shape[1 + place]
        index = _seen(b, count, node.attr("strides")[place], kernel, node.attr("dilations")[place])
        x = b.emit("take", x, index, axis=axis)
    return x


def _seen(b: Rewriter, count: int, stride: int, kernel: int, dilation: int) -> int:
    """int32[count, kernel]."""
    first = b.emit("iota", out=Tensor((count,), "int32"), start=0, step=stride)
    taps = b.emit("iota", out=Tensor((kernel,), "int32"), start=0, step=dilation)
    return b.emit("add", b.reshaped(first, (count, 1)), taps)


def _transposed(b: Rewriter, x: int, axes: tuple[int, ...]) -> int:
    return b.emit("transpose", x, axes=axes)
