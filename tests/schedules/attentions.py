"""Attention workloads for the tests."""

from __future__ import annotations

import random

from workloads import Builder

from luthier.schedules import Workload

Sizes = tuple[int, int, int, int, int, int]  # batch, heads, rows, keys, depth, width


def separate(sizes: Sizes, heads_first: bool, mask: tuple[int, ...] | None = None) -> Workload:
    """q, k and v as tensors of their own, [N,H,M,D] or [N,M,H,D]; the output is like q."""
    batch, heads, rows, keys, depth, width = sizes
    b = Builder()

    def place(rows: int, columns: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        whole = heads * rows * columns
        if heads_first:
            return (batch, heads, rows, columns), (0, whole, rows * columns, columns)
        return (batch, rows, heads, columns), (0, whole, columns, heads * columns)

    (q_shape, q), (k_shape, k) = place(rows, depth), place(keys, depth)
    (v_shape, v), (shape, o) = place(keys, width), place(rows, width)
    args = [b.input(s) for s in (q_shape, k_shape, v_shape)]
    if mask is not None:
        args.append(b.input(mask))
    places = {"q": q, "k": k, "v": v, "o": o}
    b.add("attention", *args, shape=shape, sizes=sizes, scale=0.3, empty_is_zero=False, **places)
    return b.workload


def packed(batch: int, heads: int, rows: int, depth: int, empty_is_zero: bool) -> Workload:
    """q, k and v side by side in one tensor, as one product makes them; a mask of all rows."""
    b = Builder()
    wide = 3 * heads * depth
    x, mask = b.input((batch, rows, wide)), b.input((1, 1, rows, rows))
    places = {
        name: (i * heads * depth, rows * wide, depth, wide)
        for i, name in enumerate(("q", "k", "v"))
    }
    places["o"] = (0, rows * heads * depth, depth, heads * depth)
    sizes = (batch, heads, rows, rows, depth, depth)
    shape = (batch, rows, heads * depth)
    b.add(
        "attention", x, x, x, mask, shape=shape, sizes=sizes, scale=depth**-0.5,
        empty_is_zero=empty_is_zero, **places,
    )  # fmt: skip
    return b.workload


def odd_sizes(rng: random.Random) -> Sizes:
    wide = (rng.randint(1, 40), rng.randint(1, 40))
    return (rng.randint(1, 2), rng.randint(1, 3), rng.randint(1, 70), rng.randint(1, 90), *wide)
