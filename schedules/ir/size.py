"""Sizes that are known only when a program runs, as expressions of named ones.

A ``Size`` computes as an int does, so what derives extents, strides and numbers of chunks from
shapes need not know whether these are numbers. Where a kernel is written for a size that is not
known, some decisions depend on it: whether a tile fits, say. Inside of ``assuming`` comparisons are
decided for one choice of the sizes, and noted: the kernel is right wherever its conditions hold.
This is how tracing compilers guard their traces (Bolz et al., "Tracing the meta-level", 2009).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

from ..tvm_late import tirx
from .core import IRError

Sizes = Mapping[str, int]
_Number = Any  # an int, or an array of them


def _least(a: _Number, b: _Number) -> _Number:
    return a - (a - b) * (a > b)


_OPERATIONS: Mapping[str, Callable[[_Number, _Number], _Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "min": _least,
    "max": lambda a, b: a + b - _least(a, b),
}
_STRENGTH = {"+": 1, "-": 1, "*": 2, "//": 2, "%": 2}
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
    """Sizes that decide comparisons, and the conditions under which these are decided so."""

    sizes: Sizes
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
def assuming(sizes: Sizes) -> Iterator[Assumption]:
    """Comparisons in here are decided for these sizes."""
    assumption = Assumption(sizes, {})
    token = _assumed.set(assumption)
    try:
        yield assumption
    finally:
        _assumed.reset(token)


class Size:
    """A name, or an operation on two sizes; never negative where it is one of a tensor.

    Outside of ``assuming`` two are equal if they are written alike, and order is not defined.
    """

    __slots__ = ("operands", "operation", "text")

    operation: str
    operands: tuple[Any, ...]
    text: str

    def __init__(self, operation: str, *operands: int | Size) -> None:
        self.operation, self.operands = operation, operands
        self.text = _written(self)

    @staticmethod
    def named(name: str) -> Size:
        """The size that has a name."""
        return Size(name)

    @property
    def names(self) -> frozenset[str]:
        """The names in it."""
        if not self.operands:
            return frozenset((self.operation,))
        return frozenset().union(*(o.names for o in self.operands if isinstance(o, Size)))

    def at(self, sizes: Mapping[str, _Number]) -> _Number:
        """The number where each name has a size; arrays give an array."""
        if not self.operands:
            return sizes[self.operation]
        left, right = (value(operand, sizes) for operand in self.operands)
        return _OPERATIONS[self.operation](left, right)

    @property
    def expression(self) -> Any:
        """In TensorIR, over ``size_variable`` of its names."""
        if not self.operands:
            return size_variable(self.operation)
        left, right = (_expression(operand) for operand in self.operands)
        match self.operation:
            case "//":
                return tirx.truncdiv(left, right)
            case "%":
                return tirx.truncmod(left, right)
            case "min":
                return tirx.min(left, right)
            case "max":
                return tirx.max(left, right)
        return _OPERATIONS[self.operation](left, right)

    def __tvm_ffi_object__(self) -> Any:
        """What TVM takes it for."""
        return self.expression

    # ---- arithmetic: with ints and sizes a size, with anything else TensorIR ----

    def __add__(self, other: Any) -> Any:
        return _combined("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return _combined("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return _combined("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _combined("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return _combined("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _combined("*", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _combined("//", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _combined("//", other, self)

    def __mod__(self, other: Any) -> Any:
        return _combined("%", self, other)

    def __rmod__(self, other: Any) -> Any:
        return _combined("%", other, self)

    # ---- comparison ----

    def __eq__(self, other: object) -> Any:
        return _compared("==", self, other)

    def __ne__(self, other: object) -> Any:
        return _compared("!=", self, other)

    def __lt__(self, other: Any) -> Any:
        return _compared("<", self, other)

    def __le__(self, other: Any) -> Any:
        return _compared("<=", self, other)

    def __gt__(self, other: Any) -> Any:
        return _compared(">", self, other)

    def __ge__(self, other: Any) -> Any:
        return _compared(">=", self, other)

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __hash__(self) -> int:
        return hash(self.text)

    def __index__(self) -> NoReturn:
        raise TypeError(f"the size {self} is not known before it runs")

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def value(size: int | Size, sizes: Mapping[str, _Number]) -> _Number:
    """The number that a size is; a number is itself."""
    return size.at(sizes) if isinstance(size, Size) else size


def size_variable(name: str) -> Any:
    """The TensorIR variable that has the name's size in every kernel."""
    if name not in _variables:
        _variables[name] = tirx.Var(f"size_{name}", "int32")
    return _variables[name]


_variables: dict[str, Any] = {}


def _expression(size: int | Size) -> Any:
    return size.expression if isinstance(size, Size) else tirx.const(size, "int32")


def _combined(operation: str, left: Any, right: Any) -> Any:
    for operand in (left, right):
        if isinstance(operand, float):
            raise TypeError(f"a size is not known before it runs: {left} {operation} {right}")
        if not isinstance(operand, int | Size):
            left, right = (o.expression if isinstance(o, Size) else o for o in (left, right))
            if operation in ("//", "%"):
                return (tirx.truncdiv if operation == "//" else tirx.truncmod)(left, right)
            return _OPERATIONS[operation](left, right)
    return simplified(operation, left, right)


def simplified(operation: str, left: int | Size, right: int | Size) -> int | Size:
    """The operation on two sizes, without what changes nothing."""
    if isinstance(left, int) and isinstance(right, int):
        return int(_OPERATIONS[operation](left, right))
    if isinstance(left, int) and operation in ("+", "*"):
        left, right = right, left
    if isinstance(left, Size) and isinstance(right, int):
        return _with_number(operation, left, right)
    if operation in ("min", "max", "-") and str(left) == str(right):
        return 0 if operation == "-" else left
    return Size(operation, left, right)


def _with_number(operation: str, left: Size, right: int) -> int | Size:  # noqa: PLR0911
    """Numbers stand first in products and last in sums, one in each."""
    if right == {"+": 0, "-": 0, "*": 1, "//": 1}.get(operation):
        return left
    if (operation, right) in (("*", 0), ("%", 1)):
        return 0
    inner = left.operands
    if operation == "*":
        if left.operation == "*" and isinstance(inner[0], int):
            return simplified("*", inner[0] * right, inner[1])
        return Size("*", right, left)
    if operation in ("+", "-"):
        more = right if operation == "+" else -right
        if left.operation in ("+", "-") and isinstance(inner[1], int):
            more += inner[1] if left.operation == "+" else -inner[1]
            return _with_number("+", inner[0], more) if more else inner[0]
        return Size("+", left, more) if more > 0 else Size("-", left, -more)
    return Size(operation, left, right)


def _compared(relation: str, left: Size, right: object) -> Any:
    if not isinstance(right, int | Size):
        return NotImplemented
    alike = isinstance(right, Size) and left.text == right.text
    if alike:
        return relation in ("==", "<=", ">=")
    assumption = _assumed.get()
    if assumption is not None:
        return assumption.decide(relation, left, right)
    if relation in ("==", "!="):
        return relation == "!="
    raise IRError(f"{left} {relation} {right}: nothing says what the sizes are")


def _written(size: Size) -> str:
    if not size.operands:
        return size.operation
    return joined(size, str, size.operation)


def joined(size: Size, write: Callable[[Any], str], sign: str) -> str:
    """A size that is an operation, with what ``write`` makes of its operands."""
    strength = _STRENGTH.get(size.operation)
    left, right = size.operands
    if strength is None:
        return f"{size.operation}({write(left)},{write(right)})"
    before = write(left) if _strength(left) >= strength else f"({write(left)})"
    after = write(right) if _strength(right) > strength else f"({write(right)})"
    return f"{before}{sign}{after}"


def _strength(size: int | Size) -> int:
    return _STRENGTH.get(size.operation, 3) if isinstance(size, Size) and size.operands else 3


def ceildiv(a: Any, b: Any) -> Any:
    """``a / b`` rounded up, of numbers or sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b)
    return (a + (b - 1)) // b
