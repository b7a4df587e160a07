"""Operators that read at places which values decide: these are computed, and then looked up.

How many there are, is declared or found; where they lie is data as any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import ModelError

from ..graph import Array
from .decision import MOST, Decision
from .declared import Dims
from .origins import Element, Origin
from .shapes_by_values import matches

_SHAPE = "its result has the shape"


def sliced(d: Decision) -> None:
    """From ``start`` on every ``step``-th element, as many as there are before ``end``."""
    old, e = d.type(0).shape, d.spelled
    rank, count = len(old), d.type(1).size
    if any(d.has(i) and d.type(i).size != count for i in range(1, 5)) or not 0 < count <= rank:
        raise ModelError(f"{d.label}: its bounds are not of so many axes each")
    steps = e.clipped(d.numbers(4) if d.has(4) else [1] * count, -MOST, MOST)
    none = e.total(e.cast(e("Equal", steps, 0), "int64"), 0)
    d.expect(none, _number(0), "the number of its steps that are 0 is")
    along = _Axes(d, 3, count)
    start, end = (along.spread(d.numbers(i), default) for i, default in ((1, 0), (2, MOST)))
    step = along.spread(steps, 1)
    forth, sizes = e("Greater", step, 0), d.sizes(old)
    last = e("Where", forth, sizes, e("Sub", sizes, 1))
    first = e("Where", forth, 0, -1)
    start, end = (_from_start(d, each, sizes) for each in (start, end))
    start = e("Min", e("Max", start, 0), last)
    end = e("Min", e("Max", end, first), last)
    length = e("Mul", e("Sub", end, start), e("Sign", step))
    size = e("Abs", step)
    counts = e("Max", e("Div", e("Sub", e("Add", length, size), 1), size), 0)
    _gather(d, counts, start, step, along.axes, _taken(d), _alike(d, along))


def _alike(d: Decision, along: _Axes) -> Sequence[Origin]:
    """Of each axis what tells how many are taken: slices of lists that are as long, from the same
    start to the same end, take as many."""
    steps = d.known(4) if d.has(4) else np.ones(d.type(1).size, np.int64)
    starts, ends, order = d.origins(1), d.origins(2), along.order
    if not order or steps is None or not len(starts) == len(ends) == len(order):
        return ()
    bounds = zip(starts, ends, steps.flat, strict=True)
    told = dict[int, Origin]()
    for axis, (start, end, step) in zip(order, bounds, strict=True):
        use = f"slice from {start} to {end} by {step}"
        first = d.as_long(use, f"{d.node.output[0]} along {axis}", d.type(0).shape[axis])
        told[axis] = Element(f"{use} of {first}", 0)
    return [told[axis] for axis in along.axes]


def _taken(d: Decision) -> list[int]:
    """Of each dimension of what is sliced, how many elements are taken at most."""
    old = d.type(0).shape
    numbers = [d.known(i) for i in range(1, 5)]
    if any(each is None and d.has(i) for i, each in enumerate(numbers, start=1)):
        return _taken_of_one(d, numbers[2], numbers[3])
    starts, ends, axes, steps = (None if n is None else n.reshape(-1).tolist() for n in numbers)
    most = list(old)
    for i, (start, end) in enumerate(zip(starts or (), ends or (), strict=True)):
        axis = d.axis(axes[i], len(old)) if axes else i
        step = steps[i] if steps else 1
        # As ONNX has it, the end of a slice that goes back is below 0 where it takes the first.
        last = end if step > 0 or end >= -old[axis] else None
        most[axis] = len(range(old[axis])[start:last:step])
    return most


def _taken_of_one(d: Decision, axes: Array | None, steps: Array | None) -> list[int]:
    """The same where start and end of one axis are computed."""
    most = list(d.type(0).shape)
    is_known = all(each is not None or not d.has(i) for i, each in ((3, axes), (4, steps)))
    forth = steps is None or int(steps.reshape(-1)[0]) > 0
    apart = d.between(1, 2) if d.type(1).size == 1 and is_known and forth else None
    if apart is not None:
        axis = d.axis(int(axes.reshape(-1)[0]) if axes is not None else 0, len(most))
        most[axis] = min(most[axis], apart)
    return most


class _Axes:
    """The dimensions that an operand names: all, where these are computed at run time."""

    def __init__(self, d: Decision, index: int, count: int) -> None:
        self._d, self._rank = d, len(d.type(0).shape)
        self._match: str | None = None
        known, e = d.known(index), d.spelled
        self._order = list(range(count))
        if known is not None:
            self._order = [d.axis(int(a), self._rank) for a in known.reshape(-1)]
            if len(set(self._order)) < count:
                raise ModelError(f"{d.label}: its axes {self._order} hold one twice")
        elif d.has(index):
            self._match = matches(d, index, self._rank)
            d.expect(e.total(self._match, 1), [1] * count, "its axes are dimensions so often:")
            twice = e("ReduceMax", e.total(self._match, 0), keepdims=0)
            d.expect(twice, _number(1), "a dimension is one of its axes so often:")
        self.axes = range(self._rank) if self._match is not None else sorted(self._order)

    @property
    def order(self) -> Sequence[int]:
        """As they are named; of none where a run computes them."""
        return self._order if self._match is None else ()

    def spread(self, numbers: str, default: int) -> str:
        """Those of the axes, and one for all other dimensions."""
        e, others = self._d.spelled, [default] * self._rank
        if self._match is None:
            places = {axis: self._rank + i for i, axis in enumerate(self._order)}
            found = [places.get(i, i) for i in range(self._rank)]
            return e("Gather", e("Concat", others, numbers, axis=0), found, axis=0)
        column = e("Reshape", numbers, [-1, 1])
        chosen = e.total(e("Mul", self._match, column), 0)
        return e("Where", e("Greater", e.total(self._match, 0), 0), chosen, others)


def _from_start(d: Decision, places: str, sizes: str) -> str:
    """Places that are counted from the end below 0, kept within bounds."""
    e = d.spelled
    some = e.clipped(places, -MOST, MOST)
    return e("Where", e("Less", some, 0), e("Add", some, sizes), some)


def _gather(
    d: Decision,
    counts: str,
    start: str,
    step: str,
    axes: Sequence[int],
    most: Sequence[int],
    told: Sequence[Origin],
) -> None:
    """``most``: of each dimension, how many elements are taken at most; ``told``: of each of the
    axes, what tells that."""
    old = d.type(0).shape
    declared = d.declared(len(old))
    counted = d.spelled("Gather", counts, list(axes), axis=0)
    wanted = [declared[axis] for axis in axes]
    says = "it takes so many elements:"
    sizes = d.settle(counted, wanted, [most[axis] for axis in axes], says, told)
    d.sure(size.found for size in sizes)
    e = d.spelled
    last = e("Sub", d.sizes(old), 1)
    numbers = [[e.element(each, axis) for axis in axes] for each in (start, step, last)]
    d.apart(*(name for row in numbers for name in row))
    each = [
        e.clipped(e("Add", e("Mul", d.counting(size), by), first), 0, end)
        for size, first, by, end in zip(sizes, *numbers, strict=True)
    ]
    x = "input 0"
    for axis, places in zip(axes, d.apart(*each), strict=True):
        (x,) = d.apart(e("Gather", x, places, axis=axis))
    d.give(x)


def split(d: Decision) -> None:
    """One piece after the other, along an axis."""
    old, e, pieces = d.type(0).shape, d.spelled, len(d.node.output)
    axis = d.axis(int(d.attrs.get("axis", 0)), len(old))
    if d.type(1).size != pieces:
        raise ModelError(f"{d.label}: it has {pieces} results, but {d.type(1).size} sizes")
    length = d.sizes([old[axis]])
    given = e.clipped(d.numbers(1), -1, e("Add", length, 1))
    wanted = [d.declared(len(old), i)[axis] if old[axis] else 0 for i in range(pieces)]
    whole = e.total(given, 0)
    d.expect(whole, _number(old[axis]), "the sum of its sizes is")
    sizes = d.settle(given, wanted, [old[axis]] * pieces, "its sizes are")
    before = np.tri(pieces, k=-1, dtype=np.int64)
    start = e.total(e("Mul", before, given), 1)
    firsts = d.apart(*(e.element(start, i) for i in range(pieces)))
    (last,) = d.apart(e("Sub", length, 1))
    each = [
        e.clipped(e("Add", d.counting(size), first), 0, last)
        for size, first in zip(sizes, firsts, strict=True)
    ]
    d.give(*(e("Gather", "input 0", places, axis=axis) for places in d.apart(*each)))


def top(d: Decision) -> None:
    """``TopK``: the beginning of all, in their order."""
    old, e = d.type(0).shape, d.spelled
    axis = d.axis(int(d.attrs.get("axis", -1)), len(old))
    if d.type(1).size != 1:
        raise ModelError(f"{d.label}: it has {d.type(1).size} numbers of elements")
    wanted = d.declared(len(old))[axis]
    says = "the number of its elements is"
    (count,) = d.settle(d.numbers(1), [wanted], [old[axis]], says, d.origins(1))
    if not count.found:
        d.straight({1: [count.number]})
        return
    largest = int(d.attrs.get("largest", 1))
    every = d.apart(*e.results(2, "TopK", "input 0", [old[axis]], axis=axis, largest=largest))
    d.give(*(e("Gather", each, d.counting(count), axis=axis) for each in every))


def counted(d: Decision) -> None:
    """``Range``: from a start on, in steps, as many as there are before a limit."""
    kind, e = d.type(0), d.spelled
    if any(d.type(i).size != 1 for i in range(3)):
        raise ModelError(f"{d.label}: its bounds are not single numbers")
    start, limit, delta = (e("Reshape", f"input {i}", [1]) for i in range(3))
    zero = e.cast([0], kind.dtype)
    is_none = e.cast(e("Equal", delta, zero), "int64")
    d.expect(is_none, [0], "the number of its steps that are 0 is")
    count = _count_of_floats if kind.element.is_float else _count_of_integers
    begin, by = d.known(0), d.known(2)
    counts = begin is not None and by is not None and (begin.item(), by.item()) == (0, 1)
    length, says = count(d, start, limit, delta), "its length is"
    most = d.between(0, 1) if by is not None and by.item() == 1 else None
    (size,) = d.settle(length, d.declared(1), [most], says, d.origins(1) if counts else ())
    steps = e.cast(d.counting(size), kind.dtype)
    d.give(e("Add", e("Mul", steps, delta), start))


def _count_of_integers(d: Decision, *bounds: str) -> str:
    """-1 where it is none that fits int64."""
    e = d.spelled
    start, limit, delta = (e.cast(each, "int64") for each in bounds)
    floats = [e.cast(each, "float64") for each in (start, limit)]
    far = e("Greater", e("Abs", e("Sub", floats[1], floats[0])), np.array(2.0**62))
    forth = e("Greater", delta, 0)
    size = e("Where", forth, e.clipped(delta, 1, MOST), e("Neg", e.clipped(delta, -MOST, -1)))
    length = e("Where", far, 0, e("Sub", limit, start))
    length = e("Where", forth, length, e("Neg", length))
    count = e("Max", e("Div", e("Sub", e("Add", length, size), 1), size), 0)
    return e("Where", far, -1, count)


def _count_of_floats(d: Decision, start: str, limit: str, delta: str) -> str:
    """-1 where it is none that a size can be, as of NaN."""
    e = d.spelled
    length = e.cast(e("Sub", limit, start), "float64")
    count = e("Max", e("Ceil", e("Div", length, e.cast(delta, "float64"))), np.array(0.0))
    fits = e("LessOrEqual", count, np.array(float(MOST)))
    return e("Where", fits, e.cast(e("Where", fits, count, np.array(0.0)), "int64"), -1)


def pad(d: Decision) -> None:
    """What comes before and after each dimension is a number, or is read at places inside."""
    old, e = d.type(0).shape, d.spelled
    rank, count = len(old), d.type(1).size // 2
    mode = d.attrs.get("mode", b"constant").decode()
    given = d.type(3).size if d.has(3) else rank
    if d.type(1).size != 2 * given or count > rank or mode not in ("constant", *_PLACES):
        raise ModelError(f"{d.label}: it pads by {d.type(1)} in the mode '{mode}'")
    known = d.known(1) if not d.has(3) or d.known(3) is not None else None
    if known is None:
        widths = e.clipped(d.numbers(1), -MOST, MOST)
    else:
        widths = d.sizes(known.reshape(-1).tolist(), "widths")
    if mode != "constant":
        least = e("Min", e("ReduceMin", widths, keepdims=0), 0)
        d.expect(least, _number(0), "the least of its widths is below 0:")
    along = _Axes(d, 3, count)
    before, after = (
        along.spread(e("Gather", widths, list(range(i, i + count)), axis=0), 0) for i in (0, count)
    )
    own = d.sizes(old)
    dims = e("Gather", e("Add", e("Add", before, after), own), list(along.axes), axis=0)
    declared = d.declared(rank) if known is None else _padded(d, known)
    wanted = [declared[axis] for axis in along.axes]
    sizes = d.settle(dims, wanted, [None] * len(wanted), "it gives so many elements:")
    firsts = d.apart(*(e.element(before, axis) for axis in along.axes))
    lengths = d.apart(*(e.element(own, axis) for axis in along.axes))
    starts = zip(sizes, firsts, strict=True)
    each = d.apart(*(e("Sub", d.counting(size), first) for size, first in starts))
    pairs = list(zip(along.axes, each, lengths, strict=True))
    if mode == "constant":
        d.give(_filled(d, pairs, [size.number for size in sizes]))
        return
    x, ends = "input 0", [_ends(d, length) for length in lengths]
    inner = d.apart(*(_PLACES[mode](d, p, *end) for p, end in zip(each, ends, strict=True)))
    for axis, places in zip(along.axes, inner, strict=True):
        (x,) = d.apart(e("Gather", x, places, axis=axis))
    d.give(x)


def _padded(d: Decision, widths: Array) -> Dims:
    """The shape of the result of known widths, along known axes."""
    shape, axes = list(d.type(0).shape), d.known(3)
    order = range(len(shape)) if axes is None else axes.flat
    for axis, before, after in zip(order, *widths.reshape(2, -1), strict=True):
        shape[d.axis(int(axis), len(shape))] += int(before) + int(after)
    return shape


def _filled(d: Decision, pairs: Sequence[tuple[int, str, str]], sizes: Sequence[int]) -> str:
    """Places along axes of some lengths, and a number at those that are outside: what is looked up
    has it after the last, so that nothing may be padded, too.
    """
    e, x, shape = d.spelled, "input 0", list(d.type(0).shape)
    fill = e("Reshape", "input 2", np.zeros(0, np.int64)) if d.has(2) else _zero(d)
    for (axis, places, length), size in zip(pairs, sizes, strict=True):
        inside = e("And", e("GreaterOrEqual", places, 0), e("Less", places, length))
        (looked_up,) = d.apart(e("Where", inside, places, length))
        shape[axis] = 1
        (row,) = d.apart(e("Expand", fill, shape))
        (whole,) = d.apart(e("Concat", x, row, axis=axis))
        (x,) = d.apart(e("Gather", whole, looked_up, axis=axis))
        shape[axis] = size
    return x


def _zero(d: Decision) -> str:
    return d.spelled.name(np.zeros((), d.type(0).dtype))


def _ends(d: Decision, length: str) -> tuple[str, str, str]:
    """A length, the last place, and after how many a reflection is where it was."""
    last = d.spelled("Sub", length, 1)
    period = d.spelled("Max", d.spelled("Mul", last, 2), 1)
    d.apart(last, period)
    return length, last, period


def _clamped(d: Decision, places: str, length: str, last: str, period: str) -> str:
    return d.spelled.clipped(places, 0, last)


def _reflected(d: Decision, places: str, length: str, last: str, period: str) -> str:
    """There and back again, without the ends twice."""
    turn = d.spelled("Mod", places, period)
    return d.spelled.clipped(d.spelled("Min", turn, d.spelled("Sub", period, turn)), 0, last)


def _wrapped(d: Decision, places: str, length: str, last: str, period: str) -> str:
    return d.spelled("Mod", places, length)


_PLACES = {"edge": _clamped, "reflect": _reflected, "wrap": _wrapped}


def _number(number: int) -> Array:
    return np.array(number, np.int64)
