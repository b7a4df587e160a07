"""Sums and products of all elements up to each place along an axis, each row from end to end.

A chunk is some rows. Rows that lie side by side are gone through one after the other.

``grain``: input elements in a chunk, whole rows.
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...ir.size import at_least
from ...tir import arithmetic
from ...tir.indices import Index, ceildiv, divide, extent, modulo
from ...tir.literals import constant
from ..by_grain import Grain
from ..form import Emitted
from ..slots import phase_builder
from .form import Scan


def kernel(form: Scan, knobs: Grain) -> Emitted:
    """One phase."""
    outer, length, inner = form.sizes
    rows = outer * inner
    group = at_least(knobs.grain // at_least(length, 1), 1)
    builder = phase_builder(form, {})
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * group)
        with builder.loop(extent(first, group, rows), "row", first) as row:
            _row(builder, form, row)
    return Emitted((builder.finish(ceildiv(rows, group)),))


def _row(builder: PhaseBuilder, form: Scan, row: Index) -> None:
    _, length, inner = form.sizes
    node, dtype = form.node, form.workload.output.dtype
    multiplies = node.op == "cumprod"
    combined = arithmetic.multiply if multiplies else arithmetic.add
    begin = divide(row, inner) * (length * inner) + modulo(row, inner)
    start = builder.let(begin)
    total = builder.local(1, dtype)
    builder.store(total, 0, constant(1 if multiplies else 0, dtype))
    with builder.loop(length, "place") as place:
        along = length - 1 - place if node.attr("reverse") else place
        at = builder.let(start + along * inner)
        element, before = builder.load(builder["in0"], at), builder.let(builder.load(total, 0))
        if node.attr("exclusive"):
            builder.store(builder["out"], at, before)
        builder.store(total, 0, combined(before, element, builder.let))
        if not node.attr("exclusive"):
            builder.store(builder["out"], at, builder.load(total, 0))
