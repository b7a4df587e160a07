"""Products with matrices of few bits: whole numbers, of which each block along K has a scale.

``a[..., M, K]`` float32, ``codes[N, bytes]`` int8, ``scales[N, blocks]`` float32, and, where there
are some, ``zeros[N, blocks]`` float32. A byte holds ``8 / bits`` numbers along K in two's
complement, the first in its lowest bits; ``block`` of them share a scale, and rows are filled up to
whole blocks. The product is ``a @ ((codes - zeros) * scales).T``. Codes that are floats of 16 bits,
``[N, K]``, stand for themselves, and have no scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Array, Attrs
from .products import Product

BITS = (4, 8)  # of whole numbers


def packed(numbers: Array, bits: int) -> Array:
    """Whole numbers, [n, k], in bytes; ``k`` is a multiple of how many a byte holds."""
    per = 8 // bits
    fields = numbers.astype(np.uint8).reshape(len(numbers), -1, per) & (2**bits - 1)
    shifts = np.arange(per, dtype=np.uint8) * bits
    codes: Array = np.bitwise_or.reduce(fields << shifts, axis=-1).astype(np.uint8)
    return codes.view(np.int8)


def unpacked(codes: Array, bits: int) -> Array:
    """The numbers of bytes, [n, bytes], as int8."""
    per = 8 // bits
    up = np.stack([codes << (8 - bits * (i + 1)) for i in range(per)], axis=-1)
    numbers: Array = (up.astype(np.int8) >> (8 - bits)).reshape(len(codes), -1)
    return numbers


def widened(
    codes: Array, scales: Array, zeros: Array | None, bits: int, block: int, k: int
) -> Array:
    """The matrix in float32, [n, k]."""
    numbers = unpacked(codes, bits).astype(np.float32)
    if zeros is not None:
        numbers -= np.repeat(zeros, block, axis=1)
    matrix: Array = (numbers * np.repeat(scales, block, axis=1))[:, :k]
    return matrix


def _evaluate(
    node: Node, a: Array, codes: Array, scales: Array | None = None, zeros: Array | None = None
) -> Array:
    if scales is None:
        return np.asarray(a @ codes.astype(a.dtype).T)
    bits, block = node.attr("bits"), node.attr("block")
    return np.asarray(a @ widened(codes, scales, zeros, bits, block, a.shape[-1]).T)


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    a, codes, *rest = args
    bits, block = attrs["bits"], attrs["block"]
    if not rest:
        if codes.element.bits != 16 or bits != 16 or a.shape[-1:] != codes.shape[1:]:
            raise ValueError("codes and depth do not go together")
        return Tensor((*a.shape[:-1], codes.shape[0]), a.dtype)
    scales, *zeros = rest
    n, blocks = scales.shape
    fits = (
        bits in BITS
        and codes.shape == (n, blocks * block * bits // 8)
        and block * bits % 8 == 0
        and (blocks - 1) * block < a.shape[-1] <= blocks * block
        and all(z == scales for z in zeros)
        and len(zeros) < 2
    )
    if not fits:
        raise ValueError("codes, scales and depth do not go together")
    return Tensor((*a.shape[:-1], n), a.dtype)


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return node.out.size * args[0].shape[-1] * 2


OPERATORS = (Product("matmul_few_bits", None, _evaluate, _infer, count=_count),)
