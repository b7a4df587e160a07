"""What was chosen of a row in order: by comparing all with all where they are few, or by digits."""

from __future__ import annotations

from ...ir.dtype import INT32
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import Digits, Entries, entries
from ..rows import reduce_row
from .row import Row


def give_in_order(row: Row, digits: Digits, listed: Entries) -> None:
    """The first ``row.wanted`` entries of a list, each as the result of its rank."""
    builder, few = row.builder, digits.base // 2  # comparisons take less than adding counts up
    if not isinstance(row.wanted, int) or not 0 < row.wanted <= few:
        digits.sort(builder, row.wanted, listed, entries(builder, "sorted"), row.give)
        return
    with builder.loop(row.wanted, "entry") as entry:
        rank = _rank(row, listed, entry)
        row.give(rank, builder.load(listed.places, entry))


def _rank(row: Row, listed: Entries, entry: Index) -> Expr:
    """How many come before it; of equals the lower place does."""
    builder = row.builder
    key, place = (builder.let(builder.load(x, entry)) for x in (listed.keys, listed.places))

    def comes_before(other: Index) -> Expr:
        its_key, its_place = (builder.load(x, other) for x in (listed.keys, listed.places))
        first = tirx.Or(its_key < key, tirx.And(its_key == key, its_place < place))
        return tirx.Select(first, constant(1, "int32"), constant(0, "int32"))

    return reduce_row(builder, row.wanted, row.lanes, "sum", INT32.name, comes_before)
