"""Resize where sizes are open: which elements are taken, and what they weigh, a run computes.

In the order and precision of the tables of ``resize``, from numbers that follow from the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    """None for what is not computed so: windows that are as wide as scales say, and others that
    are cut at the ends."""
    source = _SOURCES.get(method.coordinates)
    nearest = method.mode == "nearest"
    if source is None or method.antialias or method.exclude_outside:
        return None
    if nearest and method.nearest not in _NEAREST:
        return None
    shape = (line.out, *[1] * (line.rank - 1 - line.axis))
    place = source(t, line, t.constant(np.arange(line.out, dtype=np.float32).reshape(shape)))
    if nearest:
        return [Tap(_bounded(t, line, _NEAREST[method.nearest](t, place)), None)]
    below = t.emit("floor", place)
    reach = 1 if method.mode == "linear" else 2
    found = []
    for tap in range(1 - reach, reach + 1):
        index = _plus(t, below, tap) if tap else below
        distance = t.emit("abs", t.emit("subtract", index, place))
        weigh = _linear if method.mode == "linear" else _cubic
        found.append(Tap(_bounded(t, line, index), weigh(t, distance, method.cubic_a)))
    return found


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


def _scaled(t: Emitter, line: Line, x: int) -> int:
    if line.scale is not None:
        return t.emit("divide", x, t.literal(line.scale, x))
    return t.emit(
        "divide",
        x,
        t.emit("divide", _real(t, line, line.out, _OUT), _real(t, line, line.size, _SIZE)),
    )


def _centre(t: Emitter, line: Line, x: int) -> int:
    return _scaled(t, line, _plus(t, x, 0.5))


def _half_pixel(t: Emitter, line: Line, x: int) -> int:
    return _plus(t, _centre(t, line, x), -0.5)


def _unless_one(t: Emitter, line: Line, x: int, place: Callable[..., int]) -> int:
    return place(t, line, x) if line.out > 1 else _times(t, x, 0.0)


def _corners(t: Emitter, line: Line, x: int) -> int:
    along = t.emit("multiply", x, _real(t, line, line.size - 1, _LAST))
    return t.emit("divide", along, _real(t, line, line.out - 1, _GAPS))


_SOURCES: Mapping[str, Callable[[Emitter, Line, int], int]] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": lambda t, line, x: _unless_one(t, line, x, _half_pixel),
    "tf_half_pixel_for_nn": _centre,
    "align_corners": lambda t, line, x: _unless_one(t, line, x, _corners),
    "asymmetric": _scaled,
}


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


def _linear(t: Emitter, distance: int, a: float) -> int:
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
