"""ONNX's AffineGrid: places in an image, and where transformations take them.

The standard's own function takes the one transformation of a batch of one for none.
"""

from __future__ import annotations

import math

import numpy as np

from luthier.schedules import ModelError

from ..composites.math import matmul
from ..graph import Array
from .node import OnnxNode, Operator


def _affine_grid(node: OnnxNode) -> int:
    """Rows of places and a 1, times the columns of each transformation."""
    t, sizes, corners = node.t, node.constant(1, "its size"), bool(node.attr("align_corners", 0))
    count = 0 if sizes is None else sizes.size - 2
    if sizes is None or count not in (2, 3) or node.shape[1:] != (count, count + 1):
        raise ModelError(f"{node.label}: its transformations are {t.type(node.x)}")
    batch, _, *space = (int(size) for size in sizes.reshape(-1))
    if batch != node.shape[0] or min(space) < 1:
        raise ModelError(f"{node.label}: {t.type(node.x)} does not make {[batch, *space, count]}")
    node.check_table(math.prod(space) * (count + 1))
    along = [
        _from_minus_one(size, corners=corners, alone=count - axis == 3)
        for axis, size in enumerate(space)
    ]
    places = np.stack(np.meshgrid(*along, indexing="ij")[::-1], -1).reshape(-1, count)
    rows = np.concatenate([places, np.ones((len(places), 1))], 1).astype(
        t.type(node.x).element.numpy
    )
    columns = t.transpose(node.x, (0, 2, 1))
    return t.reshape(matmul(t, t.constant(rows), columns), (batch, *space, count))


def _from_minus_one(size: int, *, corners: bool, alone: bool) -> Array:
    """The middles of elements, or from corner to corner; one that is ``alone`` is at the first."""
    if not corners:
        return (2 * np.arange(size) + 1) / size - 1
    if size == 1 and not alone:
        return np.full(1, np.nan)  # as the standard spells it, which divides by 0
    return 2 * np.arange(size) / max(size - 1, 1) - 1


OPERATORS: dict[str, Operator] = {
    "AffineGrid": Operator(_affine_grid, build_time=(1,), in_steps=True, of_floats=True),
}
