"""Whether outputs have as many dimensions, or tensors, at all sizes, as a library must."""

from __future__ import annotations

import math
from collections.abc import Sequence

from luthier.schedules import UnsupportedOperator
from luthier.schedules.ir.symbol import Symbol

from ..program import Program


def check_ranks(programs: Sequence[Program]) -> None:
    """Raises UnsupportedOperator where an output of a variant has more or fewer dimensions than
    that of the one for most sizes, or the largest. Of a sequence those tensors count that both
    have."""
    widest = max(programs, key=_extent)
    for other in programs:
        own = dict(other.outputs)
        for name, value in widest.outputs:
            if name not in own:
                continue
            theirs = own[name]
            ranks = [len(p.values[v].shape) for p, v in ((widest, value), (other, theirs))]
            if ranks[0] == ranks[1]:
                continue
            kept = _apart(widest.given, other.given)
            left = {symbol.name: symbol for symbol in other.given}[kept.name]
            raise UnsupportedOperator(
                f"output '{name}' has {ranks[1]} dimensions at {_said(left)}, and {ranks[0]} at "
                f"{_said(kept)}: leave sizes out, such as by --shape {_said(kept)}"
            )


def _extent(program: Program) -> tuple[int, list[int]]:
    """How many choices of sizes it is for, and the largest of them."""
    sizes = program.given
    return math.prod(s.most - s.least + 1 for s in sizes), [s.most for s in sizes]


def _apart(some: Sequence[Symbol], others: Sequence[Symbol]) -> Symbol:
    """The first of some sizes that the others do not have."""
    pairs = zip(some, others, strict=True)
    return next(a for a, b in pairs if a.most < b.least or b.most < a.least)


def _said(symbol: Symbol) -> str:
    """As an option has it."""
    one = symbol.least == symbol.most
    return f"{symbol.name}={symbol.least}" + ("" if one else f"..{symbol.most}")


def check_gives(programs: Sequence[Program]) -> None:
    """Raise UnsupportedOperator for sequences that are longer for other sizes of a model."""
    first = programs[0].gives
    for one, other in (pair for p in programs for pair in zip(first, p.gives, strict=False)):
        if one != other:
            raise UnsupportedOperator(
                f"the output '{one.name}' has another number of tensors for other sizes: give one "
                "size"
            )
