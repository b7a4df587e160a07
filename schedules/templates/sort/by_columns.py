"""The first of several rows at once, whose elements lie next to each other: a lane for each row.

An entry is a key and below it the place, so that no two are equal. What is wanted is a list in
registers, in order; each entry goes through it, and what is larger goes on.

No instruction before AVX-512 finds the smaller of two whole numbers of 64 bits. There a float64
from 1 to 2 is an entry, whose last 52 bits are a key and a place in rows that are not very long.
"""

from __future__ import annotations

from itertools import product

from ...emit.builder import PhaseBuilder
from ...ir.dtype import DTYPES
from ...ir.size import Size
from ...tir.indices import Expr, Index, divide, modulo, tail
from ...tir.literals import constant
from ...tir.order import key_dtype, key_of
from ...tvm_late import tirx
from .form import FEW, Sort

LANES = 8
_BITS, _PLACE_BITS, _FEW_BITS = "uint64", 32, 20
_EXTREMES = {2: "llvm.x86.sse2.{}.pd", 4: "llvm.x86.avx.{}.pd.256"}  # by lanes of float64


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
    width = min(lanes, form.target.isa.lanes(DTYPES[_BITS]))  # of one register
    entry_type = _Entry(length, width)
    parts = range(0, lanes, width)
    best = [
        {part: builder.local(width, entry_type.dtype) for part in parts} for _ in range(form.wanted)
    ]
    for listed, part in product(best, parts):
        with builder.vector(width) as lane:
            builder.store(listed[part], lane, entry_type.last)
    entries = builder.local(lanes, entry_type.dtype)
    with builder.loop(length, "place") as place:
        with builder.vector(lanes) as lane:
            x = builder.load(builder["in0"], source + place * inner + lane)
            builder.store(entries, lane, entry_type.of(key_of(x, dtype, largest), place))
        for part in parts:
            with builder.vector(width) as lane:
                entry = builder.load(entries, part + lane)
                for listed in best:
                    own = builder.load(listed[part], lane)
                    larger = builder.keep(entry_type.larger(own, entry))
                    builder.store(listed[part], lane, entry_type.smaller(own, entry))
                    entry = larger
    for (rank, listed), part in product(enumerate(best), parts):
        with builder.vector(width) as lane:
            place = entry_type.place(builder.load(listed[part], lane))
            place = tirx.Cast(form.workload.output.dtype, place)
            builder.store(builder["out"], target + rank * inner + part + lane, place)


class _Entry:
    """A key and a place as one number, for rows of some length and vectors of so many lanes."""

    def __init__(self, length: Index, lanes: int) -> None:
        self._lanes = lanes
        self.is_float = lanes in _EXTREMES and isinstance(length, int) and length <= 1 << _FEW_BITS
        self.dtype = "float64" if self.is_float else _BITS
        self._place_bits = _FEW_BITS if self.is_float else _PLACE_BITS

    @property
    def last(self) -> Expr:
        """None is larger."""
        if self.is_float:
            return self._from_bits(constant((1 << 52) - 1, _BITS))
        return tirx.bitwise_not(constant(0, _BITS))

    def of(self, key: Expr, place: Expr) -> Expr:
        """Of a key of at most 32 bits."""
        high = tirx.shift_left(tirx.Cast(_BITS, key), constant(self._place_bits, _BITS))
        return self._from_bits(tirx.bitwise_or(high, tirx.Cast(_BITS, place)))

    def place(self, entry: Expr) -> Expr:
        """The place in it."""
        bits = tirx.call_intrin(_BITS, "tirx.reinterpret", entry) if self.is_float else entry
        return tirx.bitwise_and(bits, constant((1 << self._place_bits) - 1, _BITS))

    def smaller(self, a: Expr, b: Expr) -> Expr:
        """Of two entries, which are no NaN: LLVM makes comparisons of it by itself."""
        if not self.is_float:
            return tirx.min(a, b)
        return tirx.call_llvm_pure_intrin(self.dtype, _EXTREMES[self._lanes].format("min"), a, b)

    def larger(self, a: Expr, b: Expr) -> Expr:
        """The other one."""
        if not self.is_float:
            return tirx.max(a, b)
        return tirx.call_llvm_pure_intrin(self.dtype, _EXTREMES[self._lanes].format("max"), a, b)

    def _from_bits(self, bits: Expr) -> Expr:
        if not self.is_float:
            return bits
        one = constant(0x3FF << 52, _BITS)
        return tirx.call_intrin(self.dtype, "tirx.reinterpret", tirx.bitwise_or(bits, one))
