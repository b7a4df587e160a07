"""Operators whose results' shapes are among their operands, or follow from these."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from luthier.schedules import ModelError

from .decision import MOST, Count, Decision
from .declared import Dims
from .origins import Origin
from .spelled import Term

_SHAPE = "its result has the shape"
_MOST_CHOICES = 4096  # of axes, before any is compared with the shape
_NOTHING = np.zeros(0, np.int64)


def reshape(d: Decision) -> None:
    """0 keeps a size, unless ``allowzero``; -1 is what is left."""
    old = d.type(0).shape
    rank, e, given = d.type(1).size, d.spelled, d.numbers(1)
    dims = given
    if not d.attrs.get("allowzero", 0):
        kept = d.sizes([*old, *[0] * rank][:rank])
        dims = e("Where", e("Equal", given, 0), kept, given)
    _to_dims(d, dims, d.declared(rank), d.origins(1))


def _to_dims(
    d: Decision, dims: Term, declared: Dims, origins: Sequence[Origin | None] = ()
) -> None:
    """The first input's elements, in a shape of which -1 is what is left."""
    e, total = d.spelled, d.type(0).size
    rest = e("Equal", dims, -1)
    missing = [i for i, size in enumerate(declared) if size is None]
    if len(missing) > 1:
        _reshaped(d, dims, rest, declared, origins)
        return
    known = math.prod(size for size in declared if size is not None)
    whole = [total // max(known, 1) if size is None else size for size in declared]
    if math.prod(whole) != total:
        old = list(d.type(0).shape)
        raise ModelError(f"{d.label}: {old} does not reshape to {whole}, as is declared")
    one = e("LessOrEqual", e.total(e.cast(rest, "int64"), 0), 1)
    d.expect(e("Where", e("And", rest, one), d.sizes(whole, "result"), dims), whole, _SHAPE)
    d.give(e("Reshape", "input 0", whole, allowzero=1))


def _reshaped(
    d: Decision, dims: Term, rest: Term, declared: Dims, origins: Sequence[Origin | None]
) -> None:
    """To dimensions of which several are found: each element is read where it lies."""
    total, rank, e = d.type(0).size, len(declared), d.spelled
    every = d.sizes([total], "elements")
    beyond = e("Add", every, 1)
    others = e.clipped(e("Where", rest, 1, dims), -1, beyond)
    left = e("Div", every, e("Max", _product(d, others, rank, beyond), 1))
    dims = e("Where", rest, left, dims)
    known = math.prod(size for size in declared if size is not None)
    sizes = d.settle(dims, declared, [total // max(known, 1)] * rank, _SHAPE, origins)
    d.expect(_product(d, dims, rank, beyond), [total], "the elements of its result are")
    steps = [e.name([1])]
    for i in reversed(range(1, rank)):
        steps.insert(0, e("Mul", steps[0], e.element(dims, i)))
    pairs = zip(sizes, d.apart(*steps), strict=True)
    along = d.apart(*(e("Mul", d.counting(size), step) for size, step in pairs))
    place, whole = e.name([0]), [size.number for size in sizes]
    for i, numbers in enumerate(along):
        row = e("Reshape", numbers, [-1, *[1] * (rank - 1 - i)])
        place = e("Add", place, e("Expand", row, whole))
    flat, (last,) = e("Reshape", "input 0", [-1]), d.apart(e("Sub", every, 1))
    d.give(e("Gather", flat, *d.apart(e.clipped(place, 0, last)), axis=0))


def _product(d: Decision, dims: Term, rank: int, most: str) -> str:
    """Of numbers; what is larger than ``most`` is that."""
    e = d.spelled
    product = e("Min", e.element(dims, 0), most)
    for i in range(1, rank):
        product = e("Min", e("Mul", product, e("Min", e.element(dims, i), most)), most)
    return product


def expand(d: Decision) -> None:
    """To what NumPy broadcasts the shape and the given one to."""
    e, count = d.spelled, d.type(1).size
    rank = max(count, len(d.type(0).shape))
    old = [1] * (rank - len(d.type(0).shape)) + list(d.type(0).shape)
    given = d.numbers(1)
    if count < rank:
        given = e("Concat", [1] * (rank - count), given, axis=0)
    dims = e("Where", e("Equal", given, 1), d.sizes(old), given)
    wanted = [
        size if declared is None and size > 1 else declared
        for size, declared in zip(old, d.declared(rank), strict=True)
    ]
    origins = [None] * (rank - count) + [*d.origins(1)]
    d.straight({1: _sizes(d.settle(dims, wanted, [None] * rank, _SHAPE, origins))})


def tile(d: Decision) -> None:
    """Each dimension is repeated."""
    old = d.type(0).shape
    if d.type(1).size != len(old):
        raise ModelError(f"{d.label}: it repeats {d.type(1).size} of {len(old)} dimensions")
    wanted = [
        None if declared is None else declared // size
        for size, declared in zip(old, d.declared(len(old)), strict=True)
    ]
    says = "it repeats each dimension"
    times = d.settle(d.numbers(1), wanted, [None] * len(old), says, d.origins(1))
    d.straight({1: _sizes(times)})


def constant_of_shape(d: Decision) -> None:
    """The operand is the shape."""
    rank = d.type(0).size
    shape = d.settle(d.numbers(0), d.declared(rank), [None] * rank, _SHAPE, d.origins(0))
    d.straight({0: _sizes(shape)})


def one_hot(d: Decision) -> None:
    """The depth is a dimension of the result."""
    if d.known(1) is None and d.type(1).size != 1:
        raise ModelError(f"{d.label}: its depth is {d.type(1)}")
    rank = len(d.type(0).shape) + 1
    axis = d.axis(int(d.attrs.get("axis", -1)), rank)
    wanted = [d.declared(rank)[axis]]
    (depth,) = d.settle(d.numbers(1), wanted, [None], "its depth is", d.origins(1))
    d.straight({1: np.array(depth.number, d.type(1).dtype).reshape(d.type(1).shape)})


def _sizes(counts: Sequence[Count]) -> Term:
    return _vector([count.number for count in counts])


def _vector(numbers: Sequence[int]) -> Term:
    return np.array(numbers, np.int64)


# Axes, each of which is one of a few.


def squeeze(d: Decision) -> None:
    """Which dimensions of one element go does not matter but for their places."""
    old, count = d.type(0).shape, d.type(1).size
    rank, e = len(old) - count, d.spelled
    declared, left = d.declared(rank), [size for size in old if size != 1]
    gone = _mask(d, 1, len(old))
    sizes = d.sizes(old)
    ones = e("Where", e("Equal", gone, 1), sizes, 1)
    d.expect(ones, [1] * len(old), "its axes are of sizes, with 1 for all others,")
    kept = e("Sub", 1, gone)
    before = e("Sub", e("CumSum", kept, 0), 1)
    dims = _placed(d, before, kept, sizes, rank)
    _to_dims(d, dims, left if len(left) == rank and None in declared else declared)


def unsqueeze(d: Decision) -> None:
    """Dimensions of one element come in between."""
    old, count = d.type(0).shape, d.type(1).size
    rank, e = len(old) + count, d.spelled
    declared = d.declared(rank)
    ones = _mask(d, 1, rank)
    kept = e("Sub", 1, ones)
    before = e.clipped(e("Sub", e("CumSum", kept, 0), 1), 0, max(len(old) - 1, 0))
    dims = e("Gather", d.sizes(old or [1]), before, axis=0)
    _to_dims(d, e("Where", e("Equal", ones, 1), 1, dims), declared)


def _placed(d: Decision, places: Term, counts: Term, numbers: Term, length: int) -> str:
    """A vector of numbers at places, where they count."""
    e, here = d.spelled, np.arange(length).reshape(-1, 1)
    match = e.cast(e("Equal", places, here), "int64")
    return e.total(e("Mul", e("Mul", match, counts), numbers), 1)


def _mask(d: Decision, index: int, rank: int) -> str:
    """1 for each dimension that is an axis, else 0; an axis that is none, or twice, ends a run."""
    e, count = d.spelled, d.type(index).size
    match = matches(d, index, rank)
    mask = e.total(match, 0)
    d.expect(e("Max", mask, 1), [1] * rank, "each dimension is an axis so often, once or not:")
    d.expect(e.total(match, 1), [1] * count, f"of {rank} dimensions its axes are so many each:")
    return mask


def matches(d: Decision, index: int, rank: int) -> str:
    """For each axis of an input a row, which has 1 for its dimension, else 0."""
    e, given = d.spelled, d.numbers(index)
    axes = e("Where", e("Less", given, 0), e("Add", e.clipped(given, -MOST, MOST), rank), given)
    column = e("Reshape", axes, [d.type(index).size, 1])
    return e.cast(e("Equal", column, np.arange(rank)), "int64")


def reduce(d: Decision) -> None:
    """Of which dimensions, the shape of the result tells, up to those of one element."""
    old, keeps = d.type(0).shape, int(d.attrs.get("keepdims", 1)) == 1
    count = d.type(1).size
    if not count:
        d.straight({1: np.zeros(0, np.int64)})
        return
    declared = d.declared(len(old) if keeps else len(old) - count)
    if count > len(old) or math.comb(len(old), count) > _MOST_CHOICES:
        raise d.unsupported(f"to reduce {len(old)} dimensions along {count} axes of run time")
    if None in declared:
        _reduced_along_any(d, count)
        return
    shape = [size or 0 for size in declared]
    choices = _reduced(old, shape, keeps=keeps, count=count)
    if not choices:
        raise ModelError(f"{d.label}: {list(old)} does not reduce to {shape}, as is declared")
    e, matter = d.spelled, [int(size > 1) for size in old]
    mask = e("Mul", _mask(d, 1, len(old)), matter)
    wanted = [[int(i in axes) * n for i, n in enumerate(matter)] for axes in choices]
    each = _matches_of(d, mask, wanted)
    some = e("ReduceMax", each, keepdims=0)
    if len(choices) == 1:
        d.expect(mask, wanted[0], "whether it is along each dimension:")
    else:
        d.expect(some, np.array(1), f"whether it gives the declared shape {shape}:")
    _choose_axes(d, each, choices)


def _reduced_along_any(d: Decision, count: int) -> None:
    """How large the result is, is found."""
    rank = len(d.type(0).shape)
    choices = list(itertools.combinations(range(rank), count))
    wanted = [[int(i in axes) for i in range(rank)] for axes in choices]
    _choose_axes(d, _matches_of(d, _mask(d, 1, rank), wanted), choices)


def _matches_of(d: Decision, mask: str, wanted: Sequence[Sequence[int]]) -> str:
    """1 for each row of ``wanted`` that the mask is, else 0."""
    same = d.spelled("Equal", mask, np.array(wanted))
    return d.spelled("ReduceMin", d.spelled.cast(same, "int64"), [1], keepdims=0)


def _choose_axes(d: Decision, each: str, choices: Sequence[Sequence[int]]) -> None:
    e = d.spelled
    picks = [
        e("Reshape", e.cast(e.element(each, i), "bool"), _NOTHING) for i in range(len(choices) - 1)
    ]
    d.choose(picks, [{1: _vector(axes)} for axes in choices])


def _reduced(
    old: Sequence[int], new: Sequence[int], *, keeps: bool, count: int
) -> list[tuple[int, ...]]:
    """Axes that a reduction of these shapes may be along; those of one element do not matter."""
    found = {}
    for axes in itertools.combinations(range(len(old)), count):
        left = [1 if i in axes else size for i, size in enumerate(old) if keeps or i not in axes]
        if left == list(new):
            found[tuple(i for i in axes if old[i] > 1)] = axes
    return list(found.values())


def cumulative(d: Decision) -> None:
    """Along any of the dimensions: each is a variant."""
    rank = len(d.type(0).shape)
    if d.type(1).size != 1 or not rank:
        raise ModelError(f"{d.label}: its axis is {d.type(1)}, of {rank} dimensions")
    e, match = d.spelled, matches(d, 1, rank)
    d.expect(e.total(match, 1), [1], f"whether its axis is one of {rank} dimensions:")
    flags = e.cast(e("Reshape", match, [rank]), "bool")
    picks = [e("Reshape", e.element(flags, i), _NOTHING) for i in range(rank - 1)]
    d.choose(picks, [{1: np.array(i, np.int64)} for i in range(rank)])


# Operators that the standard spells by others, which are decided before they are.


def cropped(d: Decision) -> None:
    """``CenterCropPad``: the operand has sizes of the result."""
    rank = len(d.type(0).shape)
    axes = [d.axis(int(a), rank) for a in d.attrs.get("axes", range(rank))]
    if d.type(1).size != len(axes):
        raise ModelError(f"{d.label}: it has {d.type(1).size} sizes of {len(axes)} dimensions")
    declared = d.declared(rank)
    wanted = [declared[axis] for axis in axes]
    sizes = d.settle(d.numbers(1), wanted, [None] * len(axes), "its sizes are", d.origins(1))
    d.straight({1: _sizes(sizes)})


def window(d: Decision) -> None:
    """The operand is how long it is."""
    if d.type(0).size != 1:
        raise ModelError(f"{d.label}: its size is {d.type(0)}")
    (size,) = d.settle(d.numbers(0), d.declared(1), [None], "its size is", d.origins(0))
    d.straight({0: np.array(size.number, d.type(0).dtype).reshape(d.type(0).shape)})
