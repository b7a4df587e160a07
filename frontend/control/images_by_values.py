"""Images put together of blocks and of maxima, and grids of places in them, of which values say how
large they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from luthier.schedules import ModelError

from ..composites.window import Window
from .decision import MOST, Count, Decision
from .spelled import Term

_MOST_CHOICES = 4096  # of blocks' sizes, before any is compared with the image
_NOTHING = np.zeros(0, np.int64)


def of_columns(d: Decision) -> None:
    """``Col2Im``: the declared shape is the image's, and leaves few sizes of blocks."""
    count = d.type(1).size
    if len(d.type(0).shape) != 3 or not count or d.type(2).size != count:
        raise ModelError(
            f"{d.label}: its blocks are {d.type(0)}, in an image of {d.type(1)} by {d.type(2)}"
        )
    declared = d.declared(2 + count)
    known = d.known(1)
    image = declared[2:] if known is None else [int(n) for n in known.reshape(-1)]
    if None in image:
        raise d.unsupported("an image as large as a run is told, but for a shape that is declared,")
    sizes = [size or 0 for size in image]
    e, ways = d.spelled, list(_blocks(d, sizes, declared[1]))
    if not ways:
        raise ModelError(f"{d.label}: no blocks {list(d.type(0).shape)} are those of {sizes}")
    if len({math.prod(way) for way in ways}) > 1:
        raise d.unsupported("blocks as large as a run is told, but for channels that are declared,")
    if known is None:
        d.expect(d.numbers(1), sizes, "its image has the shape")
    numbers: list[dict[int, Term]] = [
        {1: np.array(sizes, np.int64), 2: np.array(way, np.int64)} for way in ways
    ]
    if not d.open(2):
        d.straight(numbers[0])
    elif len(ways) == 1:
        d.expect(d.numbers(2), ways[0], "its blocks have the shape")
        d.straight(numbers[0])
    else:
        same = e.cast(e("Equal", d.numbers(2), np.array(ways, np.int64)), "int64")
        each = e("ReduceMin", same, [1], keepdims=0)
        text = " or ".join(str(list(way)) for way in ways)
        d.expect(e("ReduceMax", each, keepdims=0), np.array(1), f"whether its blocks are {text}:")
        picks = [
            e("Reshape", e.cast(e.element(each, i), "bool"), _NOTHING) for i in range(len(ways) - 1)
        ]
        d.choose(picks, numbers)


def _blocks(d: Decision, sizes: Sequence[int], channels: int | None) -> Iterator[tuple[int, ...]]:
    """The sizes of blocks that there may be so many of in an image."""
    count, (_, given, places) = len(sizes), d.type(0).shape
    strides, dilations = (
        tuple(d.attrs.get(name) or (1,) * count) for name in ("strides", "dilations")
    )
    pads = tuple(d.attrs.get("pads") or (0,) * (2 * count))
    short = len(strides) != count or len(dilations) != count or len(pads) != 2 * count
    if short or min((*strides, *dilations)) < 1 or min(pads) < 0 or min(sizes) < 1:
        raise d.unsupported(f"an image of {list(sizes)} of these blocks")
    if channels is not None and (channels < 1 or given % channels):
        return
    known = d.known(2)
    products = [given // channels] if channels else _divisors(given)
    every = (way for product in products for way in _factors(product, count))
    some = every if known is None else iter([tuple(int(n) for n in known.reshape(-1))])
    for number, way in enumerate(some):
        if number > _MOST_CHOICES:
            raise d.unsupported(f"blocks of {given} numbers as large as a run is told")
        if min(way) < 1 or math.prod(way) not in products:
            continue
        found = Window(way, strides, dilations, pads).places(sizes)
        if min(found) > 0 and math.prod(found) == places:
            yield way


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def _factors(product: int, count: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a number as so many factors."""
    if count == 1:
        yield (product,)
        return
    for first in _divisors(product):
        for rest in _factors(product // first, count - 1):
            yield (first, *rest)


def unpooled(d: Decision) -> None:
    """``MaxUnpool``: what comes after the image that was pooled is 0, however much that is."""
    rank = len(d.type(0).shape)
    if d.type(2).size != rank:
        raise ModelError(f"{d.label}: its output shape is {d.type(2)}, of {rank} dimensions")
    declared, e = d.declared(rank), d.spelled
    if None not in declared:
        shape = [size or 0 for size in declared]
        d.expect(d.numbers(2), shape, "its result has the shape")
        d.straight({2: np.array(shape, np.int64)})
        return
    attrs = {n: v for n, v in d.attrs.items() if n in ("kernel_shape", "pads", "strides")}
    (inner,) = d.apart(e("MaxUnpool", "input 0", "input 1", **attrs))
    own = d.type_of(inner).shape
    dims = e.clipped(d.numbers(2), -1, MOST)
    within = e.cast(e("Less", dims, list(own)), "int64")
    d.expect(within, [0] * rank, f"whether each dimension of its result is below {list(own)}:")
    wanted = [*own[:2], *declared[2:]]
    sizes = d.settle(dims, wanted, [None] * rank, "its result has the shape")[2:]
    lengths = (e.name([length]) for length in own[2:])
    pairs = [(d.counting(size), length) for size, length in zip(sizes, lengths, strict=True)]
    d.apart(*(name for pair in pairs for name in pair))
    y = inner
    for axis, (places, length) in enumerate(pairs, start=2):
        (inside,) = d.apart(e.clipped(places, 0, e("Sub", length, 1)))
        (y,) = d.apart(e("Gather", y, inside, axis=axis))
    zero = e.name(np.zeros((), d.type(0).dtype))
    d.give(_filled(d, y, range(2, rank), pairs, zero))


def affine_grid(d: Decision) -> None:
    """Of an image's sizes all but the channels are the grid's: places from -1 to 1 along each
    dimension, the last one first, of which each transformation makes others."""
    count, theta = d.type(1).size, d.type(0)
    if count not in (4, 5) or theta.shape[1:] != (count - 2, count - 1):
        raise ModelError(f"{d.label}: its sizes are {d.type(1)}, its transformations {theta}")
    batch, *places, _ = d.declared(count)
    e, own = d.spelled, [0, *range(2, count)]
    given = e("Gather", d.numbers(1), own, axis=0)
    if batch not in (None, theta.shape[0]):
        raise ModelError(f"{d.label}: {theta} is not of {batch} images, as is declared")
    wanted = [theta.shape[0], *places]
    told = d.origins(1)
    origins = [told[i] for i in own] if told else ()
    _, *sizes = d.settle(given, wanted, [None] * (count - 1), "its sizes are", origins)
    shape = [theta.shape[0], *[1] * (count - 2), count - 2]
    total = e("Reshape", e("Gather", "input 0", [count - 2], axis=2), shape)
    for i, size in enumerate(reversed(sizes)):
        length = e.cast(e.element(given, len(sizes) - i), theta.dtype)
        along = _from_minus_one(d, size, length, alone=i == 2)
        (along,) = d.apart(e("Reshape", along, [-1, *[1] * (i + 1)]))
        column = e("Reshape", e("Gather", "input 0", [i], axis=2), shape)
        (product,) = d.apart(e("Mul", column, along))
        (total,) = d.apart(e("Add", total, product))
    d.give(total)


def _from_minus_one(d: Decision, size: Count, length: str, *, alone: bool) -> str:
    """As the standard spells it: the middles of elements, or from corner to corner, where one that
    is ``alone`` is at the first one, if that may be."""
    e, kind = d.spelled, d.type(0).dtype
    zero, one, two = (np.array(n, kind) for n in (0, 1, 2))
    x = e.cast(d.counting(size), kind)
    if not d.attrs.get("align_corners", 0):
        step = e("Div", two, length)
        return e("Add", e("Mul", x, step), e("Sub", e("Div", step, two), one))
    step = e("Div", two, e("Sub", length, one))
    if alone:
        step = e("Where", e("Equal", length, one), zero, step)
    return e("Sub", e("Mul", x, step), one)


def _filled(
    d: Decision, x: str, axes: Sequence[int], pairs: Sequence[tuple[str, str]], fill: str
) -> str:
    """With another number at places that are outside of one of the dimensions, by their lengths."""
    e, rank, inside = d.spelled, len(d.type(0).shape), ""
    there = d.apart(
        *(
            e("And", e("GreaterOrEqual", places, 0), e("Less", places, length))
            for places, length in pairs
        )
    )
    for axis, flags in zip(axes, there, strict=True):
        shaped = e("Reshape", flags, [-1, *[1] * (rank - 1 - axis)])
        inside = e("And", inside, shaped) if inside else shaped
    return e("Where", inside, x, fill)
