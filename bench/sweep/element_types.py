"""Elementwise operators, casts, reductions and movement of every element type."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.sweep.point import Point, by
from bench.sweep.rare import IMAGE, KINDS, ODD, ROWS, ints, other, typed


def of_one(
    call: str, shape: Sequence[int], kind: str = "float", output: str | None = None
) -> Point:
    """A function of one tensor: ``call`` is the operator, and its attributes after it."""
    name = f"{call} {by(*shape)}{'' if kind == 'float' else ' ' + kind}"
    return other(name, f"y = {call} (x)", {"x": typed(kind, shape)}, output or kind)


def of_two(
    op: str, left: Sequence[int], right: Sequence[int], kind: str, output: str | None = None
) -> Point:
    """A function of two tensors, which are broadcast."""
    name = f"{op} {by(*left)} and {by(*right)} {kind}"
    inputs = {"x": typed(kind, left), "z": typed(kind, right)}
    return other(name, f"y = {op} (x, z)", inputs, output or kind)


def divided(op: str, shape: Sequence[int], kind: str) -> Point:
    """Whole numbers by others, none of them zero."""
    nodes = f"o = Constant <value_int = 3> () c = Cast <to = {KINDS[kind]}> (o) "
    nodes += f"a = Abs (z) b = Add (a, c) y = {op} (x, b)"
    inputs = {"x": typed(kind, shape), "z": typed(kind, shape)}
    return other(f"{op} {by(*shape)} {kind}", nodes, inputs, kind)


def cast(begin: str, end: str, shape: Sequence[int]) -> Point:
    """From one element type to another."""
    nodes = f"y = Cast <to = {KINDS[end]}> (x)"
    return other(f"Cast {begin} to {end} {by(*shape)}", nodes, {"x": typed(begin, shape)}, end)


def tiled(shape: Sequence[int], times: Sequence[int], kind: str = "float") -> Point:
    """Copies along axes."""
    nodes = ints("t", *times) + "y = Tile (x, t)"
    return other(
        f"Tile {by(*times)} of {by(*shape)} {kind}", nodes, {"x": typed(kind, shape)}, kind
    )


def expanded(shape: Sequence[int], to: Sequence[int], kind: str = "float") -> Point:
    """Broadcast and written out."""
    nodes = ints("t", *to) + "y = Expand (x, t)"
    return other(f"Expand {by(*shape)} to {by(*to)} {kind}", nodes, {"x": typed(kind, shape)}, kind)


def padded(shape: Sequence[int], mode: str, pads: Sequence[int], kind: str = "float") -> Point:
    """Any border of any axes."""
    nodes = ints("p", *pads) + f'y = Pad <mode = "{mode}"> (x, p)'
    name = f"Pad {mode} {','.join(map(str, pads))} of {by(*shape)} {kind}"
    return other(name, nodes, {"x": typed(kind, shape)}, kind)


def sliced(
    shape: Sequence[int], axis: int, begin: int, end: int, step: int, kind: str = "float"
) -> Point:
    """Any step, backwards too."""
    parts = (("b", begin), ("e", end), ("a", axis), ("s", step))
    nodes = "".join(ints(name, value) for name, value in parts) + "y = Slice (x, b, e, a, s)"
    name = f"Slice {axis} {begin}:{end}:{step} of {by(*shape)} {kind}"
    return other(name, nodes, {"x": typed(kind, shape)}, kind)


def joined(shape: Sequence[int], axis: int, count: int, kind: str = "float") -> Point:
    """Many tensors along an axis."""
    names = [f"x{number}" for number in range(count)]
    nodes = f"y = Concat <axis = {axis}> ({', '.join(names)})"
    inputs = {name: typed(kind, shape) for name in names}
    return other(f"Concat {axis} of {count} {by(*shape)} {kind}", nodes, inputs, kind)


def gather(shape: Sequence[int], axis: int, taken: int, kind: str = "float") -> Point:
    """Slices along an axis by indices of the run."""
    nodes = f"n = Constant <value_int = {shape[axis]}> () j = Mod (i, n) "
    nodes += f"y = Gather <axis = {axis}> (x, j)"
    inputs = {"x": typed(kind, shape), "i": typed("int64", (taken,))}
    return other(f"Gather {axis} {taken} of {by(*shape)} {kind}", nodes, inputs, kind)


def reduced(op: str, shape: Sequence[int], axes: Sequence[int], kind: str) -> Point:
    """Over any axes, of any type."""
    nodes = ints("a", *axes) + f"y = {op} (x, a)"
    name = f"{op} {by(*shape)} over {','.join(map(str, axes))} {kind}"
    return other(name, nodes, {"x": typed(kind, shape)}, kind)


def picked(op: str, shape: Sequence[int], axis: int, kind: str) -> Point:
    """Where the largest or the smallest is, of any type."""
    nodes = f"y = {op} <axis = {axis}> (x)"
    return other(f"{op} {by(*shape)} over {axis} {kind}", nodes, {"x": typed(kind, shape)}, "int64")


def running(op_axis: int, shape: Sequence[int], kind: str, reverse: int = 0) -> Point:
    """Sums so far."""
    nodes = f"a = Constant <value_int = {op_axis}> () y = CumSum <reverse = {reverse}> (x, a)"
    said = " reverse" if reverse else ""
    name = f"CumSum{said} {op_axis} of {by(*shape)} {kind}"
    return other(name, nodes, {"x": typed(kind, shape)}, kind, positive=True)


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for begin in KINDS:
        for end in KINDS:
            if begin != end:
                yield cast(begin, end, ROWS)
    for kind in ("uint8", "int8", "int32", "int64", "float16", "double"):
        yield from _of_kind(kind)
    for kind in ("int32", "int64", "double"):
        yield running(1, ROWS, kind)
    yield from _functions()
    for kind in ("int32", "int64"):
        yield divided("Div", ROWS, kind)
        yield divided("Mod", ROWS, kind)
    for op in ("And", "Or", "Xor"):
        yield of_two(op, ROWS, ROWS, "bool")
    yield of_one("Not", ROWS, "bool")
    for op in ("BitwiseAnd", "BitwiseXor"):
        yield of_two(op, ROWS, ROWS, "int32")
    two = {"x": typed("float", ROWS), "z": typed("float", ROWS)}
    yield other("Mod fmod", "y = Mod <fmod = 1> (x, z)", two, positive=True)
    for op in ("IsNaN", "IsInf"):
        yield of_one(op, ROWS, "float", "bool")
    yield of_one("Softmax <axis = -1>", (100, 1000), "float16")
    yield of_one("Transpose <perm = [2, 0, 1]>", (3, 1000, 5), "uint8")


def _functions() -> Iterator[Point]:
    double = ("Exp", "Sigmoid", "Tanh", "Log", "Erf", "Sqrt", "Sin")
    half = ("Floor", "Ceil", "Round", "Sqrt", "Exp", "Sigmoid", "Softplus", "Gelu", "Neg")
    for kind, functions in (("double", double), ("float16", half)):
        for op in functions:
            nodes, inputs = f"y = {op} (x)", {"x": typed(kind, ROWS)}
            yield other(f"{op} {by(*ROWS)} {kind}", nodes, inputs, kind, positive=True)


def _of_kind(kind: str) -> Iterator[Point]:
    if kind not in ("uint8", "int8"):  # which ONNX Runtime does not add
        for op in ("Add", "Mul"):
            yield of_two(op, ROWS, ROWS, kind)
        for axis in (0, 1):
            yield reduced("ReduceSum", ROWS, (axis,), kind)
        yield of_one("Abs", ROWS, kind)
    yield of_two("Max", ROWS, ROWS, kind)
    for op in ("Less", "Equal"):
        yield of_two(op, ROWS, ROWS, kind, "bool")
    yield reduced("ReduceMax", ROWS, (1,), kind)
    yield picked("ArgMax", ROWS, 1, kind)
    yield joined((16, 33, 40), 1, 3, kind)
    yield sliced(ODD, 2, 1, 60, 2, kind)
    yield padded(ODD, "constant", (0, 1, 2, 3, 0, 1), kind)
    yield gather(IMAGE, 1, 17, kind)
    yield tiled(ODD, (2, 3, 1), kind)
    yield expanded((37, 1, 61), (37, 50, 61), kind)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    shape = [rng.randint(1, 60) for _ in range(rng.randint(2, 4))]
    axis, kind = rng.randrange(len(shape)), rng.choice(list(KINDS))
    begin = rng.choice([one for one in KINDS if one != kind])
    most = shape[axis]
    return rng.choice((
        gather(shape, axis, rng.randint(1, 40), kind), cast(begin, kind, shape),
        sliced(shape, axis, most // 3, most, rng.randint(1, 3), kind),
    ))  # fmt: skip
