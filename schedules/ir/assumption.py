"""What is assumed of sizes while a kernel is written for those that are known only at run time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .size import Size

Sizes = Mapping[str, int]
_Number = Any  # an int, or an array of them

_RELATIONS: Mapping[str, Callable[[_Number, _Number], _Number]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


@dataclass(frozen=True)
class Condition:
    """A relation between two sizes, one of which is not a number."""

    relation: str
    left: int | Size
    right: int | Size

    def holds(self, sizes: Mapping[str, _Number]) -> _Number:
        """Whether it does; an array of truths where ``sizes`` are arrays."""
        return _RELATIONS[self.relation](value(self.left, sizes), value(self.right, sizes))

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"


@dataclass
class Assumption:
    """Sizes that decide comparisons, and the conditions under which these are decided so.

    ``names`` is the order in which kernels are given sizes.
    """

    sizes: Sizes
    names: tuple[str, ...]
    conditions: dict[str, Condition]

    def decide(self, relation: str, left: int | Size, right: int | Size) -> bool:
        """For the sizes; noted."""
        condition = Condition(relation, left, right)
        holds = bool(condition.holds(self.sizes))
        if not holds:
            condition = Condition(_OPPOSITE[relation], left, right)
        self.conditions[str(condition)] = condition
        return holds


_assumed: ContextVar[Assumption | None] = ContextVar("assumed", default=None)


@contextmanager
def assuming(sizes: Sizes, names: tuple[str, ...] = ()) -> Iterator[Assumption]:
    """Comparisons in here are decided for these sizes; kernels get sizes in the order of names."""
    assumption = Assumption(sizes, names, {})
    token = _assumed.set(assumption)
    try:
        yield assumption
    finally:
        _assumed.reset(token)


def assumed() -> Assumption | None:
    """What is assumed here."""
    return _assumed.get()


def value(size: int | Size, sizes: Mapping[str, _Number]) -> _Number:
    """The number that a size is; a number is itself."""
    return size if isinstance(size, int) else size.at(sizes)
