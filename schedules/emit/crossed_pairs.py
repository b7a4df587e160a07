"""Products of pairs with half of the multiplications, for numbers of 8 bits that lie in 16.

``(a0 + b1) * (a1 + b0) = a0 * b0 + a1 * b1 + a0 * a1 + b0 * b1`` (Winograd, *A New Algorithm for
Inner Product*, 1968): of two products one multiplication is left, and what is too much is of a row
or of a column alone, so that sums start from less than that. Here each of the four is a pair of
neighbours along the depth, which ``pmaddwd`` multiplies and adds up. It takes two additions in the
place of a multiplication and an addition, which a processor that starts four additions but only two
multiplications in a cycle does sooner. Sums are right modulo 2^32, and so are results.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..ir.dtype import INT32, DType
from ..target.target import Target
from ..tir.indices import Expr, Index, ceildiv
from ..tir.literals import constant
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .dot_product import DotProduct, Registers
from .dot_products import INT16, PAIRS, wrapping_sum
from .lanes import lane_sums
from .tile import RegisterTile, splat, vector_index

MOST = 2**14  # of a depth, for which twice the products of a row with itself stay below 2^31
_MORE = 4  # registers: of both broadcasts, and of what is multiplied
_PAIR = 2


@dataclass(frozen=True)
class CrossedPairs(DotProduct):
    """A step is two pairs of each operand."""

    @property
    def around(self) -> float:
        """To start from other numbers than zero, and from those of rows, as measured on Zen 4."""
        return 18.0

    @property
    def starts(self) -> bool:
        """They do anyway, from what is too much; modulo 2^32."""
        return True

    def fits(self, rows: int, vectors: int, target: Target) -> bool:
        """Sums, both pairs of all columns, and those of a row."""
        return rows * vectors + 2 * vectors + _MORE <= target.vector_registers

    def cycles(self, rows: int, vectors: int, target: Target) -> float:
        """As measured on Zen 4: it starts four operations on vectors, and 5.7 instructions."""
        vector, loads = 4 * rows * vectors, 2 * (rows + vectors)
        started: float = max(vector / 3.9, loads / 2, (vector + loads + 3) / 5.7)
        return started + loads / 50

    @contextmanager
    def registers(self, builder: PhaseBuilder, width: int) -> Iterator[Registers]:
        """Tiles of panels of so many columns, which lie between a step's pairs."""
        yield partial(_Tile, builder, micro=self, width=width)

    def step(
        self,
        register: RegisterTile,
        shared: tuple[Any, Index, Index],
        own: tuple[Any, Index],
    ) -> None:
        """As of any pairs, crossed."""
        assert isinstance(register, _Tile)
        builder, (source, first, apart), (packed, begin) = register.builder, shared, own
        between = self.units(register.width)

        def pair_of(column: int, lanes: int, number: int) -> Expr:
            at = begin + number * between + self.units(column)
            return builder.let(self.vector(builder, packed, at, lanes))

        pairs = [[pair_of(*part, number) for number in range(2)] for part in register.parts]
        for row in range(register.rows):
            at = first + row * apart
            words = [self.group(builder, source, at + number * _PAIR) for number in range(2)]
            for part, (_, lanes) in enumerate(register.parts):
                one, other = (_pairs(splat(word, lanes), lanes) for word in words)
                low, high = pairs[part]
                product = _product(one + high, other + low, lanes)
                register.update(row, part, partial(wrapping_sum, product, lanes=lanes))


@dataclass
class _Tile(RegisterTile):
    width: int = field(default=0, kw_only=True)


def crosses(a: DType, depth: int, target: Target) -> bool:
    """Whether more additions than multiplications start in a cycle, as of vectors of 256 bits, and
    16 and 32 bits hold what is added up of rows of type ``a``."""
    costs, lanes = target.costs, target.lanes(INT32)
    fast = lanes <= 8 and costs.operations >= 2 * costs.multiply_adds
    return fast and a.bits == 8 and depth <= MOST


def crossed(lanes: int) -> CrossedPairs:
    """Of so many lanes of sums."""

    def emit(total: Expr, a: Expr, group: Expr) -> Expr:
        raise NotImplementedError("a step is of two pairs")

    return CrossedPairs(INT16, INT16, _PAIR, emit, element=INT16, groups=2)


def zero_end(builder: PhaseBuilder, row: tuple[Any, Index], count: int, lanes: int) -> None:
    """The last vector of a row, before its elements are written, unless they fill it."""
    vector = _PAIR * lanes
    if count % vector:
        at = vector_index(row[1] + count // vector * vector, vector)
        builder.store(row[0], at, splat(constant(0, INT16.name), vector))


def store_row_terms(
    builder: PhaseBuilder,
    rows: tuple[Any, Index, int],
    extents: tuple[int, int],
    target: tuple[Any, Index],
    lanes: int,
) -> None:
    """What the sums of some rows start from: less their own products. ``rows`` lie in a buffer from
    a place on, so far apart; ``extents`` are how many there are, and elements of each, behind which
    are zeros until the last vector is full. Of the target so many as are a multiple of ``lanes``
    are written."""
    (source, begin, pitch), (count, depth) = rows, extents
    every, order = vector_index(0, lanes), [tirx.const(lane ^ 1, "int32") for lane in range(lanes)]
    nothing = splat(constant(0, INT32.name), lanes)
    totals = [builder.local(lanes, INT32.name) for _ in range(count)]
    for total in totals:
        builder.store(total, every, nothing)
    with builder.loop(ceildiv(depth, _PAIR * lanes), "vector") as i:
        for row, total in enumerate(totals):
            at = begin + row * pitch + i * (_PAIR * lanes)
            pairs = builder.let(builder.load(source, vector_index(at, _PAIR * lanes)))
            name = f"{INT32.name}x{lanes}"
            words = builder.let(tirx.call_intrin(name, "tirx.reinterpret", pairs))
            others = _pairs(tirx.Shuffle([words], order), lanes)
            more = _product(pairs, others, lanes)
            builder.store(total, every, builder.load(total, every) + more)
    vectors = [builder.load(total, every) for total in totals]
    vectors += [nothing] * (-count % lanes)
    for first in range(0, count, lanes):
        sums = lane_sums(builder, vectors[first : first + lanes], lanes)
        once = tirx.shift_right(sums, splat(constant(1, INT32.name), lanes))  # each is there twice
        builder.store(target[0], vector_index(target[1] + first, lanes), nothing - once)


def store_column_terms(
    builder: PhaseBuilder,
    panel: Any,
    extents: tuple[int, int],
    bias: tuple[Any, Index] | None,
    target: Any,
    lanes: int,
) -> None:
    """What the sums of a panel's columns start from: a ``bias``, less their own products. The panel
    has so many pairs along the depth, and columns."""
    blocks, width = extents
    columns = range(0, width, lanes)
    totals = [builder.local(lanes, INT32.name) for _ in columns]
    every = vector_index(0, lanes)
    for total in totals:
        builder.store(total, every, splat(constant(0, INT32.name), lanes))
    with builder.loop(blocks // 2, "pairs") as i:
        for column, total in zip(columns, totals, strict=True):
            first = (2 * i * width + column) * _PAIR
            low, high = (
                builder.load(panel, vector_index(first + n * (_PAIR * width), _PAIR * lanes))
                for n in range(2)
            )
            builder.store(total, every, builder.load(total, every) + _product(low, high, lanes))
    for column, total in zip(columns, totals, strict=True):
        less = splat(constant(0, INT32.name), lanes) - builder.load(total, every)
        if bias is not None:
            held = builder.load(bias[0], vector_index(bias[1] + column, lanes))
            less = wrapping_sum(held, less, lanes)
        builder.store(target, vector_index(column, lanes), less)


def start_tile(
    register: RegisterTile, rows: tuple[Any, Index], columns: Any, builder: PhaseBuilder
) -> None:
    """What the sums of a tile start from, of what both of the above stored."""
    for row, part, start, _ in _terms(register, rows, columns, builder):
        register.update(row, part, lambda _, start=start: start)  # type: ignore[misc]


def add_terms(
    register: RegisterTile, rows: tuple[Any, Index], columns: Any, builder: PhaseBuilder
) -> None:
    """The same, of a tile that has sums already."""
    for row, part, start, lanes in _terms(register, rows, columns, builder):
        register.update(row, part, partial(wrapping_sum, start, lanes=lanes))


def _terms(
    register: RegisterTile, rows: tuple[Any, Index], columns: Any, builder: PhaseBuilder
) -> Iterator[tuple[int, int, Expr, int]]:
    """(row, part, what is added to the sums there, lanes)"""
    for row in range(register.rows):
        term = builder.let(builder.load(rows[0], rows[1] + row))
        for part, (column, lanes) in enumerate(register.parts):
            held = builder.load(columns, vector_index(column, lanes))
            yield row, part, wrapping_sum(held, splat(term, lanes), lanes), lanes


def _pairs(words: Expr, lanes: int) -> Expr:
    return tirx.call_intrin(f"int16x{_PAIR * lanes}", "tirx.reinterpret", words)


def _product(a: Expr, b: Expr, lanes: int) -> Expr:
    return tirx.call_llvm_pure_intrin(f"{INT32.name}x{lanes}", PAIRS[lanes], a, b)
