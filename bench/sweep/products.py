"""Matrix products: every kind of M, N and K, of constant and run-time matrices."""

from __future__ import annotations

import random
from collections.abc import Iterator

from bench.sweep.point import Point, by, floats

_M = (1, 2, 5, 16, 49, 128, 384, 1024)
_NK = (
    (64, 64),
    (80, 37),
    (384, 384),
    (768, 3072),
    (3072, 768),
    (1000, 1024),
    (16, 4096),
    (4096, 16),
)


def constant(m: int, n: int, k: int) -> Point:
    """By a matrix that is known at build time, with bias."""
    return Point(
        "product",
        f"{by(m, n, k)}",
        "p = MatMul (a, b) y = Add (p, c)",
        {"a": floats(m, k)},
        {"b": (k, n), "c": (n,)},
    )


def variable(batch: int, m: int, n: int, k: int, transposed: bool) -> Point:
    """Of two inputs, a batch of them; ``transposed`` reads B by its columns, as attention does."""
    shape = (batch, n, k) if transposed else (batch, k, n)
    nodes = "t = Transpose <perm = [0, 2, 1]> (b) " if transposed else ""
    return Point(
        "product of inputs",
        f"{batch} of {by(m, n, k)}{' transposed' if transposed else ''}",
        f"{nodes}y = MatMul (a, {'t' if transposed else 'b'})",
        {"a": floats(batch, m, k), "b": floats(*shape)},
    )


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for m in _M:
        for n, k in _NK:
            if m * n * k <= 1 << 30:
                yield constant(m, n, k)
    for m, n, k in ((37, 80, 37), (63, 65, 67), (7, 1000, 512), (197, 768, 768)):
        yield constant(m, n, k)
    for transposed in (False, True):
        for batch, m, n, k in (
            (1, 1, 1000, 1024), (1, 128, 128, 128), (12, 128, 128, 64), (12, 1, 512, 64),
            (8, 49, 49, 32), (1, 37, 80, 37), (4, 197, 64, 197),
        ):  # fmt: skip
            yield variable(batch, m, n, k, transposed)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    m, n, k = (round(2 ** rng.uniform(0, top)) for top in (9, 11, 11))
    if rng.random() < 0.6:
        return constant(m, n, k)
    return variable(rng.choice((1, 3, 8)), m, min(n, 512), min(k, 512), rng.random() < 0.5)
