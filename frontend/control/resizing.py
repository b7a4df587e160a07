"""Resize and Upsample whose scales, sizes or region a run is given.

What ``onnx.resize`` makes tables of is computed here, in the same order and precision: where each
element of the result stands in the input, and so which elements it is made of and what these weigh.
How large the result is, is declared or found; a run ends that gives something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array
from ..graph.emitter import MOST_IN_TABLE
from ..onnx.resize_method import CROP, FIRST_WITH_COORDINATES, LONGEST, POLICIES, TIE, Method
from .decision import MOST, Count, Decision
from .spelled import Spelled, Term

_SIZES = "it gives so many elements:"


@dataclass(frozen=True)
class _Span:
    """A dimension: how many elements it has and gets, and as names of one float32 each: these, the
    ratio that is given of them, the place of the last element, how many places come after the first
    of the result, at least 1, and where the region of interest starts and ends."""

    axis: int
    old: int
    count: Count
    size: str
    out: str
    scale: str
    last: str
    gaps: str
    roi: tuple[str, str] | None


def resized(d: Decision) -> None:
    """Each dimension after the other."""
    method, old = Method.of(d.attr, d.opset), d.type(0).shape
    refused = method.refused(d.type(0))
    if refused:
        raise d.unsupported(refused)
    axes = [d.axis(int(a), len(old)) for a in d.attrs.get("axes", range(len(old)))]
    crops = method.coordinates == CROP
    given = _given(d, axes, crops=crops)
    roi: dict[int, Term] = {}
    if d.opset >= FIRST_WITH_COORDINATES and d.has(1) and not crops:
        roi = {1: np.zeros(0, np.float32)}
    if not d.open(given) and not (crops and d.open(1)):
        d.straight(roi)
        return
    declared = d.declared(len(old))
    wanted = [declared[axis] for axis in axes]
    policy = d.attr("keep_aspect_ratio_policy", "stretch")
    if policy not in POLICIES:
        raise d.unsupported(f"the policy '{policy}'")
    if given == 3 and policy == "stretch" and None not in wanted and not (crops and d.open(1)):
        sizes = [size or 0 for size in wanted]
        d.expect(d.numbers(3), sizes, "its sizes are")
        d.straight({**roi, 3: np.array(sizes, np.int64)})
        return
    spans = _spans(d, axes, wanted, given, policy, crops=crops)
    if all(not s.count.found and s.count.number == s.old for s in spans):
        d.give(d.spelled("Identity", "input 0"))  # as in ``onnx.resize``
        return
    _resize_all(d, method, spans)


def _given(d: Decision, axes: Sequence[int], *, crops: bool) -> int:
    """The input of scales or of sizes."""
    given = 3 if d.has(3) and d.type(3).size else 2 if d.has(2) else 1
    if d.type(given).size != len(axes) or len(set(axes)) < len(axes):
        raise d.unsupported("a resize without a scale or size for each dimension")
    if crops and not (d.has(1) and d.type(1).size == 2 * len(axes)):
        raise d.unsupported("this region of interest")
    return given


def _spans(
    d: Decision,
    axes: Sequence[int],
    wanted: Sequence[int | None],
    given: int,
    policy: str,
    *,
    crops: bool,
) -> list[_Span]:
    e, count = d.spelled, len(axes)
    old = [d.type(0).shape[axis] for axis in axes]
    sizes = e.cast(d.sizes(old, "resized"), "float32")
    if given == 3:
        outs = e.clipped(d.numbers(3), -MOST, MOST)
        scales = e("Div", e.cast(outs, "float32"), sizes)
        if policy != "stretch":
            kind = "ReduceMin" if policy == "not_larger" else "ReduceMax"
            scales = e("Expand", e(kind, scales, [0], keepdims=1), [count])
            (product,) = d.apart(e("Mul", scales, sizes))
            outs = _whole(e, e("Add", product, _real(0.5)))
    else:
        scales = e.cast(e("Reshape", f"input {given}", [count]), "float32")
        outs = _whole(e, e("Mul", sizes, scales))
    origins = d.origins(3) if given == 3 and policy == "stretch" else ()
    counts = d.settle(outs, wanted, [None] * count, _SIZES, origins)
    reals = e.cast(outs, "float32")
    one = _real(1)
    lasts, gaps = e("Sub", sizes, one), e("Max", e("Sub", reals, one), one)
    terms = d.apart(sizes, reals, scales, lasts, gaps)
    named = [[e.element(n, i) for i in range(count)] for n in terms]
    region: list[tuple[str, str] | None] = [None] * count
    if crops:
        ends = e.cast(e("Reshape", "input 1", [2 * count]), "float32")
        region = [(e.element(ends, i), e.element(ends, count + i)) for i in range(count)]
    d.apart(*(name for row in named for name in row), *(n for pair in region for n in pair or ()))
    columns = zip(axes, old, counts, *named, region, strict=True)
    return [_Span(*column) for column in columns]


def _whole(e: Spelled, sizes: str) -> str:
    """The numbers below, -1 for what no size can be, as of NaN."""
    fits = e("And", e("GreaterOrEqual", sizes, _real(0)), e("LessOrEqual", sizes, _real(LONGEST)))
    return e.cast(e("Floor", e("Where", fits, sizes, _real(-1))), "int64")


def _resize_all(d: Decision, method: Method, spans: Sequence[_Span]) -> None:
    e, kind, rank = d.spelled, d.type(0).dtype, len(d.type(0).shape)
    wide = kind if method.mode == "nearest" or kind == "float64" else "float32"
    x, inside = e.cast("input 0", wide) if wide != kind else "input 0", ""
    for span in spans:
        source, same = _source(d, method, span)
        x = (_nearest if method.mode == "nearest" else _weighed)(d, method, span, x, source, same)
        if span.roi:
            bounded = e("LessOrEqual", source, span.last)
            here = e("Or", same, e("And", e("GreaterOrEqual", source, _real(0)), bounded))
            shaped = e("Reshape", here, [-1, *[1] * (rank - 1 - span.axis)])
            inside = e("And", inside, shaped) if inside else shaped
            d.apart(inside)
    if inside:
        fill = np.array(d.attr("extrapolation_value", 0.0)).astype(d.type(0).element.numpy)
        x = e("Where", inside, x, e.cast(fill, wide) if wide != kind else fill)
    d.give(e.cast(x, kind) if wide != kind else x)


def _source(d: Decision, method: Method, span: _Span) -> tuple[str, str]:
    """Where each element of the result stands, and whether it stands where it stood.

    A dimension whose scale is 1 stays as it is, whatever the region of interest.
    """
    e = d.spelled
    x, same = d.apart(e.cast(d.counting(span.count), "float32"), e("Equal", span.scale, _real(1)))
    source = _SOURCES[method.coordinates](d, span, x)
    (place,) = d.apart(e("Where", same, x, *d.apart(source)))
    return place, same


def _centre(d: Decision, span: _Span, x: str) -> str:
    return d.spelled("Div", d.spelled("Add", x, _real(0.5)), span.scale)


def _half_pixel(d: Decision, span: _Span, x: str) -> str:
    return d.spelled("Sub", _centre(d, span, x), _real(0.5))


def _symmetric(d: Decision, span: _Span, x: str) -> str:
    """In float64 at the end."""
    e = d.spelled
    ratio = e("Div", span.out, e("Mul", span.scale, span.size))
    half = e("Div", span.size, _real(2))
    offset, scale = d.apart(
        e.cast(e("Mul", half, e("Sub", _real(1), ratio)), "float64"), e.cast(span.scale, "float64")
    )
    centre = e("Div", e.cast(e("Add", x, _real(0.5)), "float64"), scale)
    place = e("Add", offset, centre)
    return e.cast(e("Sub", place, np.array(0.5)), "float32")


def _unless_one(d: Decision, span: _Span, place: str) -> str:
    """0 where there is one element alone."""
    (many,) = d.apart(d.spelled("Greater", span.out, _real(1)))
    return d.spelled("Where", many, place, _real(0))


def _corners(d: Decision, span: _Span, x: str) -> str:
    place = d.spelled("Div", d.spelled("Mul", x, span.last), span.gaps)
    return _unless_one(d, span, place)


def _cropped(d: Decision, span: _Span, x: str) -> str:
    """Products are rounded before they are added, as in ``onnx.resize``."""
    e = d.spelled
    assert span.roi
    start, end = span.roi
    ends = (e.cast(each, "float64") for each in (e("Add", start, end), span.last))
    middle = e.cast(e("Mul", e("Mul", *ends), np.array(0.5)), "float32")
    first, length, middle, many = d.apart(
        e("Mul", start, span.last),
        e("Sub", end, start),
        middle,
        e("Greater", span.out, _real(1)),
    )
    (along,) = d.apart(e("Div", e("Mul", e("Mul", x, length), span.last), span.gaps))
    return e("Where", many, e("Add", first, along), middle)


_SOURCES: Mapping[str, Callable[[Decision, _Span, str], str]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda d, s, x: _unless_one(d, s, _half_pixel(d, s, x)),
    "tf_half_pixel_for_nn": _centre,
    "align_corners": _corners,
    "asymmetric": lambda d, s, x: d.spelled("Div", x, s.scale),
    CROP: _cropped,
}


def _nearest(d: Decision, method: Method, span: _Span, x: str, source: str, same: str) -> str:
    """By one of the standard's rules; operator sets before 11 take the ``ceil`` of what shrinks."""
    e, rule = d.spelled, method.nearest
    exact = e.cast(source, "float64")
    below, above = e("Floor", exact), e("Ceil", exact)
    if rule in ("round_prefer_floor", "round_prefer_ceil"):
        half = np.array(0.5)
        part = e("Sub", exact, below)
        tie = e("Less", e("Abs", e("Sub", part, half)), np.array(TIE))
        further = e("Greater", part, half)
        up = e("And", further, e("Not", tie))
        up = up if rule == "round_prefer_floor" else e("Or", further, tie)
        found = e("Add", below, e.cast(up, "float64"))
    elif rule == "simple":
        found = e("Where", e("Less", span.scale, _real(1)), above, below)
    else:
        found = above if rule == "ceil" else below
    return d.apart(e("Gather", x, *d.apart(_bounded(d, span, found)), axis=span.axis))[0]


def _weighed(d: Decision, method: Method, span: _Span, x: str, source: str, same: str) -> str:
    """The sum of the elements around each place; what weighs nothing is not looked at."""
    e, kind = d.spelled, d.type_of(x).dtype
    reach = _reach(method, span)
    taps = np.arange(1 - reach, reach + 1, dtype=np.float32)
    if span.count.most * taps.size > MOST_IN_TABLE:
        raise d.unsupported(f"{span.old} to {span.count.most} elements by windows this wide")
    first, column, narrow = d.apart(
        e("Reshape", e("Floor", source), [-1, 1]),
        e("Reshape", source, [-1, 1]),
        e("Min", span.scale, _real(1)),
    )
    (indices,) = d.apart(e("Add", first, taps))
    (distance,) = d.apart(e("Abs", e("Sub", indices, column)))
    if method.antialias:
        (distance,) = d.apart(e("Mul", distance, narrow))
    if method.mode == "linear":
        weights = e("Max", e("Sub", _real(1), distance), _real(0))
    else:
        weights = _cubic(e, distance, method.cubic_a)
    if method.exclude_outside:
        outside = e("Or", e("Less", indices, _real(0)), e("GreaterOrEqual", indices, span.size))
        weights = e("Where", *d.apart(outside), _real(0), weights)
    if method.exclude_outside or method.antialias:
        (weights,) = d.apart(weights)
        (total,) = d.apart(e("ReduceSum", weights, [1], keepdims=1))
        weights = e("Div", weights, total)
    (weights,) = d.apart(weights)
    nothing = e("Equal", weights, _real(0)) if method.antialias else e("And", same, taps != 0)
    places, weights, nothing = d.apart(_bounded(d, span, indices), e.cast(weights, kind), nothing)
    shape = [-1, taps.size, *[1] * (len(d.type(0).shape) - 1 - span.axis)]
    picked, weights, nothing = d.apart(
        e("Gather", x, places, axis=span.axis),
        e("Reshape", weights, shape),
        e("Reshape", nothing, shape),
    )
    (parts,) = d.apart(e("Where", nothing, np.zeros((), kind), e("Mul", picked, weights)))
    return d.apart(e.total(parts, span.axis + 1))[0]


def _reach(method: Method, span: _Span) -> int:
    """How far the elements around a place are that may weigh something, at most."""
    half = 1 if method.mode == "linear" else 2
    if not method.antialias:
        return half
    least = 1 if span.count.found else max(span.count.number, 1)
    return max(half, math.ceil(half * span.old / (least - 0.5))) + 1


def _cubic(e: Spelled, distance: str, a: float) -> str:
    """Keys 1981."""
    d = distance
    near = e("Sub", e("Mul", d, _real(a + 2)), _real(a + 3))
    near = e("Add", e("Mul", e("Mul", near, d), d), _real(1))
    far = e("Sub", e("Mul", d, _real(a)), _real(5 * a))
    far = e("Sub", e("Mul", e("Add", e("Mul", far, d), _real(8 * a)), d), _real(4 * a))
    far = e("Where", e("Less", d, _real(2)), far, _real(0))
    return e("Where", e("LessOrEqual", d, _real(1)), near, far)


def _bounded(d: Decision, span: _Span, places: str) -> str:
    """As indices; those beyond the ends are the last element's."""
    e = d.spelled
    (last,) = d.apart(e.cast(span.last, "int64"))
    return e.clipped(e.cast(places, "int64"), 0, last)


def _real(number: float) -> Array:
    return np.array(number, np.float32)
