"""Gathers and scatters by indices of the run, sorting, boxes, sums so far, any products."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.sweep.element_types import expanded, gather, joined, padded, running, sliced, tiled
from bench.sweep.point import Point, by, floats
from bench.sweep.rare import FAMILY, IMAGE, ODD, ROWS, ints, other, typed


def gather_elements(shape: Sequence[int], axis: int) -> Point:
    """An element of each row by an index of its own."""
    nodes = f"n = Constant <value_int = {shape[axis]}> () j = Mod (i, n) "
    nodes += f"y = GatherElements <axis = {axis}> (x, j)"
    inputs = {"x": typed("float", shape), "i": typed("int64", shape)}
    return other(f"GatherElements {axis} {by(*shape)}", nodes, inputs)


def gather_nd(rows: int, columns: int, width: int, taken: int) -> Point:
    """Rows of a matrix of rows."""
    nodes = ints("n", rows, columns) + "j = Mod (i, n) y = GatherND (x, j)"
    inputs = {"x": typed("float", (rows, columns, width)), "i": typed("int64", (taken, 2))}
    return other(f"GatherND {taken} of {by(rows, columns, width)}", nodes, inputs)


def scatter_elements(shape: Sequence[int], axis: int, taken: int, how: str) -> Point:
    """Elements put or added where indices say."""
    some = list(shape)
    some[axis] = taken
    nodes = f"n = Constant <value_int = {shape[axis]}> () j = Mod (i, n) "
    nodes += f'y = ScatterElements <axis = {axis}, reduction = "{how}"> (x, j, u)'
    inputs = {
        "x": typed("float", shape), "i": typed("int64", some), "u": typed("float", some),
    }  # fmt: skip
    return other(f"ScatterElements {how} {axis} {taken} of {by(*shape)}", nodes, inputs)


def scatter_nd(rows: int, width: int, taken: int, how: str) -> Point:
    """Rows put or added where indices say."""
    nodes = f"n = Constant <value_int = {rows}> () j = Mod (i, n) "
    nodes += f'y = ScatterND <reduction = "{how}"> (x, j, u)'
    inputs = {
        "x": typed("float", (rows, width)), "i": typed("int64", (taken, 1)),
        "u": typed("float", (taken, width)),
    }  # fmt: skip
    return other(f"ScatterND {how} {taken} of {by(rows, width)}", nodes, inputs)


def one_hot(count: int, depth: int, axis: int) -> Point:
    """Labels as rows."""
    nodes = f"d = Constant <value_int = {depth}> () j = Mod (i, d) "
    nodes += f"v = Constant <value_floats = [0.0, 1.0]> () y = OneHot <axis = {axis}> (j, d, v)"
    return other(f"OneHot {count} of {depth} {axis}", nodes, {"i": typed("int64", (count,))})


def top(shape: Sequence[int], axis: int, k: int, kind: str = "float", largest: int = 1) -> Point:
    """The first ones in order, over any axis."""
    nodes = ints("n", k) + f"y, i = TopK <axis = {axis}, largest = {largest}> (x, n)"
    name = f"TopK {k} {axis} {'' if largest else 'least '}of {by(*shape)} {kind}"
    return other(name, nodes, {"x": typed(kind, shape)}, kind)


def parts(shape: Sequence[int], axis: int, count: int) -> Point:
    """Several of them, added up so that each is needed."""
    names = ", ".join(f"y{number}" for number in range(count))
    nodes = f"{names} = Split <axis = {axis}, num_outputs = {count}> (x) "
    nodes += f"y = Sum ({names})"
    return other(f"Split {axis} by {count} of {by(*shape)}", nodes, {"x": typed("float", shape)})


def einsum(equation: str, *shapes: Sequence[int]) -> Point:
    """Any product of tensors."""
    names = [f"x{number}" for number in range(len(shapes))]
    nodes = f'y = Einsum <equation = "{equation}"> ({", ".join(names)})'
    inputs = {name: typed("float", shape) for name, shape in zip(names, shapes, strict=True)}
    return other(f"Einsum {equation} {', '.join(by(*s) for s in shapes)}", nodes, inputs)


def suppressed(boxes: int, classes: int) -> Point:
    """Non-maximum suppression, as many boxes as are kept."""
    nodes = "m = Constant <value_ints = [20]> () u = Constant <value_floats = [0.5]> () "
    nodes += "o = Constant <value_floats = [0.5]> () s0 = NonMaxSuppression (b, s, m, u, o) "
    nodes += ints("r", 0) + "y = ReduceMax <keepdims = 0> (s0, r)"
    inputs = {"b": typed("float", (1, boxes, 4)), "s": typed("float", (1, classes, boxes))}
    return other(f"NonMaxSuppression {boxes} of {classes}", nodes, inputs, "int64", positive=True)


def narrow(rows: int, depth: int, columns: int) -> Point:
    """A product with few columns, as heads of regressions are."""
    name = f"MatMul {by(rows, depth, columns)}"
    inputs = {"a": floats(rows, depth)}
    return Point(FAMILY, name, "y = MatMul (a, b)", inputs, {"b": (depth, columns)})


def narrow_inputs(batch: int, rows: int, depth: int, columns: int) -> Point:
    """The same of two inputs."""
    inputs = {"a": floats(batch, rows, depth), "b": floats(batch, depth, columns)}
    name = f"MatMul {batch} of {by(rows, depth, columns)}"
    return Point(FAMILY, name, "y = MatMul (a, b)", inputs)


def grid() -> Iterator[Point]:
    """The points that are always there."""
    yield from _by_indices()
    yield from _copies()
    yield from _products()
    for axis in (0, 1, 2):
        yield running(axis, (40, 50, 60), "float", axis % 2)
        yield top((40, 50, 60), axis, 5)
    for k in (1, 2, 32, 100, 300, 1000):
        yield top((100, 1000), 1, k)
    for k in (1, 2, 16, 32):
        yield top((1000, 100), 0, k)
    yield top((45, 48), 0, 40)
    yield top((26, 46, 51, 4), 2, 25)
    for kind in ("int64", "double"):
        yield top((100, 1000), 1, 32, kind)
    yield top((5000, 8), 1, 2)
    yield top((5000, 20), 1, 5)
    yield top((1, 100000), 1, 100)
    yield top((100, 1000), 1, 10, "int64")
    yield top((100, 1000), 1, 10, "float", 0)
    yield suppressed(1000, 1)
    yield suppressed(2000, 10)


def _by_indices() -> Iterator[Point]:
    for axis in (0, 1, 2):
        yield gather_elements(ODD, axis)
        yield gather((50, 60, 70), axis, 33)
        yield scatter_elements(ODD, axis, 3, "none")
        yield scatter_elements(ODD, axis, 3, "add")
    yield gather_elements((1000, 1000), 1)
    yield gather_nd(100, 100, 64, 1000)
    yield gather_nd(300, 300, 1, 5000)
    for how in ("none", "add", "max"):
        yield scatter_nd(10000, 64, 500, how)
    yield one_hot(1000, 1000, -1)
    yield one_hot(1000, 100, 0)


def _copies() -> Iterator[Point]:
    for axis in (0, 1, 2):
        yield joined((20, 30, 40), axis, 8)
    yield tiled((1, 1000), (1000, 1))
    yield tiled((1000, 1), (1, 1000))
    yield tiled((1, 64, 14, 14), (1, 1, 2, 2))
    yield expanded((1000, 1), (1000, 1000))
    yield expanded((1, 1000), (1000, 1000))
    yield expanded((1, 64, 1, 1), (8, 64, 28, 28))
    for mode in ("reflect", "edge", "wrap"):
        yield padded((8, 1000), mode, (0, 100, 0, 100))
        yield padded((1, 3, 100, 100), mode, (0, 0, 7, 9, 0, 0, 3, 5))
    yield padded(ROWS, "constant", (0, 1, 0, 0))
    yield sliced(ROWS, 1, -1, -1000, -1)
    yield sliced(ROWS, 0, -1, -1000, -1)
    yield sliced(IMAGE, 3, 0, 56, 3)
    for axis, count in ((1, 4), (3, 7), (2, 2)):
        yield parts(IMAGE, axis, count)


def _products() -> Iterator[Point]:
    for equation, shapes in (
        ("bij,bjk->bik", ((8, 64, 48), (8, 48, 80))),
        ("bhqd,bhkd->bhqk", ((1, 8, 100, 64), (1, 8, 100, 64))),
        ("i,j->ij", ((1000,), (1000,))),
        ("ij->ji", ((500, 300),)),
        ("bijk,bk->bij", ((4, 30, 40, 50), (4, 50))),
        ("bcxd,bcyd->bcxy", ((2, 4, 49, 32), (2, 4, 49, 32))),
        ("ijk,jil->kl", ((20, 30, 40), (30, 20, 50))),
        ("nchw,cd->ndhw", ((1, 64, 28, 28), (64, 96))),
        ("bij,bij->b", ((16, 50, 60), (16, 50, 60))),
    ):
        yield einsum(equation, *shapes)
    for rows, depth in ((16, 768), (1000, 768), (4096, 64), (200, 5000)):
        for columns in (1, 2, 3):
            yield narrow(rows, depth, columns)
    yield narrow_inputs(1, 2000, 2000, 1)
    yield narrow_inputs(8, 100, 64, 3)
    yield narrow_inputs(16, 1, 3000, 1)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    shape = [rng.randint(1, 60) for _ in range(rng.randint(2, 4))]
    axis = rng.randrange(len(shape))
    some = rng.randint(1, shape[axis])
    return rng.choice((
        gather_elements(shape, axis), top(shape, axis, some),
        scatter_elements(shape, axis, some, "add"),
        narrow(rng.randint(1, 2000), rng.randint(1, 2000), rng.randint(1, 9)),
    ))  # fmt: skip
