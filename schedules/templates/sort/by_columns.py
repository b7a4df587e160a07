"""The first of several rows at once, whose elements lie next to each other: a lane for each row.

An entry is a key and below it the place, so that no two are equal. What is wanted is a list in
registers, in order; each entry goes through it, and what is larger goes on.
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...ir.dtype import DTYPES
from ...ir.size import Size
from ...tir.indices import Expr, Index, divide, modulo, tail
from ...tir.literals import constant
from ...tir.order import key_dtype, key_of
from ...tvm_late import tirx
from .form import FEW, Sort

LANES = 8
_ENTRY, _PLACE_BITS = "uint64", 32


def fits(form: Sort) -> bool:
    """Whether there are enough rows side by side, and registers have room for the lists."""
    *_, inner = form.sizes
    if isinstance(inner, Size) or isinstance(form.wanted, Size):
        return False
    bits = DTYPES[key_dtype(form.workload.inputs[0].dtype)].bits
    return inner >= LANES and form.wanted <= FEW and bits <= _PLACE_BITS


def by_columns(builder: PhaseBuilder, form: Sort, number: Index, blocks: int) -> None:
    """Block ``number`` of rows, of which each outer index has ``blocks``."""
    _, length, inner = form.sizes
    outer, block = builder.let(divide(number, blocks)), builder.let(modulo(number, blocks))
    for begin, extent in builder.block(block, LANES, inner):
        for offset, lanes in tail(0, extent, LANES):
            column = builder.let(begin + offset)
            source = builder.let(outer * (length * inner) + column)
            _lanes(builder, form, source, outer * (form.wanted * inner) + column, lanes)


def _lanes(builder: PhaseBuilder, form: Sort, source: Expr, target: Expr, lanes: int) -> None:
    dtype, largest = form.workload.inputs[0].dtype, bool(form.node.attr("largest"))
    _, length, inner = form.sizes
    best = [builder.local(lanes, _ENTRY) for _ in range(form.wanted)]
    for listed in best:
        with builder.vector(lanes) as lane:
            builder.store(listed, lane, tirx.bitwise_not(constant(0, _ENTRY)))
    with builder.loop(length, "place") as place, builder.vector(lanes) as lane:
        x = builder.load(builder["in0"], source + place * inner + lane)
        key = tirx.Cast(_ENTRY, key_of(x, dtype, largest))
        high = tirx.shift_left(key, constant(_PLACE_BITS, _ENTRY))
        entry = builder.keep(tirx.bitwise_or(high, tirx.Cast(_ENTRY, place)))
        for listed in best:
            own = builder.load(listed, lane)
            larger = builder.keep(tirx.max(own, entry))
            builder.store(listed, lane, tirx.min(own, entry))
            entry = larger
    for rank, listed in enumerate(best):
        with builder.vector(lanes) as lane:
            low = tirx.bitwise_and(
                builder.load(listed, lane), constant((1 << _PLACE_BITS) - 1, _ENTRY)
            )
            place = tirx.Cast(form.workload.output.dtype, low)
            builder.store(builder["out"], target + rank * inner + lane, place)
