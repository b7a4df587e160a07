"""Rows of tables of few bits: looked up first, and made floats of after that.

Else a table of embeddings would become floats as a whole, when the library is built or in each run.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node, Tensor

from ..graph import Array, Rewriter
from .few_bits_matrix import LEAST, Matrix
from .shared_numbers import Shared

_PACKED = (2, 4)  # bits of which a byte has several


def rows_of(b: Rewriter, node: Node, table: Matrix) -> int | None:
    """What ``take`` gives of a table; None where that is small, or several rows share a number."""
    axis = node.attr("axis")
    several = (each.varies(axis) and each.each[axis] > 1 for each in (table.zeros, table.scales))
    if table.numbers.size < LEAST or any(several):
        return None
    numbers, middle = _numbers(b, node, table.numbers)
    zeros = table.zeros.values + np.float32(middle)
    y = b.emit("cast", numbers, out=Tensor(node.out.shape, "float32"))
    if zeros.any():
        points = Shared(zeros, table.zeros.shape, table.zeros.each)
        y = b.emit("subtract", y, _spread(b, node, points))
    y = b.emit("multiply", y, _spread(b, node, table.scales))
    return b.emit("cast", y, out=node.out) if node.out.dtype != "float32" else y


def _numbers(b: Rewriter, node: Node, array: Array) -> tuple[int, int]:
    """The rows' numbers, more than they stand for by what is given, too."""
    axis, last = node.attr("axis"), array.ndim - 1
    if array.dtype.kind in "iu" and axis != last:
        low = int(array.min())
        most = int(array.max()) - low
        for bits in _PACKED:
            if most < 1 << bits and array.shape[last] % (8 // bits) == 0:
                unsigned = (array.view(np.uint8) - np.uint8(low & 255)).astype(np.uint8)
                return _unpacked(b, node, unsigned, bits), -low
    return b.emit("take", b.constant(np.ascontiguousarray(array)), node.args[1], axis=axis), 0


def _unpacked(b: Rewriter, node: Node, array: Array, bits: int) -> int:
    """A byte has numbers that are an equal part of the row apart."""
    count = 8 // bits
    parts = np.split(array, count, axis=-1)
    packed = parts[0].copy()
    for i, part in enumerate(parts[1:], 1):
        packed |= part << np.uint8(bits * i)
    row = b.emit("take", b.constant(packed), node.args[1], axis=node.attr("axis"))
    mask = b.scalar((1 << bits) - 1, "uint8")
    fields = [row, *(_moved(b, row, bits * i) for i in range(1, count))]
    own = [b.emit("bitwise_and", field, mask, out=b.values[row]) for field in fields]
    return b.emit("concat", *own, axis=len(node.out.shape) - 1)


def _moved(b: Rewriter, row: int, bits: int) -> int:
    return b.emit("right_shift", row, b.scalar(bits, "uint8"), out=b.values[row])


def _spread(b: Rewriter, node: Node, shared: Shared) -> int:
    """What is shared of the chosen rows, so that it broadcasts to them."""
    axis, rank = node.attr("axis"), len(shared.shape)
    chosen = b.values[node.args[1]].shape
    if not shared.varies(axis):
        few = shared.values.reshape(
            (*shared.values.shape[:axis], *(1 for _ in chosen), *shared.values.shape[axis + 1 :])
        )
        found = b.constant(np.ascontiguousarray(few))
    else:
        own = np.ascontiguousarray(shared.values)
        found = b.emit("take", b.constant(own), node.args[1], axis=axis)
    for old in range(rank):
        place = old if old < axis else old + len(chosen) - 1
        if old != axis and shared.each[old] > 1 and shared.varies(old):
            found = _repeated(b, found, place, shared.each[old], shared.shape[old])
    return found


def _repeated(b: Rewriter, value: int, axis: int, times: int, size: int) -> int:
    """Each element along a dimension so often, until there are ``size``."""
    shape, dtype = b.values[value].shape, b.values[value].dtype
    split = b.reshaped(value, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    wide = (*shape[: axis + 1], times, *shape[axis + 1 :])
    whole = (*shape[:axis], shape[axis] * times, *shape[axis + 1 :])
    found = b.reshaped(b.emit("broadcast_to", split, out=Tensor(wide, dtype)), whole)
    if whole[axis] == size:
        return found
    cut = Tensor((*shape[:axis], size, *shape[axis + 1 :]), dtype)
    return b.emit("slice", found, out=cut, begin=(0,) * len(shape), steps=(1,) * len(shape))
