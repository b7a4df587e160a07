"""Converters of our own for ONNX data movement that TVM's importer refuses or gets wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import numpy_helper

from luthier.schedules import ModelError
from luthier.schedules.tvm_late import ir, relax

from .onnx_node import MOST_ELEMENTS, OnnxConverter, OnnxNode, dtype_of, shape_of


def _pad(node: OnnxNode) -> Any:
    widths = _pad_widths(node)
    mode = node.attr("mode", "constant")
    if mode == "wrap":
        return _wrap(node, widths)
    if mode == "reflect" and any(
        max(pair) >= size for pair, size in zip(widths, node.shape, strict=True)
    ):
        raise node.unsupported("a reflection that is wider than the tensor")
    value = node.setting("value", 2)
    number = value.item() if value is not None else 0
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    if mode not in modes:
        raise node.unsupported(f"the padding mode '{mode}'")
    flat = [int(w) for pair in widths for w in pair]
    if number == number and float(number) != number:  # whole numbers wrap around
        fill = relax.const(np.asarray(number, node.dtype), node.dtype)
        less = node.emit(relax.op.subtract(node.x, fill))
        return relax.op.add(node.emit(relax.op.nn.pad(less, flat, modes[mode], 0.0)), fill)
    return relax.op.nn.pad(node.x, flat, modes[mode], float(number))


def _pad_widths(node: OnnxNode) -> list[tuple[int, int]]:
    """Elements before and after each dimension; negative ones are cut off."""
    given = node.setting("paddings" if "paddings" in node.attrs else "pads", 1)
    if given is None:
        raise node.unsupported("padding of unknown width")
    axes = node.constant(3, "'axes'")
    named = range(node.rank) if axes is None else node.axes(axes)
    widths = [(0, 0)] * node.rank
    count = len(given) // 2
    for axis, before, after in zip(named, given[:count], given[count:], strict=True):
        widths[axis] = int(before), int(after)
    return widths


def _wrap(node: OnnxNode, widths: list[tuple[int, int]]) -> Any:
    x = node.x
    for axis, (size, (before, after)) in enumerate(zip(node.shape, widths, strict=True)):
        if before or after:
            node.check_table(before + size + after)
            places = np.arange(-before, size + after) % size
            x = node.emit(relax.op.take(x, relax.const(places, "int64"), axis=axis))
    return x


def _constant_of_shape(node: OnnxNode) -> Any:
    """One number, broadcast: it takes no memory before something is computed of it."""
    sizes, value = node.constant(0, "a shape"), node.attr("value", None)
    shape = [] if sizes is None else [int(d) for d in sizes.reshape(-1)]
    number = np.float32(0) if value is None else numpy_helper.to_array(value).reshape(-1)[0]
    return relax.op.broadcast_to(relax.const(np.asarray(number)), shape)


def _concat(node: OnnxNode) -> Any:
    """Of constants, too, which TVM's importer would join at any length."""
    if len(node.inputs) == 1:
        return node.x
    return relax.op.concat(list(node.inputs), axis=node.axis(node.attr("axis", 0)))


def _tile(node: OnnxNode) -> Any:
    repeats = node.constant(1, "a number of repetitions")
    if repeats is None or repeats.size != node.rank:
        raise node.unsupported("this number of repetitions")
    return relax.op.tile(node.x, [int(r) for r in repeats.reshape(-1)])


def _expand(node: OnnxNode) -> Any:
    """To what NumPy broadcasts the shape and the given one to."""
    given = node.constant(1, "a shape")
    wanted = [] if given is None else [int(d) for d in given.reshape(-1)]
    try:
        shape = np.broadcast_shapes(node.shape, tuple(wanted))
    except ValueError as error:
        raise ModelError(f"{node.label}: {list(node.shape)} does not expand to {wanted}") from error
    return relax.op.broadcast_to(node.x, shape)


def _slice(node: OnnxNode) -> Any:
    """Bounds are attributes until operator set 10, inputs since."""
    starts, ends = node.setting("starts", 1), node.setting("ends", 2)
    axes, steps = node.setting("axes", 3), node.setting("steps", 4)
    if starts is None or ends is None:
        raise node.unsupported("a slice without bounds")
    count = len(starts)
    named = range(count) if axes is None else node.axes(axes)
    strides = [1] * count if steps is None else [int(s) for s in steps]
    if 0 in strides or len(set(named)) < count:
        raise node.unsupported("a slice with step 0, or of one axis twice,")
    strides = [min(max(s, -MOST_ELEMENTS), MOST_ELEMENTS) for s in strides]  # which is as far
    bounds = [
        _bounds(int(a), int(b), step, node.shape[axis])
        for a, b, step, axis in zip(starts, ends, strides, named, strict=True)
    ]
    begin, end = [b for b, _ in bounds], [e for _, e in bounds]
    return relax.op.strided_slice(node.x, list(named), begin, end, strides)


def _bounds(start: int, end: int, step: int, size: int) -> tuple[int, int]:
    """ONNX's bounds clamped as the standard says, in the form that Relax counts with."""
    begin, stop, _ = slice(start, end, step).indices(size)
    # Below zero both count from the end, so the place before the first is -1 - size.
    return begin, stop if stop >= 0 else -1 - size


def _squeeze(node: OnnxNode) -> Any:
    """Axes are an attribute until operator set 11, an input since, sometimes of rank 0."""
    given = node.setting("axes", 1)
    axes = node.axes(given.reshape(-1)) if given is not None and given.size else None
    if axes is None:
        axes = [a for a, size in enumerate(node.shape) if size == 1]
    if any(node.shape[a] != 1 for a in axes):
        raise ModelError(f"{node.label}: of {list(node.shape)} the axes {axes} are not all 1")
    return relax.op.reshape(node.x, [d for a, d in enumerate(node.shape) if a not in axes])


def _unsqueeze(node: OnnxNode) -> Any:
    given = node.setting("axes", 1)
    if given is None:
        raise node.unsupported("axes that are left out")
    rank = node.rank + given.size
    axes = {node.axis(a, rank) for a in given.reshape(-1)}
    if len(axes) < given.size:
        raise ModelError(f"{node.label}: its axes {given.reshape(-1).tolist()} hold one twice")
    sizes = iter(node.shape)
    return relax.op.reshape(node.x, [1 if a in axes else next(sizes) for a in range(rank)])


def _space_to_depth(node: OnnxNode) -> Any:
    n, c, h, w = node.shape
    block = node.attr("blocksize", 1)
    split = relax.op.reshape(node.x, (n, c, h // block, block, w // block, block))
    order = (0, 1, 3, 5, 2, 4) if node.attr("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    moved = relax.op.permute_dims(split, order)
    return relax.op.reshape(moved, (n, c * block * block, h // block, w // block))


def _gather(node: OnnxNode) -> Any:
    """Negative indices count from the end."""
    axis, indices = node.axis(node.attr("axis", 0)), node.input(1)
    if isinstance(indices, ir.GenericConst):
        size, known = node.shape[axis], indices.value.numpy()
        if known.size and not -size <= known.min() <= known.max() < size:
            raise ModelError(f"{node.label}: an index is outside of a dimension of size {size}")
    return relax.op.take(node.x, indices, axis=axis)


def _scatter_elements(node: OnnxNode) -> Any:
    """As ScatterND, each update at a place of its own."""
    indices, updates = node.input(1), node.input(2)
    shape, dtype = shape_of(indices), dtype_of(indices)
    axis, count = node.axis(node.attr("axis", 0)), math.prod(shape)
    node.check_table(count * node.rank)
    size = relax.const(node.shape[axis], dtype)
    below = relax.op.less(indices, relax.const(0, dtype))
    wrapped = relax.op.where(below, relax.op.add(indices, size), indices)
    grid = np.indices(shape).reshape(node.rank, count).T
    along = np.broadcast_to(np.arange(node.rank) == axis, grid.shape)
    places = relax.op.where(
        relax.const(along),
        relax.op.reshape(wrapped, (count, 1)),
        relax.const(grid.astype(dtype), dtype),
    )
    reduction = node.attr("reduction", "none")
    return relax.op.scatter_nd(
        node.x,
        places,
        relax.op.reshape(updates, (count,)),
        "update" if reduction == "none" else reduction,
    )


CONVERTERS: dict[str, OnnxConverter] = {
    "Pad": _pad,
    "Tile": _tile,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "SpaceToDepth": _space_to_depth,
    "Gather": _gather,
    "ScatterElements": _scatter_elements,
}
