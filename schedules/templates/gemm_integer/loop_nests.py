"""The loop nests of products of whole numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...tir.indices import ceildiv
from ..loops import Loops, chosen

if TYPE_CHECKING:
    from .form import IntegerGemm, Knobs


def loop_nests(form: IntegerGemm, knobs: Knobs) -> Loops:
    """A step multiplies groups of a panel with groups of a tile."""
    p, target = form.product, form.target
    some, micro = form.layouts, form.micro(form.layouts[-1])
    depth = chosen(knobs.weights, {x: form.depth(x) for x in some})
    groups = chosen(knobs.weights, {x: form.micro(x).groups for x in some})
    bits = chosen(knobs.weights, {x: form.packing(x).b.bits for x in some})
    rows, vectors = knobs.rows, knobs.vectors
    tiles, panels = ceildiv(p.m, rows), ceildiv(p.n, vectors * form.lanes)
    high, wide = np.minimum(knobs.m_block, tiles), np.minimum(knobs.n_block, panels)
    batch = math.prod(p.batch)
    part = ceildiv(p.k, knobs.k_parts)
    a = micro.a.nbytes(part * rows)  # of a tile's rows
    b = part * vectors * form.lanes * bits // 8  # of a panel
    in_parts = np.where(knobs.k_parts > 1, knobs.k_parts, 0)  # sums are kept after each
    by_rows = knobs.order == "rows"
    return Loops(
        chunks=batch * ceildiv(tiles, high) * ceildiv(panels, wide),
        sums=rows * vectors,
        loads=rows + vectors * groups,
        depth=depth,
        steps=batch * tiles * panels * depth,
        work=batch * p.m * panels * vectors * depth,
        inner=a + b,
        kept=np.where(by_rows, a, b),
        streamed=batch * tiles * panels * knobs.k_parts * np.where(by_rows, b, a),
        chunk=high * a + wide * b + high * rows * wide * vectors * target.vector_bytes,
        other=batch * tiles * ceildiv(panels, wide) * rows * p.k / form.lanes
        + 2 * batch * tiles * panels * rows * vectors * in_parts,
    )
