"""Winograd's transforms: the matrices, the weights' transform, and sums over matrix entries.

Notation of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...emit.builder import PhaseBuilder
from ...ir.kernel import Array
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx

Matrix = tuple[tuple[float, ...], ...]

# m -> (B transposed, G, A transposed) in the paper's notation.
MATRICES: dict[int, tuple[Matrix, Matrix, Matrix]] = {
    2: (
        ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        ((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    4: (
        (
            (4, 0, -5, 0, 1, 0),
            (0, -4, -4, 1, 1, 0),
            (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 2, -1, -2, 1, 0),
            (0, 4, 0, -5, 0, 1),
        ),
        (
            (1 / 4, 0, 0),
            (-1 / 6, -1 / 6, -1 / 6),
            (-1 / 6, 1 / 6, -1 / 6),
            (1 / 24, 1 / 12, 1 / 6),
            (1 / 24, -1 / 12, 1 / 6),
            (0, 0, 1),
        ),
        ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    ),
}


def pack_weights(array: Array, m: int, width: int) -> Array:
    """[O,3,3,C] to [panel][position][C][width], zeros after the last channel."""
    g = np.array(MATRICES[m][1])
    out_c, _, _, in_c = array.shape
    panels, size = ceildiv(out_c, width), m + 2
    spatial = np.einsum("iy,oyxc,jx->ijco", g, array.astype(np.float64), g, optimize=True)
    padded = np.zeros((size * size, in_c, panels * width), np.float32)
    padded[:, :, :out_c] = spatial.reshape(size * size, in_c, out_c)
    split = padded.reshape(size * size, in_c, panels, width)
    return np.ascontiguousarray(split.transpose(2, 0, 1, 3))


def two_sided(
    builder: PhaseBuilder,
    matrix: Matrix,
    lanes: int,
    read: Read,
    write: Write,
    after: Callable[[Index], None] = lambda y: None,
) -> None:
    """``matrix @ values @ matrix.T`` in ``lanes`` channels at once; ``after(y)`` ends a row.

    In loops, since there are more values than registers: as one long line it takes longer, and LLVM
    longer to compile.
    """
    rows, columns = len(matrix), len(matrix[0])
    half = builder.local(rows * columns * lanes)
    with builder.loop(columns, "x") as x, builder.vector(lanes) as lane:
        values = [builder.let(read(y, x, lane)) for y in range(columns)]
        for i, coefficients in enumerate(matrix):
            index = (i * columns + x) * lanes + lane
            builder.store(half, index, _combine(coefficients, values))
    with builder.loop(rows, "y") as y:
        with builder.vector(lanes) as lane:
            indices = ((y * columns + i) * lanes + lane for i in range(columns))
            values = [builder.let(builder.load(half, index)) for index in indices]
            for i, coefficients in enumerate(matrix):
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
