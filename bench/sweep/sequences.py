"""Attention, recurrent layers, scans, sorting."""

from __future__ import annotations

import random
from collections.abc import Iterator

from bench.sweep.point import Point, by, floats

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def attention(heads: int, queries: int, keys: int, width: int) -> Point:
    """As exporters write it: two products around a softmax, scaled."""
    nodes = f"""t = Transpose <perm = [0, 1, 3, 2]> (k) p = MatMul (q, t)
        f = Constant <value_float = {width**-0.5}> () s = Mul (p, f)
        w = Softmax <axis = -1> (s) y = MatMul (w, v)"""
    inputs = {
        "q": floats(1, heads, queries, width),
        "k": floats(1, heads, keys, width),
        "v": floats(1, heads, keys, width),
    }
    return Point("attention", f"{heads} heads of {by(queries, keys, width)}", nodes, inputs)


def recurrent(op: str, hidden: int, batch: int, steps: int) -> Point:
    """One layer with as many inputs as hidden units."""
    gates = _GATES[op]
    weights = {
        "w": (1, gates * hidden, hidden),
        "r": (1, gates * hidden, hidden),
        "b": (1, 2 * gates * hidden),
    }
    name = f"{op} {hidden}, batch {batch}, steps {steps}"
    nodes = f"y = {op} <hidden_size = {hidden}> (x, w, r, b)"
    return Point("recurrent", name, nodes, {"x": floats(steps, batch, hidden)}, weights)


def scan(rows: int, width: int, axis: int) -> Point:
    """Running sums."""
    nodes = f"a = Constant <value_int = {axis}> () y = CumSum (x, a)"
    name = f"CumSum {by(rows, width)} over {axis}"  # not near zero, where rounding is all there is
    return Point("scan", name, nodes, {"x": floats(rows, width)}, positive=True)


def largest(rows: int, width: int, k: int) -> Point:
    """The largest ones, in order."""
    nodes = f"n = Constant <value_ints = [{k}]> () y, i = TopK (x, n)"
    return Point("scan", f"TopK {k} of {by(rows, width)}", nodes, {"x": floats(rows, width)})


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for heads, queries, keys, width in (
        (12, 128, 128, 64), (12, 512, 512, 64), (12, 1, 512, 64), (3, 197, 197, 64),
        (96, 49, 49, 32), (8, 4096, 77, 40), (4, 37, 61, 24), (8, 16, 16, 128), (1, 17, 128, 128),
        (8, 9, 100, 64), (8, 20, 200, 64),
    ):  # fmt: skip
        yield attention(heads, queries, keys, width)
    for op in _GATES:
        for hidden, batch, steps in ((64, 1, 32), (256, 1, 100), (512, 8, 32), (128, 1, 1)):
            yield recurrent(op, hidden, batch, steps)
    for rows, width, axis in ((1, 100000, 1), (128, 768, 1), (128, 768, 0), (1000, 16, 1)):
        yield scan(rows, width, axis)
    for rows, width, k in ((1, 1000, 5), (1, 50257, 50), (128, 768, 10), (8400, 80, 1)):
        yield largest(rows, width, k)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    if rng.random() < 0.5:
        sizes = [rng.randint(1, most) for most in (16, 200, 300)]
        return attention(*sizes, rng.choice((16, 32, 40, 64, 80, 128)))
    op = rng.choice(list(_GATES))
    return recurrent(op, rng.randint(8, 300), rng.randint(1, 4), rng.randint(1, 60))
