"""Elementwise operators: every function, every way to broadcast."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.sweep.point import Point, by, floats

_FUNCTIONS = (
    "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Erf", "Gelu", "Sin", "Cos", "Tan", "Asin",
    "Acos", "Atan", "Sinh", "Cosh", "Softplus", "Mish", "HardSwish", "Elu", "Selu", "Celu", "Round",
    "Floor", "Abs", "Neg", "Reciprocal", "Sign", "Softsign", "LeakyRelu",
)  # fmt: skip
_PAIRS = ("Add", "Mul", "Div", "Sub", "Max", "Pow")
_SHAPES = (
    ((1, 64, 56, 56), (1, 64, 56, 56)), ((1, 64, 56, 56), (64, 1, 1)),
    ((1, 64, 56, 56), (1, 1, 56, 56)),
    ((128, 768), (768,)), ((128, 768), (128, 1)), ((128, 768), ()), ((100, 1), (1, 300)),
    ((8, 1, 37, 50), (12, 37, 50)), ((1000003,), (1000003,)),
)  # fmt: skip


def function(op: str, shape: Sequence[int]) -> Point:
    """Of one tensor."""
    inputs = {"x": floats(*shape)}
    return Point("function", f"{op} {by(*shape)}", f"y = {op} (x)", inputs, positive=True)


def pair(op: str, left: Sequence[int], right: Sequence[int]) -> Point:
    """Of two tensors, which are broadcast."""
    inputs = {"x": floats(*left), "z": floats(*right)}
    name = f"{op} {by(*left)} and {by(*right) or 'one'}"
    return Point("broadcast", name, f"y = {op} (x, z)", inputs, positive=True)


def chain(shape: Sequence[int]) -> Point:
    """Several in a row, which one kernel should be."""
    nodes = "a = Mul (x, z) b = Tanh (a) c = Add (b, x) e = Sigmoid (c) y = Mul (e, c)"
    return Point("broadcast", f"chain {by(*shape)}", nodes, {n: floats(*shape) for n in "xz"})


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for op in _FUNCTIONS:
        yield function(op, (128, 3072))
    for left, right in _SHAPES:
        yield pair("Add", left, right)
        yield pair("Mul", right, left)
    for op in _PAIRS[2:]:
        yield pair(op, (128, 3072), (128, 3072))
    yield chain((128, 3072))
    yield chain((7, 11, 13))
    casts = (
        ("float", "uint8", 2),
        ("uint8", "float", 1),
        ("float", "float16", 10),
        ("int64", "float", 1),
    )
    for begin, end, number in casts:
        kind = f"{begin}[128,3072]"
        nodes = f"y = Cast <to = {number}> (x)"
        yield Point("function", f"Cast {begin} to {end}", nodes, {"x": kind}, output=end)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    shape = [rng.randint(1, 60) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.4:
        return function(rng.choice(_FUNCTIONS), shape)
    other = [rng.choice((n, n, 1)) for n in shape]
    return pair(rng.choice(_PAIRS), shape, other)
