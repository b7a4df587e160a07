"""Numbers that change while a text is gone through, and its bytes."""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx


class Cell:
    """A number of this worker."""

    def __init__(self, builder: PhaseBuilder, value: int, dtype: str = "int32") -> None:
        self._builder, self._dtype = builder, dtype
        self._buffer = builder.local(1, dtype)
        self.set(value)

    def set(self, value: Expr | int) -> None:
        """Give it another value."""
        given = constant(value, self._dtype) if isinstance(value, int) else value
        self._builder.store(self._buffer, 0, given)

    def add(self, more: Expr | int) -> None:
        """Add to it."""
        given = constant(more, self._dtype) if isinstance(more, int) else more
        self.set(self.now + given)

    @property
    def now(self) -> Expr:
        """Its value where this is used."""
        return self._builder.load(self._buffer, 0)


def byte(value: int) -> Expr:
    """A literal."""
    return constant(value, "uint8")


def one_if(condition: Expr, dtype: str = "int32") -> Expr:
    """1, or 0."""
    return tirx.Select(condition, constant(1, dtype), constant(0, dtype))


def fill(builder: PhaseBuilder, buffer: Any, begin: Index, count: int) -> None:
    """Write zeros."""
    with builder.loop(count, "zero") as i:
        builder.store(buffer, begin + i, byte(0))
