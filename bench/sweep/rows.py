"""Norms, softmax and reductions: what goes over an axis once or more."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.sweep.point import Point, by, floats

_SHAPES = ((1, 1000), (128, 768), (12, 128, 128), (1, 64, 56, 56), (1000000, 1), (32, 32, 32))
_REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp")


def softmax(shape: Sequence[int], axis: int, op: str = "Softmax") -> Point:
    """Over one axis."""
    return Point(
        "softmax", f"{op} {by(*shape)} over {axis}", f"y = {op} <axis = {axis}> (x)",
        {"x": floats(*shape)},
    )  # fmt: skip


def reduction(op: str, shape: Sequence[int], axes: Sequence[int]) -> Point:
    """Over some axes, which stay with one element."""
    nodes = f"a = Constant <value_ints = {list(axes)}> () y = {op} (x, a)"
    name = f"{op} {by(*shape)} over {','.join(map(str, axes))}"
    return Point("reduction", name, nodes, {"x": floats(*shape)})


def arg(op: str, shape: Sequence[int], axis: int) -> Point:
    """Where the largest or the smallest is."""
    nodes = f"y = {op} <axis = {axis}> (x)"
    name = f"{op} {by(*shape)} over {axis}"
    return Point("reduction", name, nodes, {"x": floats(*shape)}, output="int64")


def layer_norm(rows: int, width: int) -> Point:
    """Over the last axis."""
    return Point(
        "norm", f"layer {by(rows, width)}", "y = LayerNormalization (x, g, b)",
        {"x": floats(rows, width)}, {"g": (width,), "b": (width,)},
    )  # fmt: skip


def instance_norm(channels: int, side: int) -> Point:
    """Over each channel's image."""
    return Point(
        "norm", f"instance {channels} of {by(side, side)}", "y = InstanceNormalization (x, g, b)",
        {"x": floats(1, channels, side, side)}, {"g": (channels,), "b": (channels,)},
    )  # fmt: skip


def group_norm(channels: int, side: int, groups: int) -> Point:
    """As exporters write it, with a sigmoid linear unit after it."""
    nodes = f"""r = Constant <value_ints = [0, {groups}, -1]> () i = Reshape (x, r)
        n = InstanceNormalization (i, one, zero) s = Shape (x) m = Reshape (n, s)
        p = Mul (m, g) q = Add (p, b) e = Sigmoid (q) y = Mul (q, e)"""
    weights = {"one": (groups,), "zero": (groups,), "g": (channels, 1, 1), "b": (channels, 1, 1)}
    name = f"group {channels} by {groups} of {by(side, side)}"
    return Point("norm", name, nodes, {"x": floats(1, channels, side, side)}, weights)


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for shape in _SHAPES:
        yield softmax(shape, -1)
    for shape, axis in (((1, 21, 64, 64), 1), ((8, 1000, 10), 1), ((1, 50257), -1)):
        yield softmax(shape, axis)
        yield softmax(shape, axis, "LogSoftmax")
    for op in _REDUCTIONS:
        for shape, axes in (
            ((1, 64, 56, 56), (2, 3)), ((1, 64, 56, 56), (1,)), ((128, 768), (1,)),
            ((128, 768), (0,)), ((1000000,), (0,)), ((1000000, 1), (1,)), ((100, 37, 50), (1,)),
            ((100, 37, 50), (0, 2)),
        ):  # fmt: skip
            yield reduction(op, shape, axes)
    for shape, axis in (
        ((1, 1000), 1), ((1, 21, 64, 64), 1), ((128, 768), 0), ((1000000,), 0), ((1000, 80), -1),
    ):  # fmt: skip
        yield arg("ArgMax", shape, axis)
    for rows, width in ((1, 768), (128, 768), (197, 384), (49, 96), (1000, 37), (4, 8192)):
        yield layer_norm(rows, width)
    for channels, side in ((32, 128), (64, 64), (128, 32), (256, 17)):
        yield instance_norm(channels, side)
        yield group_norm(channels, side, 32)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    shape = [rng.randint(1, 90) for _ in range(rng.randint(2, 4))]
    axis = rng.randrange(len(shape))
    kind = rng.choice(("softmax", "reduction", "arg", "norm"))
    if kind == "softmax":
        return softmax(shape, axis)
    if kind == "norm":
        return layer_norm(rng.randint(1, 500), rng.randint(2, 2000))
    if kind == "arg":
        return arg(rng.choice(("ArgMax", "ArgMin")), shape, axis)
    return reduction(rng.choice(_REDUCTIONS), shape, [axis])
