"""Rules of what moves elements: shapes, slices, pads, indices, constants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from .draft import MOST_ELEMENTS, Draft, Growth, Rule, Shape, UnfitError, attributes, types
from .values import DTYPES


def _factors(g: Growth, size: int) -> list[int]:
    """A shape of ``size`` elements."""
    shape = []
    while size > 1 and len(shape) < 4:
        factor = g.pick([d for d in range(1, size + 1) if size % d == 0])
        shape.append(factor)
        size //= factor
    shape.append(size)
    if size == 1 and g.chance(0.3):
        shape.pop()
    g.rng.shuffle(shape)
    return shape


def _reshape(g: Growth) -> Draft:
    x = g.first("Reshape")
    shape = _factors(g, g.array(x).size)
    wanted = list(shape)
    if shape and g.chance(0.3):
        wanted[g.rng.randrange(len(shape))] = -1
    elif shape and shape[0] == (*g.shape(x), 0)[0] and g.chance(0.5):
        wanted[0] = 0
    return Draft("Reshape", [x, g.known(wanted, "int64")])


def _flatten(g: Growth) -> Draft:
    x = g.first("Flatten")
    rank = len(g.shape(x))
    low = -rank if g.opset >= 11 else 0
    return Draft("Flatten", [x], {"axis": g.rng.randint(low, rank)} if rank else {"axis": 0})


def _axes(g: Growth, op: str, axes: list[int]) -> tuple[list[str], dict[str, Any]]:
    if "axes" in attributes(op, g.opset):
        return [], {"axes": axes}
    return [g.known(axes, "int64")], {}


def _squeeze(g: Growth) -> Draft:
    x = g.first("Squeeze", 1, where=lambda s: 1 in s)
    ones = [i for i, n in enumerate(g.shape(x)) if n == 1]
    if g.chance(0.2):
        return Draft("Squeeze", [x])
    chosen = sorted(g.rng.sample(ones, g.rng.randint(1, len(ones))))
    inputs, attrs = _axes(g, "Squeeze", chosen)
    return Draft("Squeeze", [x, *inputs], attrs)


def _unsqueeze(g: Growth) -> Draft:
    x = g.first("Unsqueeze", 0, 4)
    rank = len(g.shape(x)) + g.rng.choice((1, 1, 2))
    if rank > 5:
        raise UnfitError
    axes = sorted(g.rng.sample(range(rank), rank - len(g.shape(x))))
    if g.opset >= 11 and g.chance(0.3):
        axes = [a - rank for a in axes]
    inputs, attrs = _axes(g, "Unsqueeze", axes)
    return Draft("Unsqueeze", [x, *inputs], attrs)


def _transpose(g: Growth) -> Draft:
    x = g.first("Transpose")
    order = list(range(len(g.shape(x))))
    g.rng.shuffle(order)
    return Draft("Transpose", [x], {"perm": order} if g.chance(0.8) and order else {})


def _expand(g: Growth) -> Draft:
    x = g.first("Expand", 0, 4)
    shape = [g.rng.choice((1, 2, 3)) if n == 1 else g.rng.choice((1, n)) for n in g.shape(x)]
    if g.chance(0.3):
        shape = [g.rng.choice((1, 2, 3)), *shape]
    if math.prod(shape) > MOST_ELEMENTS:
        raise UnfitError
    return Draft("Expand", [x, g.known(shape, "int64")])


def _tile(g: Growth) -> Draft:
    x = g.first("Tile", 1)
    repeats = [g.rng.choice((1, 1, 2, 3)) for _ in g.shape(x)]
    if math.prod(repeats) * g.array(x).size > 3 * MOST_ELEMENTS:
        raise UnfitError
    return Draft("Tile", [x, g.known(repeats, "int64")])


def _concat(g: Growth) -> Draft:
    x = g.first("Concat", 1)
    axis = g.axis(len(g.shape(x)))
    pieces = [x]
    for _ in range(g.rng.choice((0, 1, 1, 2, 3))):
        shape = list(g.shape(x))
        shape[axis] = g.rng.choice((1, 2, 3, 5, shape[axis]))
        pieces.append(x if g.chance(0.1) else g.like(x, tuple(shape), constant=0.2))
    g.rng.shuffle(pieces)
    return Draft("Concat", pieces, {"axis": axis})


def _split(g: Growth) -> Draft:
    x = g.first("Split", 1)
    axis = g.axis(len(g.shape(x)))
    size = g.shape(x)[axis]
    count = g.rng.randint(1, min(3, size))
    cuts = sorted(g.rng.sample(range(1, size), count - 1))
    lengths = np.diff([0, *cuts, size]).tolist()
    if g.opset >= 18 and g.chance(0.3):
        if size < (count - 1) * -(-size // count) + 1:
            raise UnfitError
        return Draft("Split", [x], {"axis": axis, "num_outputs": count}, count)
    if "split" in attributes("Split", g.opset):
        return Draft("Split", [x], {"axis": axis, "split": lengths}, count)
    return Draft("Split", [x, g.known(lengths, "int64")], {"axis": axis}, count)


def _slice(g: Growth) -> Draft:
    x = g.first("Slice", 1)
    rank = len(g.shape(x))
    axes = g.rng.sample(range(rank), g.rng.randint(1, rank))
    starts, ends, steps = [], [], []
    for axis in axes:
        begin, end, step = _piece(g, g.shape(x)[axis])
        starts.append(begin)
        ends.append(end)
        steps.append(step)
    if "starts" in attributes("Slice", g.opset):
        if min(steps) < 0 or max(steps) > 1:
            raise UnfitError
        return Draft("Slice", [x], {"starts": starts, "ends": ends, "axes": axes})
    if g.chance(0.3):
        axes = [a - rank for a in axes]
    dtype = g.pick(("int64", "int64", "int32"))
    starts, ends = ([max(-(2**31), min(v, 2**31 - 1)) for v in p] for p in (starts, ends))
    inputs = [g.known(p, dtype) for p in (starts, ends, axes, steps)]
    return Draft("Slice", [x, *inputs])


def _piece(g: Growth, size: int) -> tuple[int, int, int]:
    """Begin, end and step of a part of a dimension, with at least one element."""
    step = g.rng.choice((1, 1, 1, 2, 3, -1, -2))
    begin = g.rng.randrange(size)
    if step > 0:
        end = g.rng.choice((g.rng.randint(begin + 1, size), size + 9, 2**31))
        return begin - (size if g.chance(0.2) else 0), end, step
    end = g.rng.choice((g.rng.randint(-1, begin - 1) if begin else -1, -1))
    return begin, end if end >= 0 else -size - g.rng.choice((1, 99)), step


def _pad(g: Growth) -> Draft:
    if g.opset < 8:
        raise UnfitError
    known = schema_modes(g)
    mode = g.pick(known)
    x = g.first("Pad", 1) if g.opset >= 13 or mode == "constant" else g.any(("float32",), 1)
    most = [min(2, n - 1) if mode == "reflect" else 2 for n in g.shape(x)]
    if mode == "wrap":
        most = [min(2, n) for n in g.shape(x)]
    pads = [g.rng.randint(0, m) for m in (*most, *most)]
    if mode == "constant" and g.chance(0.15):
        i = g.rng.randrange(len(most))
        pads[i] = -1 if g.shape(x)[i] > 1 else pads[i]
    attrs: dict[str, Any] = {"mode": mode} if mode != "constant" or g.chance(0.5) else {}
    if "pads" in attributes("Pad", g.opset):
        value = {"value": 1.5} if g.chance(0.3) else {}
        return Draft("Pad", [x], {**attrs, **value, "pads": pads})
    filler = [g.new(g.dtype(x), (), constant=1.0)] if mode == "constant" and g.chance(0.5) else []
    return Draft("Pad", [x, g.known(pads, "int64"), *filler], attrs)


def schema_modes(g: Growth) -> tuple[str, ...]:
    """How this operator set pads."""
    modes = ("constant", "constant", "reflect", "edge")
    return (*modes, "wrap") if g.opset >= 19 else modes


def _indices(g: Growth, op: str, size: int, shape: Shape) -> str:
    low = -size if g.opset >= 11 else 0
    dtype = g.pick([d for d in ("int64", "int32") if d in types(op, g.opset, 1)])
    array = np.asarray(g.numbers.integers(low, size, shape), dtype)
    return g.known(array) if g.chance(0.5) else _given(g, array)


def _given(g: Growth, array: np.ndarray) -> str:
    """An input of these numbers."""
    name = g.new(str(array.dtype), array.shape, constant=0.0)
    g.inputs[name][...] = array
    return name


def _gather(g: Growth) -> Draft:
    x = g.first("Gather", 1)
    axis = g.axis(len(g.shape(x)))
    shape = g.some_shape(0, min(2, 6 - len(g.shape(x))))
    if math.prod(shape) * g.array(x).size > 4 * MOST_ELEMENTS:
        raise UnfitError
    indices = _indices(g, "Gather", g.shape(x)[axis], shape)
    return Draft("Gather", [x, indices], {"axis": axis} if axis or g.chance(0.5) else {})


def _gather_elements(g: Growth) -> Draft:
    attributes("GatherElements", g.opset)
    x = g.first("GatherElements", 1)
    axis = g.axis(len(g.shape(x)))
    shape = [g.rng.randint(1, n) for n in g.shape(x)]
    shape[axis] = g.rng.choice((1, 3, 4))
    indices = _indices(g, "GatherElements", g.shape(x)[axis], tuple(shape))
    return Draft("GatherElements", [x, indices], {"axis": axis})


def _topk(g: Growth) -> Draft:
    """In order: what need not be is in any."""
    known = attributes("TopK", g.opset)
    x = g.first("TopK", 1)
    axis = g.axis(len(g.shape(x)))
    length = g.shape(x)[axis]
    count = g.pick((1, length, g.rng.randint(1, length)))
    attrs: dict[str, Any] = {"axis": axis}
    if "largest" in known and g.chance(0.6):
        attrs["largest"] = g.pick((0, 1))
    if "k" in known:
        return Draft("TopK", [x], {**attrs, "k": count}, outputs=2)
    return Draft("TopK", [x, g.known([count], "int64")], attrs, outputs=2)


def _places(g: Growth, shape: Shape, batch: Shape, depth: int) -> str:
    """Indices into the first ``depth`` dimensions after the batch's, in the last one."""
    columns = [g.numbers.integers(0, n, batch) for n in shape[:depth]]
    array = np.asarray(np.stack(columns, axis=-1), np.int64)
    return g.known(array) if g.chance(0.5) else _given(g, array)


def _gather_nd(g: Growth) -> Draft:
    x = g.first("GatherND", 1)
    shape = g.shape(x)
    depth = g.rng.randint(1, len(shape))
    return Draft("GatherND", [x, _places(g, shape, g.some_shape(1, 2), depth)])


def _reduction(g: Growth, op: str) -> dict[str, Any]:
    if "reduction" not in attributes(op, g.opset) or g.chance(0.5):
        return {}
    return {"reduction": g.pick(("add", "mul", *(("min", "max") if g.opset >= 18 else ())))}


def _scatter_nd(g: Growth) -> Draft:
    attributes("ScatterND", g.opset)
    x = g.first("ScatterND", 1)
    shape = g.shape(x)
    depth = g.rng.randint(1, len(shape))
    attrs = _reduction(g, "ScatterND")
    if attrs:
        indices = _places(g, shape, (g.rng.choice((1, 3)),), depth)
    else:  # each place once: else the order would count
        order = g.numbers.permutation(math.prod(shape[:depth]))[:3]
        places = np.stack(np.unravel_index(order, shape[:depth]), -1)
        indices = g.known(places, "int64")
    updates = (*g.shape(indices)[:-1], *shape[depth:])
    return Draft("ScatterND", [x, indices, g.like(x, updates)], attrs)


def _scatter_elements(g: Growth) -> Draft:
    attributes("ScatterElements", g.opset)
    x = g.first("ScatterElements", 1)
    axis = g.axis(len(g.shape(x)))
    attrs = _reduction(g, "ScatterElements")
    shape = [g.rng.randint(1, n) for n in g.shape(x)]
    order = np.argsort(g.numbers.random((*shape[:-1], shape[-1])), axis=axis)
    if attrs:
        order = g.numbers.integers(0, g.shape(x)[axis], shape)
    inputs = [x, g.known(order, "int64"), g.like(x, tuple(shape))]
    return Draft("ScatterElements", inputs, {"axis": axis, **attrs})


def _one_hot(g: Growth) -> Draft:
    if g.opset < 9:
        raise UnfitError
    depth = g.rng.choice((1, 2, 5))
    indices = g.any(("int64", "int32", "float32"), 0, 3)
    values = g.known([0, 1] if g.chance(0.5) else [3, -2], g.pick(("float32", "int64", "int32")))
    rank = len(g.shape(indices)) + 1
    attrs = {"axis": g.rng.randrange(-rank, rank)} if g.chance(0.6) else {}
    return Draft("OneHot", [indices, g.known(depth, "int64"), values], attrs)


def _trilu(g: Growth) -> Draft:
    attributes("Trilu", g.opset)
    x = g.first("Trilu", 2)
    k = [g.known(g.rng.randint(-3, 3), "int64")] if g.chance(0.6) else []
    return Draft("Trilu", [x, *k], {"upper": g.pick((0, 1))} if g.chance(0.7) else {})


def _eye_like(g: Growth) -> Draft:
    attributes("EyeLike", g.opset)
    attrs: dict[str, Any] = {"k": g.rng.randint(-2, 2)} if g.chance(0.5) else {}
    if g.chance(0.5):
        attrs["dtype"] = helper.np_dtype_to_tensor_dtype(np.dtype(g.pick(("float32", "int64"))))
    return Draft("EyeLike", [g.first("EyeLike", 2, 2)], attrs)


def _depth_to_space(g: Growth) -> Draft:
    x = g.any(("float32",), 4, 4, where=lambda s: s[1] % 4 == 0)
    mode = {"mode": g.pick(("DCR", "CRD"))} if g.opset >= 11 and g.chance(0.7) else {}
    return Draft("DepthToSpace", [x], {"blocksize": 2, **mode})


def _space_to_depth(g: Growth) -> Draft:
    x = g.any(("float32",), 4, 4, where=lambda s: s[2] % 2 == 0 and s[3] % 2 == 0)
    return Draft("SpaceToDepth", [x], {"blocksize": 2})


def _shape(g: Growth) -> Draft:
    attrs: dict[str, Any] = {}
    if "start" in attributes("Shape", g.opset) and g.chance(0.3):
        attrs = {"start": g.rng.randint(-2, 1)}
    return Draft("Shape", [g.any(DTYPES, 1)], attrs)


def _size(g: Growth) -> Draft:
    return Draft("Size", [g.any(DTYPES)])


def _constant(g: Growth) -> Draft:
    drawn = g.new(g.pick(("float32", "int64")), g.some_shape(0, 3), constant=1.0)
    array = g.constants.pop(drawn)
    del g.values[drawn]
    return Draft("Constant", [], {"value": numpy_helper.from_array(array)})


def _constant_of_shape(g: Growth) -> Draft:
    attributes("ConstantOfShape", g.opset)
    shape = g.known(g.some_shape(1, 3), "int64")
    value = g.pick((helper.make_tensor("v", 1, [1], [2.5]), helper.make_tensor("v", 7, [1], [3])))
    return Draft("ConstantOfShape", [shape], {"value": value} if g.chance(0.6) else {})


def _range(g: Growth) -> Draft:
    attributes("Range", g.opset)
    dtype = g.pick(("float32", "int64", "int32"))
    start, step, count = g.rng.randint(-5, 5), g.rng.choice((1, 2, -1, -3)), g.rng.randint(1, 9)
    return Draft("Range", [g.known(v, dtype) for v in (start, start + step * count, step)])


RULES: dict[str, Rule] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterND": _scatter_nd,
    "ScatterElements": _scatter_elements,
    "OneHot": _one_hot,
    "TopK": _topk,
    "Trilu": _trilu,
    "EyeLike": _eye_like,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Shape": _shape,
    "Size": _size,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
}
