"""Sorting by digits: places go to where their keys' digits send them, from the lowest digit up.

Each pass keeps the order of what has the same digit, so that equal keys stay in theirs (Knuth, The
Art of Computer Programming 3, 5.2.5). Passes are linear and as many as a key has digits, an even
number: what starts in one list is back in it after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..emit.builder import PhaseBuilder, Slot
from ..ir.dtype import DTYPES
from ..ir.size import ceildiv
from ..ir.workload import Tensor
from ..tir.indices import Expr, Index
from ..tir.literals import constant
from ..tvm_late import tirx


class Entries(NamedTuple):
    """Buffers with the keys and places of what is sorted."""

    keys: Any
    places: Any


class Scratch:
    """Slots in a worker's scratch, one after the other; each begins at a multiple of 64 bytes."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.size = 0

    def add(self, name: str, count: int, dtype: str) -> None:
        """Room for so many elements, which may be a ``Size``."""
        tensor = Tensor((count,), dtype)
        self.slots.append(Slot(None, name, tensor, offset=self.size))
        self.size = self.size + ceildiv(tensor.nbytes, 64) * 64

    def add_entries(self, name: str, count: int, keys: str) -> None:
        """The buffers of ``entries``."""
        self.add(f"{name}_keys", count, keys)
        self.add(f"{name}_places", count, "int32")


def entries(builder: PhaseBuilder, name: str) -> Entries:
    """Those that ``add_entries`` made room for."""
    return Entries(builder[f"{name}_keys"], builder[f"{name}_places"])


class Digits:
    """The digits of keys of one type, the lowest first, and how often each is there."""

    def __init__(self, keys: str) -> None:
        bits = DTYPES[keys].bits
        self.keys, self.number = keys, max(2, bits // 8)
        self.width = bits // self.number
        self.base = 1 << self.width

    def reserve(self, scratch: Scratch) -> None:
        """Room for the counts of every digit."""
        scratch.add("counts", self.number * self.base, "int32")

    def shifted(self, key: Expr, digit: int) -> Expr:
        """The key without the digits below one."""
        shift = digit * self.width
        return tirx.shift_right(key, constant(shift, self.keys)) if shift else key

    def of(self, key: Expr, digit: int) -> Expr:
        """One digit, as an index."""
        low = tirx.bitwise_and(self.shifted(key, digit), constant(self.base - 1, self.keys))
        return tirx.Cast("int32", low)

    def clear(self, builder: PhaseBuilder, digits: int) -> None:
        """No counts of the first ``digits``."""
        with builder.loop(digits * self.base, "slot") as slot:
            builder.store(builder["counts"], slot, constant(0, "int32"))

    def count(self, builder: PhaseBuilder, key: Expr, digit: int, row: int) -> None:
        """One more of the key's digit, among the counts of ``row``."""
        counts = builder["counts"]
        slot = row * self.base + self.of(key, digit)
        builder.store(counts, slot, builder.load(counts, slot) + 1)

    def sort(
        self,
        builder: PhaseBuilder,
        count: Index,
        first: Entries,
        second: Entries,
        last: Callable[[Expr, Expr], None] | None = None,
    ) -> None:
        """Sort ``count`` entries, which are in ``first`` and are there again at the end.

        ``last``, of a rank and a place, takes what the last pass gives instead.
        """
        self.clear(builder, self.number)
        with builder.loop(count, "entry") as entry:
            for digit in range(self.number):
                self.count(builder, builder.load(first.keys, entry), digit, digit)
        for digit in range(self.number):
            source, target = (first, second) if digit % 2 == 0 else (second, first)
            self._add_up(builder, digit)
            for entry, rank in self._ranks(builder, count, source, digit):
                place = builder.load(source.places, entry)
                if last is not None and digit == self.number - 1:
                    last(rank, place)
                    continue
                builder.store(target.keys, rank, builder.load(source.keys, entry))
                builder.store(target.places, rank, place)

    def _add_up(self, builder: PhaseBuilder, digit: int) -> None:
        """From how many have each digit to how many have a lower one."""
        counts = builder["counts"]
        total, here = builder.local(1, "int32"), builder.local(1, "int32")
        builder.store(total, 0, constant(0, "int32"))
        with builder.loop(self.base, "value") as value:
            slot = digit * self.base + value
            builder.store(here, 0, builder.load(counts, slot))
            builder.store(counts, slot, builder.load(total, 0))
            builder.store(total, 0, builder.load(total, 0) + builder.load(here, 0))

    def _ranks(
        self, builder: PhaseBuilder, count: Index, source: Entries, digit: int
    ) -> Iterator[tuple[Expr, Expr]]:
        """Each entry, and where its digit sends it."""
        counts = builder["counts"]
        slot, rank = builder.local(1, "int32"), builder.local(1, "int32")
        with builder.loop(count, "entry") as entry:
            value = self.of(builder.load(source.keys, entry), digit)
            builder.store(slot, 0, digit * self.base + value)
            builder.store(rank, 0, builder.load(counts, builder.load(slot, 0)))
            builder.store(counts, builder.load(slot, 0), builder.load(rank, 0) + 1)
            yield entry, builder.load(rank, 0)
