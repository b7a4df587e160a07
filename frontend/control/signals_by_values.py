"""Fourier transforms and their bands, of which values say how long they are, along what and where.

A length is one of few that a declared shape leaves; where frames begin and where bands lie is
computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from luthier.schedules import ModelError

from ..graph import Array
from ..onnx.fourier import FIRST_WITH_AXIS_INPUT
from .decision import MOST, Decision
from .spelled import Term

_NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class _Transform:
    """Along an axis, of a length, and the shape of what it gives."""

    axis: int
    length: int
    shape: tuple[int, ...]


def transformed(d: Decision) -> None:
    """``DFT``: along an axis and of a length that the declared shape leaves."""
    _check_signal(d)
    rank, along = len(d.type(0).shape), _axes(d)
    if d.open(1) and len(along) == 1 and d.declared(rank)[along[0]] is None:
        _of_found_length(d, along[0])
        return
    ways = _transforms(d)
    text = " or ".join(f"{way.length} along {way.axis}" for way in ways)
    if len({way.shape for way in ways}) > 1:
        raise d.unsupported(f"to transform {text}, but for a shape that is declared,")
    e = d.spelled
    right: list[str] = []
    if d.open(2):
        given = e.clipped(d.numbers(2), -MOST, MOST)
        axis = e("Where", e("Less", given, 0), e("Add", given, rank), given)
        right.append(e("Equal", axis, [way.axis for way in ways]))
    if d.open(1):
        right.append(e("Equal", d.numbers(1), [way.length for way in ways]))
    numbers: list[dict[int, Term]] = [
        {i: np.array(n) for i, n in ((1, way.length), (2, way.axis)) if d.has(i)} for way in ways
    ]
    _one_of(
        d, right, f"whether it is of the length {text}:", [partial(d.straight, n) for n in numbers]
    )


def _one_of(d: Decision, right: Sequence[str], says: str, ways: Sequence[partial[None]]) -> None:
    """What the first way gives for which all is right; a run ends where there is none."""
    e = d.spelled
    same = right[0] if len(right) == 1 else e("And", *right)
    flags = e.cast(same, "int64")
    d.expect(e("ReduceMax", flags, [0], keepdims=0), np.array(1), says)
    picks = [
        e("Reshape", e.cast(e.element(flags, i), "bool"), _NOTHING) for i in range(len(ways) - 1)
    ]
    d.branch(picks, ways)


def _transforms(d: Decision) -> list[_Transform]:
    """All that fit what is known and declared."""
    old = d.type(0).shape
    declared = d.declared(len(old))
    found = [
        _Transform(axis, length, shape)
        for axis in _axes(d)
        for length in _lengths(d, axis, declared[axis])
        if _fits(shape := _shape_of(d, axis, length), declared)
    ]
    if not found:
        raise ModelError(
            f"{d.label}: {list(old)} is not transformed to {list(declared)}, as is declared"
        )
    return found


def _of_found_length(d: Decision, axis: int) -> None:
    """By products with cosines and sines of as many turns as a run finds."""
    shape, e, kind = d.type(0).shape, d.spelled, d.type(0).dtype
    one, inverse = bool(d.attr("onesided", 0)), bool(d.attr("inverse", 0))
    n = e.clipped(d.numbers(1), 0, MOST)
    d.expect(e("Min", n, 1), [1], "whether its length is above 0:")
    half = e("Add", e("Div", n, 2), 1)
    (count,) = d.settle(half if one and not inverse else n, [None], [None], "its length is")
    place = np.arange(shape[axis]).reshape(-1, 1)
    turns = e("Mod", e("Mul", d.counting(count), place), e("Max", n, 1))
    real = e.cast(n, "float64")
    angle = e("Div", e("Mul", e.cast(turns, "float64"), _real(2 * math.pi)), real)
    share = e.cast(e("Less", place, half if one and inverse else n), "float64")
    if one and inverse:  # of which each frequency but the first and the middle one counts twice
        single = e("Or", place == 0, e("Equal", 2 * place, n))
        share = e("Mul", share, e("Where", single, _real(1), _real(2)))
    share = e("Div", share, real) if inverse else share
    wide = kind if kind == "float64" else "float32"
    cosines, sines = (e.cast(e("Mul", e(f, angle), share), wide) for f in ("Cos", "Sin"))
    sines = sines if inverse else e("Neg", sines)
    d.apart(cosines, sines)
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    x = e("Transpose", e.cast("input 0", wide), perm=order)
    planes = d.apart(*(e("Gather", x, [i], axis=-2) for i in range(shape[-1])))
    by = [[e("MatMul", plane, table) for table in (cosines, sines)] for plane in planes]
    results = [by[0][0], by[0][1]]
    if len(planes) == 2:
        results = [e("Sub", by[0][0], by[1][1]), e("Add", by[0][1], by[1][0])]
    results = results[:1] if one and inverse else results
    d.apart(*results)
    y = results[0] if len(results) == 1 else e("Concat", *results, axis=-2)
    back = [order.index(i) for i in range(len(shape))]
    d.give(e.cast(e("Transpose", y, perm=back), kind))


def _check_signal(d: Decision) -> None:
    for index, what in ((1, "length"), (2, "axis")):
        if d.has(index) and d.type(index).size != 1:
            raise ModelError(f"{d.label}: its {what} is {d.type(index)}")
    if len(d.type(0).shape) < 2 or d.type(0).shape[-1] not in (1, 2):
        raise ModelError(f"{d.label}: its signal is {d.type(0)}")


def _axes(d: Decision) -> list[int]:
    """Those that it may be along: any but the last one, of the planes."""
    rank, known = len(d.type(0).shape), d.known(2)
    if d.open(2):
        return list(range(rank - 1))
    given = d.attr("axis", 1) if d.opset < FIRST_WITH_AXIS_INPUT else -2
    axis = d.axis(given if known is None else int(known.item()), rank)
    if axis == rank - 1:
        raise ModelError(f"{d.label}: its axis is the one of real and imaginary parts")
    return [axis]


def _lengths(d: Decision, axis: int, declared: int | None) -> list[int]:
    size, one, inverse = d.type(0).shape[axis], d.attr("onesided", 0), d.attr("inverse", 0)
    known = d.known(1)
    if known is not None:
        return [int(known.item())]
    if not d.has(1):
        return [2 * (size - 1) if one and inverse else size]
    if declared is None:
        raise d.unsupported(
            "a length that is computed at run time, but for a shape that is declared,"
        )
    if one and not inverse:
        return halves(declared)
    return [declared]


def halves(count: int) -> list[int]:
    """The lengths of which a real signal has so many frequencies."""
    return [n for n in (2 * count - 2, 2 * count - 1) if n > 0]


def _shape_of(d: Decision, axis: int, length: int) -> tuple[int, ...]:
    one, inverse = d.attr("onesided", 0), d.attr("inverse", 0)
    shape = [*d.type(0).shape[:-1], 1 if one and inverse else 2]
    shape[axis] = length // 2 + 1 if one and not inverse else length
    return tuple(shape)


def _fits(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    return all(want in (None, size) for size, want in zip(shape, declared, strict=True))


def framed(d: Decision) -> None:
    """``STFT``: frames of a length that the shape leaves, as far apart as a run is told."""
    if (
        len(d.type(0).shape) not in (2, 3)
        or d.type(1).size != 1
        or (d.has(3) and d.type(3).size != 1)
    ):
        raise ModelError(f"{d.label}: its signal is {d.type(0)}, its step {d.type(1)}")
    size, e = d.type(0).shape[1], d.spelled
    declared = d.declared(4)
    lengths = [n for n in _frame_lengths(d, declared[2]) if n <= size]
    if not lengths:
        raise ModelError(f"{d.label}: no frames of {size} elements have the shape that is declared")
    length = d.numbers(3) if d.has(3) else e.name([lengths[0]])
    step = e.clipped(d.numbers(1), 0, MOST)
    every = d.sizes([size])
    inside = e.clipped(length, 1, every)
    d.apart(step, inside)
    d.expect(e("Min", step, 1), [1], "whether its step is above 0:")
    count = e("Add", e("Div", e("Sub", every, inside), e("Max", step, 1)), 1)
    (frames,) = d.settle(
        count, [declared[1]], [size - min(lengths) + 1], "the number of its frames is"
    )
    begins = e("Mul", d.counting(frames), step)
    d.apart(begins)
    right = [e("Equal", length, lengths)]
    text = " or ".join(map(str, lengths))
    ways = [partial(_frames, d, begins, n) for n in lengths]
    _one_of(d, right, f"whether the length of its frames is {text}:", ways)


def _frame_lengths(d: Decision, declared: int | None) -> list[int]:
    known, size = d.known(3), d.type(0).shape[1]
    if known is not None:
        return [int(known.item())]
    if d.has(2):
        return [d.type(2).size]
    if not d.has(3):
        return [size]
    if declared is None:
        raise d.unsupported(
            "a length of frames that is computed at run time, but for a shape that is declared "
            "or a window,"
        )
    return halves(declared) if d.attr("onesided", 1) else [declared]


def _frames(d: Decision, begins: str, length: int) -> None:
    """Gathered, so that how many there are may be open, and then transformed."""
    e, kind = d.spelled, d.type(0).dtype
    within = np.arange(length, dtype=np.int64)
    last = e("Max", e("Sub", d.sizes([d.type(0).shape[1]]), length), 0)
    firsts = e.clipped(begins, 0, *d.apart(last))
    (column,) = d.apart(e("Reshape", firsts, [-1, 1]))
    places = e("Add", column, within)
    wide = kind if kind == "float64" else "float32"
    flat = len(d.type(0).shape) == 2  # as real ones may be in ONNX Runtime
    signal = e("Unsqueeze", "input 0", [2]) if flat else "input 0"
    frames = e.cast(e("Gather", signal, *d.apart(places), axis=1), wide)
    if d.has(2):
        if d.type(2).size != length:
            raise ModelError(f"{d.label}: its window is {d.type(2)}, its frames of {length}")
        frames = e("Mul", frames, e.cast(e("Reshape", "input 2", [length, 1]), wide))
    y = e("DFT", frames, axis=2, onesided=int(d.attr("onesided", 1)))
    d.give(e.cast(y, kind))


def mel_weights(d: Decision) -> None:
    """Triangles that overlap, evenly spaced on the mel scale (Stevens et al. 1937)."""
    if any(d.type(i).size != 1 for i in range(5)):
        raise ModelError(f"{d.label}: its settings are not single numbers")
    e = d.spelled
    bands, length, rate = (e.clipped(d.numbers(i), -1, MOST) for i in range(3))
    for name, number in (("bands", bands), ("samples", length), ("rate", rate)):
        least = e.clipped(number, 0, 1)
        d.expect(least, [1], f"whether the number of its {name} is above 0:")
    bins = e("Add", e("Div", length, 2), 1)
    d.apart(bands, length, rate, bins)
    sizes = e("Concat", bins, bands, axis=0)
    places, columns = d.settle(sizes, d.declared(2), [None, None], "its result has the shape")
    low, high = (e.cast(e("Reshape", f"input {i}", [1]), "float64") for i in (3, 4))
    first, last = _mel(d, low), _mel(d, high)
    every, samples, hertz, most = (e.cast(n, "float64") for n in (bands, length, rate, bins))
    step = e("Div", e("Sub", last, first), e("Add", every, _real(2)))
    settings = d.apart(first, step, e("Add", samples, _real(1)), hertz)
    d.apart(most)
    (band,) = d.apart(e.cast(d.counting(columns), "float64"))
    edges = d.apart(*(_edge(d, band, offset, *settings) for offset in range(3)))
    inside = d.apart(
        *(e("And", e("GreaterOrEqual", x, _real(0)), e("Less", x, most)) for x in edges)
    )
    outside = e("Not", e("And", e("And", *inside[:2]), inside[2]))
    beyond = e("ReduceSum", *d.apart(e.cast(outside, "int64")), [0], keepdims=1)
    d.expect(beyond, [0], "the number of its bands' edges beyond its frequencies is")
    (place,) = d.apart(e("Reshape", e.cast(d.counting(places), "float64"), [-1, 1]))
    weights = _triangles(d, place, edges)
    d.give(e("Cast", weights, to=d.attr("output_datatype", 1)))


def _mel(d: Decision, hertz: str) -> str:
    e = d.spelled
    log = e("Log", e("Add", e("Div", hertz, _real(700)), _real(1)))
    return e("Div", e("Mul", log, _real(2595)), _real(math.log(10)))


def _edge(
    d: Decision, band: str, offset: int, first: str, step: str, length: str, rate: str
) -> str:
    """The frequency at which a band rises, has its top, or ends, by its number."""
    e = d.spelled
    mel = e("Add", e("Mul", e("Add", band, _real(offset)), step), first)
    grown = e("Sub", e("Exp", e("Mul", mel, _real(math.log(10) / 2595))), _real(1))
    return e("Floor", e("Div", e("Mul", length, e("Mul", grown, _real(700))), rate))


def _triangles(d: Decision, place: str, edges: Sequence[str]) -> str:
    """[places, bands]: each rises from an edge to the next and falls to the one after."""
    e = d.spelled
    left, center, right = edges
    wide, above = e("Greater", center, left), e("Greater", right, center)
    widths = d.apart(
        e("Where", wide, e("Sub", center, left), _real(1)),
        e("Where", above, e("Sub", right, center), _real(1)),
        wide,
    )
    share, top = d.apart(
        e("Div", e("Sub", place, left), widths[0]), e.cast(e("Equal", place, center), "float64")
    )
    rises, falls = d.apart(
        e("Where", wide, share, top), e("Div", e("Sub", right, place), widths[1])
    )
    rising, falling = d.apart(
        e("And", e("GreaterOrEqual", place, left), e("LessOrEqual", place, center)),
        e("And", e("GreaterOrEqual", place, center), e("Less", place, right)),
    )
    (found,) = d.apart(e("Where", rising, rises, _real(0)))
    return e("Where", falling, falls, found)


def _real(number: float) -> Array:
    return np.array(number, np.float64)
