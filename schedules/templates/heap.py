"""A heap of whole numbers without a sign, whose smallest one is always at hand.

Williams and Floyd's (Knuth, The Art of Computer Programming 3, 5.2.3): to put ``n`` in order takes
linear time, to take the smallest one a logarithm of ``n``.
"""

from __future__ import annotations

from ..emit.builder import PhaseBuilder
from ..ir.dtype import DTYPES
from ..tir.indices import Expr
from ..tir.literals import constant
from ..tvm_late import tirx
from .radix import Scratch


class Heap:
    """``reserve``, then ``begin``, ``add`` all, ``order`` them and ``take`` one after the other."""

    def __init__(self, name: str, keys: str) -> None:
        self.name, self.keys = name, keys
        self._most = (1 << DTYPES[keys].bits) - 1

    def reserve(self, scratch: Scratch, count: int) -> None:
        """Room for so many, and one more at the end, which is after all others."""
        scratch.add(self.name, count + 1, self.keys)

    def begin(self, builder: PhaseBuilder) -> None:
        """In the phase that is being written."""
        self._builder, self._buffer = builder, builder[self.name]
        self._count, self._at = builder.local(1, "int32"), builder.local(1, "int32")
        self._sinks, self._item = builder.local(1, "int32"), builder.local(1, self.keys)
        self._set_count(constant(0, "int32"))

    @property
    def count(self) -> Expr:
        """How many there are."""
        return self._builder.load(self._count, 0)

    def add(self, key: Expr, one: Expr) -> None:
        """At the end, not in order; ``one`` is 0 where it does not count."""
        at = self._builder.let(self.count)
        self._builder.store(self._buffer, at, key)
        self._set_count(at + one)

    def order(self) -> None:
        """After all were added."""
        builder = self._builder
        self._end()
        half = builder.let(tirx.shift_right(self.count, constant(1, "int32")))
        with builder.loop(half, "parent") as parent:
            builder.store(self._at, 0, half - 1 - parent)
            self._sink()

    def take(self) -> Expr:
        """The smallest one, of at least one."""
        builder = self._builder
        taken = builder.local(1, self.keys)
        builder.store(taken, 0, builder.load(self._buffer, 0))
        last = builder.let(self.count - 1)
        builder.store(self._buffer, 0, builder.load(self._buffer, last))
        self._set_count(last)
        self._end()
        builder.store(self._at, 0, constant(0, "int32"))
        self._sink()
        return builder.load(taken, 0)

    def _set_count(self, count: Expr) -> None:
        self._builder.store(self._count, 0, count)

    def _end(self) -> None:
        """So that whoever has one child need not know that there is no other."""
        self._builder.store(self._buffer, self.count, constant(self._most, self.keys))

    def _sink(self) -> None:
        """What is at ``_at`` changes places with its smaller child until neither is smaller."""
        builder, buffer = self._builder, self._buffer
        item, at, sinks = self._item, self._at, self._sinks
        builder.store(item, 0, builder.load(buffer, builder.load(at, 0)))
        builder.store(sinks, 0, constant(1, "int32"))
        child = builder.load(at, 0) * 2 + 1
        with builder.repeated(tirx.And(builder.load(sinks, 0) > 0, child < self.count)):
            first = builder.let(builder.load(at, 0) * 2 + 1)
            left, right = builder.load(buffer, first), builder.load(buffer, first + 1)
            smaller = builder.local(1, "int32")
            builder.store(smaller, 0, first + tirx.Cast("int32", right < left))
            least = builder.load(buffer, builder.load(smaller, 0))
            builder.store(sinks, 0, tirx.Cast("int32", least < builder.load(item, 0)))
            with builder.when(builder.load(sinks, 0) > 0):
                builder.store(buffer, builder.load(at, 0), least)
                builder.store(at, 0, builder.load(smaller, 0))
        builder.store(buffer, builder.load(at, 0), builder.load(item, 0))
