"""Resize where sizes are open: which elements are taken, and what they weigh, a run computes.

In the order and precision of the tables of ``resize``, from numbers that follow from the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import onnx

from luthier.schedules import Tensor

from ..graph.emitter import Emitter
from .resize_method import TIE, Method
from .scopes import every_node


class Tap(NamedTuple):
    """Which element each element of the result takes, and what that weighs, to be multiplied with
    the tensor; None is 1."""

    places: int
    weights: int | None


@dataclass(frozen=True)
class Line:
    """A dimension of ``size`` elements that gets ``out``, of a tensor of this rank: the scale is a
    number, or the ratio of these where it is None."""

    axis: int
    rank: int
    size: int
    out: int
    scale: float | None


def has_places(model: onnx.ModelProto) -> bool:
    """Whether a model resizes something."""
    graphs = (model.graph, *model.functions)
    nodes = (node for graph in graphs for node in every_node(graph.node))
    return any(node.op_type in ("Resize", "Upsample") for node in nodes)


def taps(t: Emitter, line: Line, method: Method) -> list[Tap] | None:
    """None for what is not computed so: windows that are as wide as scales say, and a region."""
    source = _SOURCES.get(method.coordinates)
    if source is None or method.antialias:
        return None
    shape = (line.out, *[1] * (line.rank - 1 - line.axis))
    place = source(t, line, t.constant(np.arange(line.out, dtype=np.float32).reshape(shape)))
    if method.mode == "nearest":
        return [Tap(_bounded(t, line, _nearest(t, line, method, place)), None)]
    below = t.emit("floor", place)
    reach = _REACH[method.mode]
    indices = [_plus(t, below, tap) if tap else below for tap in range(1 - reach, reach + 1)]
    weights = [_weight(t, method, t.emit("subtract", index, place)) for index in indices]
    if method.exclude_outside:
        some = zip(indices, weights, strict=True)
        weights = [_unless_outside(t, line, index, weight) for index, weight in some]
        total = reduce(partial(t.emit, "add"), weights)
        weights = [t.emit("divide", weight, total) for weight in weights]
    return [Tap(_bounded(t, line, i), w) for i, w in zip(indices, weights, strict=True)]


def matrix(t: Emitter, line: Line, method: Method) -> int | None:
    """What each element of a dimension weighs in each of the result, [size, out], by windows that
    widen as an image shrinks; None for coordinates that are not computed.

    What they reach beyond the ends counts for the first and the last element, or for none; that is
    as far as the windows of one element of the result.
    """
    source = _SOURCES.get(method.coordinates)
    if source is None:
        return None
    apart = (1,) * line.axis  # what is equal for two dimensions at some sizes alone
    outs = np.arange(line.out, dtype=np.float32)
    place = source(t, line, t.constant(outs.reshape(1, -1, *apart)))
    narrow = t.emit("minimum", _scale(t, line, place), t.literal(1, place))

    def weights(distance: int) -> int:
        return _weight(t, method, t.emit("multiply", distance, narrow))

    def beyond(distance: int) -> int:
        """What weighs where the elements are from one more than this far from the places on."""
        steps = np.arange(1, _REACH[method.mode] * line.size + 1, dtype=np.float32)
        each = weights(t.emit("add", t.constant(steps.reshape(-1, 1, *apart)), distance))
        return t.emit("sum", each, axes=(0,), keepdims=True)

    index = t.constant(np.arange(line.size, dtype=np.float32).reshape(-1, 1, *apart))
    found = weights(t.emit("subtract", index, place))
    if not method.exclude_outside:
        last = _real(t, line, line.size - 1, _LAST)
        before, after = beyond(place), beyond(t.emit("subtract", last, place))
        zero = t.literal(0, place)
        for end, more in ((zero, before), (last, after)):
            only = t.emit("where", t.emit("equal", index, end), more, zero)
            found = t.emit("add", found, only)
    shares = t.emit("divide", found, t.emit("sum", found, axes=(0,), keepdims=True))
    return t.reshape(shares, (line.size, line.out))


def _number(t: Emitter, line: Line, number: int, kind: int) -> int:
    """A whole number that may follow from sizes; its step, by which nothing is counted, keeps apart
    what is equal at some sizes alone."""
    step = 1 + len(_KINDS) * line.axis + kind
    return t.emit("iota", out=Tensor((1,), "int32"), start=number, step=step)


def _real(t: Emitter, line: Line, number: int, kind: int) -> int:
    return t.cast(_number(t, line, number, kind), "float32")


_KINDS = _SIZE, _OUT, _LAST, _GAPS = range(4)


def _plus(t: Emitter, x: int, number: float) -> int:
    return t.emit("add", x, t.literal(number, x))


def _times(t: Emitter, x: int, number: float) -> int:
    return t.emit("multiply", x, t.literal(number, x))


def _scale(t: Emitter, line: Line, like: int) -> int:
    if line.scale is not None:
        return t.literal(line.scale, like)
    return t.emit("divide", _real(t, line, line.out, _OUT), _real(t, line, line.size, _SIZE))


def _scaled(t: Emitter, line: Line, x: int) -> int:
    return t.emit("divide", x, _scale(t, line, x))


def _centre(t: Emitter, line: Line, x: int) -> int:
    return _scaled(t, line, _plus(t, x, 0.5))


def _half_pixel(t: Emitter, line: Line, x: int) -> int:
    return _plus(t, _centre(t, line, x), -0.5)


def _symmetric(t: Emitter, line: Line, x: int) -> int:
    """In float64 at the end."""
    scale, size = _scale(t, line, x), _real(t, line, line.size, _SIZE)
    ratio = t.emit("divide", _real(t, line, line.out, _OUT), t.emit("multiply", scale, size))
    lack = _plus(t, _times(t, ratio, -1), 1)
    offset = t.cast(t.emit("multiply", _times(t, size, 0.5), lack), "float64")
    centre = t.cast(_plus(t, x, 0.5), "float64")
    place = t.emit("divide", centre, t.cast(scale, "float64"))
    return t.cast(_plus(t, t.emit("add", offset, place), -0.5), "float32")


def _unless_one(t: Emitter, line: Line, x: int, place: Callable[..., int]) -> int:
    return place(t, line, x) if line.out > 1 else _times(t, x, 0.0)


def _corners(t: Emitter, line: Line, x: int) -> int:
    along = t.emit("multiply", x, _real(t, line, line.size - 1, _LAST))
    return t.emit("divide", along, _real(t, line, line.out - 1, _GAPS))


_SOURCES: Mapping[str, Callable[[Emitter, Line, int], int]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda t, line, x: _unless_one(t, line, x, _half_pixel),
    "tf_half_pixel_for_nn": _centre,
    "align_corners": lambda t, line, x: _unless_one(t, line, x, _corners),
    "asymmetric": _scaled,
}


def _nearest(t: Emitter, line: Line, method: Method, place: int) -> int:
    """Operator sets before 11, which give scales, have no rule: see ``resize``."""
    shrinks = line.scale is not None and line.scale < 1
    rule = method.nearest if method.nearest != "simple" else "ceil" if shrinks else "floor"
    return _NEAREST[rule](t, place)


def _rounded(t: Emitter, place: int, tie: float) -> int:
    """One more than what is below where the rest is beyond a half, or as near to it as ``tie``."""
    exact = t.cast(place, "float64")
    below = t.emit("floor", exact)
    beyond = _plus(t, t.emit("subtract", exact, below), -0.5)
    up = t.emit("greater_equal", beyond, t.literal(tie, beyond))
    return t.emit("add", below, t.cast(up, "float64"))


_NEAREST: Mapping[str, Callable[[Emitter, int], int]] = {
    "floor": lambda t, place: t.emit("floor", place),
    "ceil": lambda t, place: t.emit("ceil", place),
    "round_prefer_floor": lambda t, place: _rounded(t, place, TIE),
    "round_prefer_ceil": lambda t, place: _rounded(t, place, -TIE),
}


def _bounded(t: Emitter, line: Line, index: int) -> int:
    """As a place; those beyond the ends are the last element's."""
    whole = t.cast(index, "int32")
    last = _number(t, line, line.size - 1, _LAST)
    bounded = t.emit("minimum", t.emit("maximum", whole, t.literal(0, whole)), last)
    return t.reshape(bounded, (line.out,))


def _unless_outside(t: Emitter, line: Line, index: int, weight: int) -> int:
    zero, last = t.literal(0, index), _real(t, line, line.size - 1, _LAST)
    is_out = t.emit("logical_or", t.emit("less", index, zero), t.emit("greater", index, last))
    return t.emit("where", is_out, zero, weight)


_REACH = {"linear": 1, "cubic": 2}


def _weight(t: Emitter, method: Method, apart: int) -> int:
    """Of an element that lies so far from a place."""
    distance = t.emit("abs", apart)
    if method.mode == "linear":
        return _linear(t, distance)
    return _cubic(t, distance, method.cubic_a)


def _linear(t: Emitter, distance: int) -> int:
    nearness = t.emit("subtract", t.literal(1, distance), distance)
    return t.emit("maximum", nearness, t.literal(0, distance))


def _cubic(t: Emitter, d: int, a: float) -> int:
    """Keys 1981."""
    near = t.emit("multiply", t.emit("multiply", _plus(t, _times(t, d, a + 2), -(a + 3)), d), d)
    near = _plus(t, near, 1)
    far = t.emit("multiply", _plus(t, _times(t, d, a), -5 * a), d)
    far = _plus(t, t.emit("multiply", _plus(t, far, 8 * a), d), -4 * a)
    zero = t.literal(0, d)
    far = t.emit("where", t.emit("less", d, t.literal(2, d)), far, zero)
    return t.emit("where", t.emit("less_equal", d, t.literal(1, d)), near, far)
