"""Graphs over what a run finds: what a mask chooses, the best so many, loops that run so often."""

from __future__ import annotations

import numpy as np

from .draft import MOST_RANK, Draft, Growth, UnfitError
from .idioms import Idiom, axes_of, one

_MOST_TIMES = 9
_COMPUTED = ("float32", "float32", "int64", "float64", "int32")


def _mask(g: Growth, x: str, rows: bool) -> str:
    """Of the elements of a value, or of its rows: given, or what is above a number."""
    shape = g.shape(x)[:1] if rows else g.shape(x)
    if g.chance(0.5) or g.dtype(x) not in ("float32", "float64"):
        return g.new("bool", shape, constant=0.0)
    limit = g.known(g.pick((-0.5, 0.0, 0.5)), g.dtype(x))
    if rows and len(g.shape(x)) > 1:
        x = axes_of(g, "ReduceMax", x, [*range(1, len(g.shape(x)))], keepdims=0)
    return one(g, "Greater", x, limit)


def _some_rows(g: Growth) -> str:
    """Rows of a value that a mask chooses, in one of the ways in which exporters write that."""
    x = g.any(_COMPUTED, 1, 4)
    mask = _mask(g, x, rows=True)
    if g.chance(0.4):
        return one(g, "Compress", x, mask, axis=0)
    places = one(g, "NonZero", mask)
    if g.opset >= 11 and g.chance(0.3):
        return one(g, "GatherND", x, one(g, "Transpose", places, perm=[1, 0]))
    return one(g, "Gather", x, _squeezed(g, places), axis=0)


def _squeezed(g: Growth, places: str) -> str:
    if g.opset < 13:
        return one(g, "Squeeze", places, axes=[0])
    return one(g, "Squeeze", places, g.known([0], "int64"))


def _number(g: Growth, some: str) -> str:
    """How many rows there are, a list of one; or a number that follows from it."""
    count = one(g, "Gather", one(g, "Shape", some), g.known([0], "int64"), axis=0)
    kind = g.pick(("as it is", "as it is", "at most", "more", "twice"))
    if kind == "at most" and g.opset >= 12:
        return one(g, "Min", count, g.known([g.rng.randint(1, 6)], "int64"))
    if kind == "more":
        return one(g, "Add", count, g.known([g.rng.randint(1, 3)], "int64"))
    return one(g, "Mul", count, g.known([2], "int64")) if kind == "twice" else count


def _alone(g: Growth, number: str) -> str:
    return one(g, "Reshape", number, g.known(np.zeros(0), "int64"))


def rows(g: Growth) -> None:
    """Rows that a mask chooses, and a sum over them beside each."""
    some = _some_rows(g)
    if g.chance(0.5):
        total = axes_of(g, g.pick(("ReduceSum", "ReduceMax")), some, [0], keepdims=1)
        one(g, g.pick(("Add", "Sub", "Mul")), some, total)


def elements(g: Growth) -> None:
    """Those of a tensor that a mask chooses, and the tensor with others in their places."""
    x = g.any(_COMPUTED, 1, 4)
    mask = _mask(g, x, rows=False)
    places = one(g, "Transpose", one(g, "NonZero", mask), perm=[1, 0])
    if g.opset < 12:
        raise UnfitError
    some = one(g, "GatherND", x, places)
    if g.chance(0.6):
        one(g, "ScatterND", x, places, one(g, g.pick(("Neg", "Abs")), some))


def distinct(g: Growth) -> None:
    """Distinct numbers, and what each element is among them."""
    if g.opset < 11:
        raise UnfitError
    x = g.any(("float32", "int64"), 1, 3)
    values, _, inverse, times = g.add(Draft("Unique", [x], {"sorted": g.pick((0, 1))}, 4))
    if g.chance(0.5):
        one(g, "Gather", values, inverse, axis=0)
    one(g, "Mul", values, one(g, "Cast", times, to=1 if g.dtype(x) == "float32" else 7))


def best(g: Growth) -> None:
    """The best so many, where a run finds how many these are."""
    if g.opset < 11:
        raise UnfitError
    some = _some_rows(g) if g.chance(0.6) else g.any(("float32", "int64"), 1, 3)
    number = _number(g, _some_rows(g))
    size = one(g, "Gather", one(g, "Shape", some), g.known([0], "int64"), axis=0)
    if g.opset < 12:
        raise UnfitError
    most = one(g, "Min", number, size)
    g.add(Draft("TopK", [some, most], {"axis": 0, "largest": g.pick((0, 1))}, 2))


def counted(g: Growth) -> None:
    """What is as large as a number that follows from what is found."""
    some = _some_rows(g)
    number = _number(g, some)
    kind = g.pick(("range", "filled", "spread", "tiled", "cut", "padded"))
    if kind == "range" and g.opset >= 11:
        one(g, "Range", g.known(0, "int64"), _alone(g, number), g.known(1, "int64"))
    elif kind == "filled" and g.opset >= 9:
        one(g, "ConstantOfShape", one(g, "Concat", number, g.known([3], "int64"), axis=0))
    elif kind == "spread" and g.opset >= 8:
        row = g.new("float32", (1, 3))
        one(g, "Expand", row, one(g, "Concat", number, g.known([3], "int64"), axis=0))
    elif kind == "tiled":
        one(g, "Tile", g.new("float32", (2, 3)), one(g, "Concat", number, g.known([1]), axis=0))
    elif kind == "cut" and g.opset >= 10:
        x = g.any(("float32", "int64"), 1, 4)
        one(g, "Slice", x, g.known([0], "int64"), number, g.known([0], "int64"))
    elif g.opset >= 11:
        x = g.any(("float32",), 1, 3)
        rest = g.known([0] * (2 * len(g.shape(x)) - 1), "int64")
        one(g, "Pad", x, one(g, "Concat", number, rest, axis=0))


def joined(g: Growth) -> None:
    """What is found, joined with more of it: as pieces, or as a sequence."""
    some = _some_rows(g)
    other = one(g, g.pick(("Neg", "Abs")), some)
    if g.opset >= 11 and g.chance(0.5):
        many = one(g, "SequenceConstruct", some, other, some)
        if g.chance(0.5):
            many = one(g, "SequenceErase", many, g.known(g.pick((0, 1, -1)), "int64"))
        one(g, "ConcatFromSequence", many, axis=0)
    else:
        one(g, "Concat", some, other, axis=0)


def times(g: Growth) -> None:
    """A number of iterations, for a loop that comes; and a loop over the rows."""
    some = _some_rows(g)
    number = _alone(g, _number(g, some))
    if not 0 < int(g.array(number)) <= _MOST_TIMES or len(g.shape(some)) >= MOST_RANK:
        return
    loop, scan = g.flows["Loop"], g.flows["Scan"]
    g.add(loop(g) if g.chance(0.6) else scan(g))


def asked(g: Growth) -> None:
    """A branch that asks how many there are."""
    number = _alone(g, _number(g, _some_rows(g)))
    one(g, g.pick(("Greater", "Less")), number, g.known(g.rng.randint(1, 4), "int64"))
    g.add(g.flows["If"](g))


FOUND: tuple[Idiom, ...] = (rows, elements, distinct, best, counted, joined, times, asked)
