"""Sizes that are known only when a program runs, as expressions of named ones.

A ``Size`` computes as an int does, so what derives extents, strides and numbers of chunks from
shapes need not know whether these are numbers. Two are equal if they are written alike: code that
asks whether a size is 1 must be right where it is not told so. Order is another matter: whether a
tile fits, say. Inside of ``assuming`` it is decided for one choice of the sizes, and noted: the
kernel is right wherever its conditions hold. This is how tracing compilers guard their traces (Bolz
et al., "Tracing the meta-level", 2009).
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, NoReturn

from ..tvm_late import tirx
from .assumption import Condition, Sizes, assumed, assuming, value
from .core import IRError

__all__ = ["Condition", "Size", "Sizes", "UnknownSizeError", "assumed", "assuming", "value"]

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


class UnknownSizeError(TypeError):
    """Something asked for the number that a size is before it is known."""


class Size:
    """A name, a polynomial, or an operation on two sizes; not negative where a tensor has it.

    ``operands`` of a polynomial, whose operation is "+", are its terms, in an order of their own:
    so two that are equal are written alike.
    """

    __slots__ = ("operands", "operation", "text")

    operation: str
    operands: tuple[Any, ...]
    text: str

    def __init__(self, operation: str, *operands: Any) -> None:
        self.operation, self.operands = operation, operands
        self.text = self.written(str, operation)

    @staticmethod
    def named(name: str) -> Size:
        """The size that has a name."""
        return Size(name)

    def written(self, write: Callable[[int | Size], str], sign: str) -> str:
        """An expression of what ``write`` makes of its parts; ``sign`` is its operation's."""
        if not self.operands:
            return self.operation
        if self.operation == "+":
            return _written_sum(self.operands, write)
        if self.operation in ("min", "max"):
            return f"{sign}({','.join(map(write, self.operands))})"
        left, right = self.operands
        closed = isinstance(right, int) or not right.operands or right.is_call
        before = f"({write(left)})" if _is_sum(left) else write(left)
        return f"{before}{sign}{write(right)}" if closed else f"{before}{sign}({write(right)})"

    @property
    def is_call(self) -> bool:
        """Whether it is written with parentheses around its operands."""
        return self.operation in ("min", "max")

    @property
    def names(self) -> frozenset[str]:
        """The names in it."""
        if not self.operands:
            return frozenset((self.operation,))
        if self.operation == "+":
            atoms = [atom for term in self.operands for atom in term.atoms]
        else:
            atoms = [each for each in self.operands if isinstance(each, Size)]
        return frozenset().union(*(atom.names for atom in atoms))

    def at(self, sizes: Mapping[str, _Number]) -> _Number:
        """The number where each name has a size; arrays give an array."""
        if not self.operands:
            return sizes[self.operation]
        if self.operation == "+":
            return sum(
                term.factor * prod(a.at(sizes) for a in term.atoms) for term in self.operands
            )
        left, right = (value(operand, sizes) for operand in self.operands)
        return _OPERATIONS[self.operation](left, right)

    @property
    def expression(self) -> Any:
        """In TensorIR, over ``size_variable`` of its names."""
        if not self.operands:
            return size_variable(self.operation)
        if self.operation == "+":
            terms = (prod((a.expression for a in t.atoms), start=t.number) for t in self.operands)
            return sum(terms, start=tirx.const(0, "int32"))
        left, right = (expression(operand) for operand in self.operands)
        match self.operation:
            case "//":
                return tirx.truncdiv(left, right)
            case "%":
                return tirx.truncmod(left, right)
            case "min":
                return tirx.min(left, right)
        return tirx.max(left, right)

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

    def __neg__(self) -> Any:
        return _combined("-", 0, self)

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.text == other.text

    def __lt__(self, other: Any) -> Any:
        return _compared("<", self, other)

    def __le__(self, other: Any) -> Any:
        return _compared("<=", self, other)

    def __gt__(self, other: Any) -> Any:
        return _compared(">", self, other)

    def __ge__(self, other: Any) -> Any:
        return _compared(">=", self, other)

    def __hash__(self) -> int:
        return hash(self.text)

    def __divmod__(self, other: Any) -> NoReturn:
        raise UnknownSizeError(f"the size {self} is not known before it runs")

    __rdivmod__ = __divmod__

    def __index__(self) -> NoReturn:
        raise UnknownSizeError(f"the size {self} is not known before it runs")

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def fixed(size: int | Size) -> int:
    """The number that a size is assumed to be, and must be."""
    if isinstance(size, int):
        return size
    assumption = assumed()
    if assumption is None:
        raise IRError(f"nothing says what {size} is")
    number = int(size.at(assumption.sizes))
    assumption.decide("==", size, number)
    return number


def at_least(size: int, least: int) -> int:
    """The larger of the two, which is not decided where it is not known."""
    found: Any = simplified("max", size, least)
    return found  # type: ignore[no-any-return]


def at_most(size: int, most: int) -> int:
    """The smaller of the two, which is not decided where it is not known."""
    found: Any = simplified("min", size, most)
    return found  # type: ignore[no-any-return]


def size_variable(name: str) -> Any:
    """The TensorIR variable that has the name's size in every kernel."""
    if name not in _variables:
        _variables[name] = tirx.Var(f"size_{name}", "int32")
    return _variables[name]


_variables: dict[str, Any] = {}


def expression(size: int | Size) -> Any:
    """A size in TensorIR."""
    return size.expression if isinstance(size, Size) else tirx.const(size, "int32")


def _combined(operation: str, left: Any, right: Any) -> Any:
    for operand in (left, right):
        if isinstance(operand, float):
            raise UnknownSizeError(
                f"a size is not known before it runs: {left} {operation} {right}"
            )
        if not isinstance(operand, int | Size):
            left, right = (o.expression if isinstance(o, Size) else o for o in (left, right))
            if operation in ("//", "%"):
                return (tirx.truncdiv if operation == "//" else tirx.truncmod)(left, right)
            return _OPERATIONS[operation](left, right)
    return simplified(operation, left, right)


class Term(NamedTuple):
    """Of a polynomial: a factor times sizes that are none, in the order of their texts."""

    factor: int
    atoms: tuple[Size, ...]

    @property
    def number(self) -> Any:
        """The factor in TensorIR."""
        return tirx.const(self.factor, "int32")


def simplified(operation: str, left: int | Size, right: int | Size) -> int | Size:
    """The operation on two sizes, without what changes nothing."""
    if isinstance(left, int) and isinstance(right, int):
        return int(_OPERATIONS[operation](left, right))
    if operation == "*":
        pairs = itertools.product(_terms(left), _terms(right))
        return _polynomial(Term(a.factor * b.factor, a.atoms + b.atoms) for a, b in pairs)
    if operation in ("+", "-"):
        sign = 1 if operation == "+" else -1
        more = (Term(sign * factor, atoms) for factor, atoms in _terms(right))
        return _polynomial((*_terms(left), *more))
    if operation in ("//", "%") and isinstance(right, int):
        return _divided(operation, left, right)
    if isinstance(left, Size) and left == right:
        return {"//": 1, "%": 0}.get(operation, left)  # nothing is divided by a size that is 0
    return Size(operation, left, right)


def _divided(operation: str, left: int | Size, right: int) -> int | Size:
    """By a number, which divides the factors of some terms."""
    whole = _polynomial(Term(f // right, a) for f, a in _terms(left) if f % right == 0)
    rest = _polynomial(t for t in _terms(left) if t.factor % right)
    if isinstance(rest, int) and rest >= 0:
        return simplified("+", whole, rest // right) if operation == "//" else rest % right
    return Size(operation, left, right)


def _terms(size: int | Size) -> tuple[Term, ...]:
    if isinstance(size, int):
        return (Term(size, ()),)
    return size.operands if size.operation == "+" else (Term(1, (size,)),)


def _polynomial(terms: Iterable[Term]) -> int | Size:
    """The sum, terms with the same sizes as one: those with more sizes first, numbers last, and
    what is taken away after what is added."""
    factors: dict[tuple[str, ...], int] = {}
    atoms: dict[tuple[str, ...], tuple[Size, ...]] = {}
    for factor, of in terms:
        ordered = tuple(sorted(of, key=str))
        key = tuple(map(str, ordered))
        factors[key] = factors.get(key, 0) + factor
        atoms[key] = ordered
    kept = [key for key, factor in factors.items() if factor]
    kept.sort(key=lambda key: (factors[key] < 0, -len(key), key))
    if not kept or kept == [()]:
        return factors.get((), 0)
    if len(kept) == 1 and factors[kept[0]] == 1 and len(kept[0]) == 1:
        return atoms[kept[0]][0]
    return Size("+", *(Term(factors[key], atoms[key]) for key in kept))


def _written_sum(terms: Sequence[Term], write: Callable[[int | Size], str]) -> str:
    text = "" if terms[0].factor > 0 else write(0)
    for factor, atoms in terms:
        text += "-" if factor < 0 else "+" if text else ""
        factors = [write(abs(factor))] if abs(factor) != 1 or not atoms else []
        closed = (f"({write(a)})" if a.operands and not a.is_call else write(a) for a in atoms)
        text += "*".join((*factors, *closed))
    return text


def _is_sum(size: int | Size) -> bool:
    """Whether it is written as a sum of terms."""
    return isinstance(size, Size) and size.operation == "+" and len(size.operands) > 1


def _compared(relation: str, left: Size, right: object) -> Any:
    if not isinstance(right, int | Size):
        return NotImplemented
    if left == right:
        return relation in ("<=", ">=")
    assumption = assumed()
    if assumption is None:
        raise IRError(f"{left} {relation} {right}: nothing says what the sizes are")
    return assumption.decide(relation, left, right)


def ceildiv(a: int, b: int) -> int:
    """``a / b`` rounded up, of numbers or sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b)
    return (a + (b - 1)) // b
