"""Winograd's transforms over whole numbers, exactly: no fraction appears anywhere.

Rows of G are multiplied with what makes them whole (Lavin and Gray's notation, *Fast Algorithms for
Convolutional Neural Networks*, 2015), and columns of the transposed A with the rest of a common
multiple s of these factors. So an output times s^2 comes out, modulo 2^32, as all sums are. An odd
factor of s^2 has an inverse modulo 2^32; its power of two is shifted out, which leaves an output
right that has so many bits less than 32: sums of few enough channels (``Size.most``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...emit.builder import PhaseBuilder
from ...emit.dot_product import DotProduct
from ...emit.dot_products import INT16
from ...ir.dtype import DType
from ...ir.kernel import Array
from ...tir import arithmetic
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx

_TAPS = 9
Let = Callable[[Expr], Expr]
Line = Callable[[Sequence[Expr], Let], list[Expr]]  # transforms a row or a column


@dataclass(frozen=True)
class Size:
    """F(m x m, 3x3): the transforms of one dimension, ``scale`` being s."""

    m: int
    scale: int
    weights: tuple[tuple[int, int, int], ...]
    inputs: Line
    outputs: Line

    @property
    def side(self) -> int:
        """Of a tile of inputs."""
        return self.m + 2

    @property
    def shift(self) -> int:
        """Bits that are shifted out in the end."""
        square = self.scale**2
        return (square & -square).bit_length() - 1

    @property
    def inverse(self) -> int:
        """Of the odd factor, as a signed number."""
        found = pow(self.scale**2 >> self.shift, -1, 1 << 32)
        return found - (1 << 32) if found >= 1 << 31 else found

    def most(self, a: DType, b: DType) -> int:
        """Channels whose sum is right for images and weights of these types, whatever they are."""
        largest = _TAPS * _magnitude(a) * _magnitude(b)
        return ((1 << (31 - self.shift)) - 1) // largest

    def fits(self, a: DType, b: DType) -> bool:
        """Whether 16 bits hold transformed images and weights."""
        images, weights = 100 if self.m == 4 else 4, max(sum(map(abs, r)) for r in self.weights)
        most = INT16.limits[1]
        return images * _magnitude(a) <= most and weights**2 * _magnitude(b) <= most

    def transformed(self, array: Array) -> Array:
        """[O,3,3,C] to [position][C][O]."""
        g = np.array(self.weights, np.int64)
        found = np.einsum("iy,oyxc,jx->ijco", g, array.astype(np.int64), g, optimize=True)
        positions: Array = found.reshape(self.side**2, array.shape[3], array.shape[0])
        return positions


def _magnitude(dtype: DType) -> int:
    return max(map(abs, dtype.limits))


def _times(x: Expr, factor: int) -> Expr:
    return x * tirx.const(factor, "int16")


def _inputs_2(d: Sequence[Expr], let: Let) -> list[Expr]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _inputs_4(d: Sequence[Expr], let: Let) -> list[Expr]:
    far, near = let(d[4] - _times(d[2], 4)), let(d[3] - _times(d[1], 4))
    even, odd = let(d[4] - d[2]), let(_times(d[3] - d[1], 2))
    first = _times(d[0], 4) - _times(d[2], 5) + d[4]
    last = _times(d[1], 4) - _times(d[3], 5) + d[5]
    return [first, far + near, far - near, even + odd, even - odd, last]


class _Wrapping:
    """Arithmetic of 32 bits that overflows without harm; ``let`` must keep what it is given."""

    def __init__(self, let: Let) -> None:
        self.let = let

    def add(self, *terms: Expr) -> Expr:
        total, *rest = terms
        for term in rest:
            total = arithmetic.add(total, term, self.let)
        return total

    def subtract(self, a: Expr, b: Expr) -> Expr:
        return arithmetic.subtract(a, b, self.let)

    def times(self, a: Expr, factor: int) -> Expr:
        return arithmetic.multiply(a, tirx.const(factor, "int32"), self.let)


def _outputs_2(v: Sequence[Expr], let: Let) -> list[Expr]:
    w = _Wrapping(let)
    return [
        w.add(w.times(v[0], 2), v[1], v[2]),
        w.subtract(w.subtract(v[1], v[2]), w.times(v[3], 2)),
    ]


def _outputs_4(v: Sequence[Expr], let: Let) -> list[Expr]:
    w = _Wrapping(let)
    near, across = w.times(w.add(v[1], v[2]), 4), w.times(w.subtract(v[1], v[2]), 4)
    even, odd = w.add(v[3], v[4]), w.subtract(v[3], v[4])
    return [
        w.add(w.times(v[0], 6), near, even),
        w.add(across, w.times(odd, 2)),
        w.add(near, w.times(even, 4)),
        w.add(across, w.times(odd, 8), w.times(v[5], 24)),
    ]


SIZES: Mapping[int, Size] = {
    2: Size(2, 2, ((1, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 1)), _inputs_2, _outputs_2),
    4: Size(
        4,
        24,
        ((1, 0, 0), (-1, -1, -1), (-1, 1, -1), (1, 2, 4), (1, -2, 4), (0, 0, 1)),
        _inputs_4,
        _outputs_4,
    ),
}


def both_ways(
    builder: PhaseBuilder,
    line: Line,
    sides: tuple[int, int],
    lanes: int,
    dtype: str,
    read: Callable[[int, Index, Index], Expr],
    write: Callable[[Index, int, Index, Expr], None],
) -> None:
    """Columns, then rows of a square transformed in ``lanes`` channels at once; ``sides`` are those
    of what is read and written. In loops, since there are more values than registers."""
    before, after = sides
    half = builder.local(after * before * lanes, dtype)
    with builder.loop(before, "x") as x, builder.vector(lanes) as lane:
        values = [builder.keep(read(y, x, lane)) for y in range(before)]
        for y, value in enumerate(line(values, builder.keep)):
            builder.store(half, (y * before + x) * lanes + lane, value)
    with builder.loop(after, "y") as y, builder.vector(lanes) as lane:
        places = ((y * before + x) * lanes + lane for x in range(before))
        values = [builder.load(half, place) for place in places]
        for x, value in enumerate(line(values, builder.keep)):
            write(y, x, lane, value)


def pack_weights(array: Array, size: Size, micro: DotProduct, width: int, depth: int) -> Array:
    """[O,3,3,C] to [panel][block of ``depth`` channels][position][pairs][width][2]."""
    found = size.transformed(array)
    positions, channels, outputs = found.shape
    blocks = ceildiv(channels, depth)
    padded = np.zeros((positions, blocks * depth, outputs), np.int16)
    padded[:, :channels] = found
    split = padded.reshape(positions, blocks, depth, outputs).swapaxes(0, 1)
    return np.ascontiguousarray(np.moveaxis(micro.packed(split, width), 2, 0))
