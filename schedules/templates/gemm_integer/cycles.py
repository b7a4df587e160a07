"""Cycles of a register tile of a product of whole numbers, as default schedules count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...emit.dot_products import Layout
from ...emit.tables import table_of
from ...emit.whole_tiles import ROWS, TileProduct

if TYPE_CHECKING:
    from .form import IntegerGemm

# Measured on Zen 5: bytes in a cycle; operations that a vector of sums takes after the last step.
_FROM_L2, _FROM_BEYOND, _STORED = 42.0, 10.0, 4.8
_TILES_FROM_L2 = 21.0  # by loads of tiles; measured on Emerald Rapids
_HIDING = 6  # the more, the better a panel's way and the steps hide each other
# More of a row's piece that is narrower than the four vectors which are narrowed to one together;
# measured on Zen 4.
_SHORT, _TOGETHER = 2.0, 4
# Of operations, 1.2 for each operator, that make what is stored of a tile: the more there are, the
# later the next tile's steps begin. Measured on Zen 4.
_MADE, _WAITING = 1.2, 0.0015
# Where one of the widest vectors is loaded in a cycle, few sums and loads hide each other badly in
# tiles of more products than wait for their operands together: tiles of 2x4, 4x2 and 6x2 vectors
# take 1.16, 1.06 and 1.01 times as long as 3x4 (depth 64). Measured on Zen 4.
_LATENCY, _FEW_SUMS, _AT_ONCE = 4.7, 3, 32


def tile_cycles(form: IntegerGemm, tile: tuple[int, int], width: int, layout: Layout) -> float:
    """Of a tile of so many rows and vectors, whose panel is ``width`` vectors wide. Steps and the
    panel's way from L2, or beyond, go on at once, but hide each other less the more alike they
    are."""
    (rows, count), sums = tile, tile[0] * tile[1]
    micro, target, steps = form.micro(layout), form.target, form.depth(layout)
    vector = micro.b.nbytes(micro.steps * micro.groups * form.lanes)
    panel, far, whole = steps * width * vector, 0.0, isinstance(micro, TileProduct)
    if panel >= target.l1 or (whole and form.product.m <= ROWS):  # none again
        near = _TILES_FROM_L2 if whole else _FROM_L2
        far = count * vector / (near if 2 * panel <= target.l2 else _FROM_BEYOND)
    near = micro.cycles(rows, count, target)
    if target.costs.loads == 1 and layout == "fours" and steps * sums > _AT_ONCE:
        near = _both((near, _LATENCY, count + rows / 2), _FEW_SUMS)
    step = _both((near, far), _HIDING)
    stored = _STORED * sums + _SHORT * rows * (count % _TOGETHER).bit_count()
    stored /= target.costs.operations
    if whole:
        return max(steps * step + micro.around, stored + micro.kept)
    if target.costs.has_room:
        stored += (_made(form) * sums) ** 2 * _WAITING
    return steps * step + micro.around + stored


def _both(terms: tuple[float, ...], hiding: int) -> float:
    """What goes on at once, of which the longest nearly hides the others."""
    return float(sum(term**hiding for term in terms) ** (1 / hiding))


def _made(form: IntegerGemm) -> float:
    """Operations that make what is stored of a vector of sums, up to what a table has."""
    workload = form.workload
    table, first = table_of(workload, form.target), len(workload.inputs)
    computed = len(workload.nodes) if table is None else table.arg - first + 1
    return _MADE * sum(node.op != "const" for node in workload.nodes[1:computed])
