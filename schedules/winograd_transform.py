"""Winograd's transforms: the matrices, the weights' transform, and sums over matrix entries.

Notation of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tvm import tirx

from .emit import Expr, ceildiv
from .kernel import Array

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
        (
            (1, 1, 1, 1, 1, 0),
            (0, 1, -1, 2, -2, 0),
            (0, 1, 1, 4, 4, 0),
            (0, 1, -1, 8, -8, 1),
        ),
    ),
}


def pack_weights(array: Array, m: int, width: int) -> Array:
    """[O,3,3,C] to [panel][position][C][width], zeros behind the last channel."""
    g = np.array(MATRICES[m][1])
    out_c, _, _, in_c = array.shape
    panels, size = ceildiv(out_c, width), m + 2
    spatial = np.einsum("iy,oyxc,jx->ijco", g, array.astype(np.float64), g, optimize=True)
    padded = np.zeros((size * size, in_c, panels * width), np.float32)
    padded[:, :, :out_c] = spatial.reshape(size * size, in_c, out_c)
    split = padded.reshape(size * size, in_c, panels, width)
    return np.ascontiguousarray(split.transpose(2, 0, 1, 3))


def two_sided(
    matrix: Matrix, values: list[list[Expr | None]], bind: Callable[[Expr], Expr]
) -> list[list[Expr | None]]:
    """``matrix @ values @ matrix.T``; None stands for zero."""
    columns = len(values[0])
    half = [
        [_combine(row, [line[x] for line in values], bind) for x in range(columns)]
        for row in matrix
    ]
    return [[_combine(row, line, bind) for row in matrix] for line in half]


def _combine(
    row: Sequence[float], values: Sequence[Expr | None], bind: Callable[[Expr], Expr]
) -> Expr | None:
    """The sum of coefficients times values, additions first so that no term needs negating."""
    terms = [(c, v) for c, v in zip(row, values, strict=True) if c and v is not None]
    terms.sort(key=lambda term: (term[0] != 1, term[0] < 0))
    result: Expr | None = None
    for coefficient, value in terms:
        scaled = value if abs(coefficient) == 1 else value * tirx.const(abs(coefficient), "float32")
        if result is None:
            result = scaled if coefficient > 0 else tirx.const(0.0, "float32") - scaled
        else:
            result = result + scaled if coefficient > 0 else result - scaled
    return None if result is None else bind(result)
