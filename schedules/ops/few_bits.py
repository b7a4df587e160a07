"""Products with matrices of few bits: whole numbers, of which each block along K has a scale.

``a[..., M, K]`` float32, ``codes[N, bytes]`` int8, ``scales[N, blocks]`` float32, and, where there
are some, ``zeros[N, blocks]`` float32. Words of 32 bits hold neighbours along K in two's
complement: number ``i`` of a word is in its byte ``i % 4``, the first four in the lowest bits.
``block`` numbers share a scale, and rows are filled up to whole blocks. The product is
``a @ ((codes - zeros) * scales).T``. Codes that are floats of 8 bits, ``[N, blocks * block]``, are
all finite, have scales and no zeros; of 16 bits, ``[N, K]``, they stand for themselves, without
scales.

``matmul_few_bits_integer`` rounds ``a`` to 8 bits first, a block of a row at a time (``rounded``),
and multiplies whole numbers: what a model allows that asks for no more accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.formats import FORMATS
from ..ir.workload import Node, Tensor
from .operator import Array, Attrs
from .products import Product

BITS = (2, 4, 8)  # of whole numbers
FLOATS = frozenset(name for name, form in FORMATS.items() if form.bits == 8)
WORD = 32  # bits; what a row's block fills is a multiple of it
_EACH_BYTE = 0x01010101
LARGEST = 127  # of a rounded number
LEAST = 2.0**-100  # to which the largest of a block is raised, so that nothing is divided by zero
_MOST_BLOCK = 1 << 16  # numbers of which 32 bits hold the sum of the products


def packed(numbers: Array, bits: int) -> Array:
    """Whole numbers, [n, k], in bytes; ``k`` is a multiple of how many a word holds."""
    fields = 8 // bits
    if fields == 1:
        return numbers
    mask = np.uint32((2**bits - 1) * _EACH_BYTE)
    fours = np.ascontiguousarray(numbers).view(np.uint32).reshape(len(numbers), -1, fields)
    codes = fours[:, :, 0] & mask
    for i in range(1, fields):
        codes |= (fours[:, :, i] & mask) << np.uint32(bits * i)
    return np.asarray(codes.view(np.int8))


def unpacked(codes: Array, bits: int) -> Array:
    """The numbers of bytes, [n, bytes], as int8."""
    fields = 8 // bits
    words = codes.reshape(len(codes), -1, 1, 4)
    up = np.concatenate([words << (8 - bits * (i + 1)) for i in range(fields)], axis=2)
    numbers: Array = (up.astype(np.int8) >> (8 - bits)).reshape(len(codes), -1)
    return numbers


def widened(
    codes: Array, scales: Array, zeros: Array | None, bits: int, block: int, k: int
) -> Array:
    """The matrix in float32, [n, k]."""
    whole = codes.dtype == np.int8
    numbers = (unpacked(codes, bits) if whole else codes).astype(np.float32)
    if zeros is not None:
        numbers -= np.repeat(zeros, block, axis=1)
    matrix: Array = (numbers * np.repeat(scales, block, axis=1))[:, :k]
    return matrix


def rounded(a: Array, block: int) -> tuple[Array, Array]:
    """Of rows, [..., k], whole numbers as float32, [..., blocks, block], and steps, [..., blocks].

    A step is a 127th of the largest absolute value of a block, in which all is computed in float32:
    ``rint(a * (127 / largest))``, half to even, and ``largest / 127``. What is not finite makes its
    block's step so, and thereby its row's results.
    """
    *outer, k = a.shape
    blocks = -(-k // block)
    full = np.zeros((*outer, blocks * block), np.float32)
    full[..., :k] = a
    parts = full.reshape(*outer, blocks, block)
    with np.errstate(all="ignore"):
        largest = np.maximum(np.abs(parts).max(axis=-1), np.float32(LEAST))
        numbers = np.rint(parts * (np.float32(LARGEST) / largest)[..., None])
        return numbers, largest / np.float32(LARGEST)


def _evaluate(
    node: Node, a: Array, codes: Array, scales: Array | None = None, zeros: Array | None = None
) -> Array:
    if scales is None:
        return np.asarray(a @ codes.astype(a.dtype).T)
    bits, block = node.attr("bits"), node.attr("block")
    return np.asarray(a @ widened(codes, scales, zeros, bits, block, a.shape[-1]).T)


def _evaluate_integer(
    node: Node, a: Array, codes: Array, scales: Array, zeros: Array | None = None
) -> Array:
    numbers, steps = rounded(a, node.attr("block"))
    with np.errstate(all="ignore"):
        wide = numbers.astype(a.dtype) * steps[..., None]
        return _evaluate(
            node, wide.reshape(*a.shape[:-1], -1)[..., : a.shape[-1]], codes, scales, zeros
        )


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    a, codes, *rest = args
    bits, block = attrs["bits"], attrs["block"]
    if not rest:
        if codes.element.bits != 16 or bits != 16 or a.shape[-1:] != codes.shape[1:]:
            raise ValueError("codes and depth do not go together")
        return Tensor((*a.shape[:-1], codes.shape[0]), a.dtype)
    scales, *zeros = rest
    n, blocks = scales.shape
    floats = codes.element.is_float
    fits = (
        bits in ((8,) if floats else BITS)
        and not (floats and (codes.dtype not in FLOATS or zeros))
        and codes.shape == (n, blocks * block * bits // 8)
        and block * bits % WORD == 0
        and (blocks - 1) * block < a.shape[-1] <= blocks * block
        and all(z == scales for z in zeros)
        and len(zeros) < 2
    )
    if not fits:
        raise ValueError("codes, scales and depth do not go together")
    return Tensor((*a.shape[:-1], n), a.dtype)


def _infer_integer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    if len(args) < 3 or attrs["block"] > _MOST_BLOCK or args[1].element.is_float:
        raise ValueError("codes are floats, or have no scales, or too few")
    return _infer(args, attrs)


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return node.out.size * args[0].shape[-1] * 2


OPERATORS = (
    Product("matmul_few_bits", None, _evaluate, _infer, count=_count),
    Product("matmul_few_bits_integer", None, _evaluate_integer, _infer_integer, count=_count),
)
