"""Products with matrices of few bits as workloads."""

from __future__ import annotations

import math

from workloads import Builder

from luthier.schedules import Workload


def few_bits(
    rows: tuple[int, ...],
    k: int,
    n: int,
    bits: int,
    block: int,
    *,
    zeros: bool = False,
    rounded: bool = False,
) -> Workload:
    """Rows by a matrix, and a bias; the rows may be ``rounded`` to 8 bits first."""
    op = "matmul_few_bits_integer" if rounded else "matmul_few_bits"
    b, blocks = Builder(), math.ceil(k / block)
    given = [b.input((*rows, k)), b.input((n, blocks * block * bits // 8), "int8", constant=True)]
    given += [b.input((n, blocks), constant=True) for _ in range(1 + zeros)]
    y = b.add(op, *given, shape=(*rows, n), dtype="float32", bits=bits, block=block)
    b.add("add", y, b.input((n,), constant=True))
    return b.workload


def halves(rows: tuple[int, ...], k: int, n: int, dtype: str) -> Workload:
    """Rows by a matrix of floats of 16 bits."""
    b = Builder()
    given = b.input((*rows, k)), b.input((n, k), dtype, constant=True)
    b.add("matmul_few_bits", *given, shape=(*rows, n), dtype="float32", bits=16, block=k)
    return b.workload
