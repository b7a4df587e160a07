"""Winograd's transforms: the matrices, the weights' transform, and sums over matrix entries.

Notation of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015), whose
matrices for tiles of 4 and 6 inputs these are; A and G for other kernels follow from the same
points, as in Blahut, *Fast Algorithms for Signal Processing* (2010), chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...emit.builder import PhaseBuilder
from ...ir.kernel import Array
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx
from .side import Side

Matrix = tuple[tuple[float, ...], ...]

# By inputs of a tile: the points (p, q) where the polynomials of F. Toom and Cook are evaluated, as
# sums of ``p**i * q**(degree - i)``, besides infinity; what the rows of G are divided by, with the
# kernel's and the tile's powers of q besides; the sign of infinity's outputs; B transposed.
_POINTS: dict[int, tuple[tuple[int, int], ...]] = {
    1: (),
    4: ((0, 1), (1, 1), (-1, 1)),
    6: ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1)),
    8: ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2)),
}
_DIVISORS: dict[int, tuple[float, ...]] = {
    1: (),
    4: (1, 2, 2),
    6: (4, -6, -6, 24, 24),
    8: (4, -18, -18, 360, 360, 2.8125, 2.8125),
}
_SIGNS = {1: 1, 4: -1, 6: 1, 8: 1}
_INPUTS: dict[int, Matrix] = {
    1: ((1,),),
    4: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    6: (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    8: (
        (4, 0, -21, 0, 21, 0, -4, 0),
        (0, 4, 4, -17, -17, 4, 4, 0),
        (0, -4, 4, 17, -17, -4, 4, 0),
        (0, 2, 1, -10, -5, 8, 4, 0),
        (0, -2, 1, 10, -5, -8, 4, 0),
        (0, 4, 8, -5, -10, 1, 2, 0),
        (0, -4, 8, 5, -10, -1, 2, 0),
        (0, -4, 0, 21, 0, -21, 0, 4),
    ),
}
_LAST = {1: 1, 4: 1, 6: 1, 8: 4}  # what infinity's row of G is divided by


def of_inputs(side: Side) -> Matrix:
    """B transposed: what is multiplied, of a tile's inputs."""
    return _INPUTS[side.size]


def of_products(side: Side) -> Matrix:
    """A transposed: a tile's outputs, of its products."""
    points, sign, last = _POINTS[side.size], _SIGNS[side.size], side.m - 1
    return tuple(
        (*(p**i * q ** (last - i) for p, q in points), sign if i == last else 0)
        for i in range(side.m)
    )


def of_weights(side: Side) -> Matrix:
    """G: what multiplies, of the kernel's taps."""
    taps = side.axis.kernel
    rows = []
    for (p, q), divisor in zip(_POINTS[side.size], _DIVISORS[side.size], strict=True):
        whole = divisor * q ** (side.m + taps - 2)
        rows.append(tuple(p**i * q ** (taps - 1 - i) / whole for i in range(taps)))
    return (*rows, (*(0,) * (taps - 1), 1 / _LAST[side.size]))


def pack_weights(array: Array, sides: tuple[Side, Side], width: int) -> Array:
    """[O,H,W,C] to [panel][position][C][width], zeros after the last channel."""
    down, across = (np.array(of_weights(side), np.float64) for side in sides)
    out_c, _, _, in_c = array.shape
    panels, positions = ceildiv(out_c, width), len(down) * len(across)
    weights = array.astype(np.float64)
    spatial = np.einsum("iy,oyxc,jx->ijco", down, weights, across, optimize=True)
    padded = np.zeros((positions, in_c, panels * width), np.float32)
    padded[:, :, :out_c] = spatial.reshape(positions, in_c, out_c)
    split = padded.reshape(positions, in_c, panels, width)
    return np.ascontiguousarray(split.transpose(2, 0, 1, 3))


def two_sided(
    builder: PhaseBuilder,
    matrices: tuple[Matrix, Matrix],
    lanes: int,
    read: Read,
    write: Write,
    after: Callable[[Index], None] = lambda y: None,
) -> None:
    """``down @ values @ across.T`` for two matrices, in ``lanes`` channels at once; ``after(y)``
    ends a row.

    In loops, since there are more values than registers: as one long line it takes longer, and LLVM
    longer to compile.
    """
    down, across = matrices
    columns = len(across[0])
    if len(down[0]) == 1:
        with builder.vector(lanes) as lane:
            values = [builder.let(read(0, x, lane)) for x in range(columns)]
            for i, coefficients in enumerate(across):
                write(0, i, lane, _combine(coefficients, values))
        after(0)
        return
    half = builder.local(len(down) * columns * lanes)
    with builder.loop(columns, "x") as x, builder.vector(lanes) as lane:
        values = [builder.let(read(y, x, lane)) for y in range(len(down[0]))]
        for i, coefficients in enumerate(down):
            index = (i * columns + x) * lanes + lane
            builder.store(half, index, _combine(coefficients, values))
    with builder.loop(len(down), "y") as y:
        with builder.vector(lanes) as lane:
            indices = ((y * columns + i) * lanes + lane for i in range(columns))
            values = [builder.let(builder.load(half, index)) for index in indices]
            for i, coefficients in enumerate(across):
                write(y, i, lane, _combine(coefficients, values))
        after(y)


Read = Callable[[int, Index, Index], Expr]  # (row, column, lane) of a tile
Write = Callable[[Index, int, Index, Expr], None]  # (row, column, lane, value)


def _combine(row: Sequence[float], values: Sequence[Expr]) -> Expr:
    """The sum of coefficients times values, additions first so that no term needs negating."""
    terms = [(c, v) for c, v in zip(row, values, strict=True) if c]
    terms.sort(key=lambda term: (term[0] != 1, term[0] < 0))
    result: Expr = None
    for coefficient, value in terms:
        scaled = value if abs(coefficient) == 1 else value * tirx.const(abs(coefficient), "float32")
        if result is None and coefficient > 0:
            result = scaled
        else:
            before = tirx.const(0.0, "float32") if result is None else result
            result = before + scaled if coefficient > 0 else before - scaled
    return result
