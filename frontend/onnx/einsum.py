"""Einstein's summation: its notation, and its sums as products, transposes and slices."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.schedules import ModelError

from ..composites import math as composite
from ..composites import movement
from ..graph.emitter import Emitter
from .node import OnnxNode, Operator

_LETTERS = string.ascii_uppercase + string.ascii_lowercase


class EquationError(ValueError):
    """An equation that the standard does not know, or that does not fit the factors."""


@dataclass(frozen=True)
class Equation:
    """The letters of each factor and of the result; '...' has become letters of its own."""

    factors: tuple[str, ...]
    result: str

    def sizes(self, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
        """By letter, from the factors' shapes; of size 1, a dimension takes what others have.

        Raises EquationError.
        """
        sizes: dict[str, int] = {}
        for letters, shape in zip(self.factors, shapes, strict=True):
            for letter, size in zip(letters, shape, strict=True):
                known = sizes.get(letter, 1)
                if 1 not in (size, known) and size != known:
                    raise EquationError(f"an equation that gives '{letter}' two sizes")
                sizes[letter] = known if size == 1 else size
        return sizes


def parse(equation: str, ranks: Sequence[int]) -> Equation:
    """An Einsum's equation for factors of these ranks; raises EquationError."""
    equation = equation.replace(" ", "")
    left, arrow, result = equation.partition("->")
    factors = left.split(",")
    refused = EquationError(f"the equation '{equation}'")
    if len(factors) != len(ranks):
        raise refused
    free = [c for c in _LETTERS if c not in equation]
    hidden = 0
    for i, (factor, rank) in enumerate(zip(factors, ranks, strict=True)):
        count = rank - len(factor.replace("...", ""))
        if count < 0 or (count and "..." not in factor) or count > len(free):
            raise refused
        hidden = max(hidden, count)
        factors[i] = factor.replace("...", "".join(free[:count][::-1]))
    dots = "".join(free[:hidden][::-1])
    if arrow:
        result = result.replace("...", dots)
    else:
        letters = "".join(factors)
        once = sorted({c for c in letters if letters.count(c) == 1 and c not in dots})
        result = dots + "".join(once)
    known = set("".join(factors))
    if not known <= set(_LETTERS) or len(set(result)) < len(result) or not set(result) <= known:
        raise refused
    return Equation(tuple(factors), result)


@dataclass(frozen=True)
class _Factor:
    """A value, its shape, and the letter of each of its dimensions."""

    value: int
    shape: tuple[int, ...]
    letters: str

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.letters, self.shape, strict=True))


def _einsum(node: OnnxNode) -> int:
    """Factors are multiplied from left to right; a letter is summed when no other needs it."""
    t = node.t
    dtypes = sorted({t.dtype(x) for x in node.every})
    if len(dtypes) > 1:
        raise ModelError(f"{node.label}: its inputs are of several types ({', '.join(dtypes)})")
    shapes = [t.shape(x) for x in node.every]
    try:
        equation = parse(str(node.attr("equation", "")), [len(shape) for shape in shapes])
        factors = [
            _diagonal(node, _Factor(value, t.shape(value), letters))
            for value, letters in zip(node.every, equation.factors, strict=True)
        ]
        sizes = equation.sizes(shapes)
    except EquationError as error:
        raise node.unsupported(str(error)) from error
    result = equation.result
    factors = [_stretched(t, factor, sizes) for factor in factors]
    product = factors.pop(0)
    while factors:
        right = factors.pop(0)
        needed = set(result).union(*(f.letters for f in factors))
        product = _multiply(t, product, right, needed)
    product = _summed(t, product, set(result))
    ordered = sorted(product.letters, key=result.index)
    y = t.transpose(product.value, [product.letters.index(c) for c in ordered])
    y = t.reshape(y, [sizes[c] if c in ordered else 1 for c in result])
    return t.broadcast(y, [sizes[c] for c in result])


def _diagonal(node: OnnxNode, factor: _Factor) -> _Factor:
    """A letter that stands twice names the elements whose two indices are equal."""
    t, letters, shape = node.t, factor.letters, factor.shape
    twice = next((c for c in letters if letters.count(c) > 1), None)
    if twice is None:
        return factor
    first, second = [i for i, c in enumerate(letters) if c == twice][:2]
    size = shape[first]
    if shape[second] != size:
        raise node.unsupported(f"an equation that gives '{twice}' two sizes")
    others = [i for i in range(len(letters)) if i not in (first, second)]
    outer = [shape[i] for i in others]
    moved = t.transpose(factor.value, [*others, first, second])
    flat = t.reshape(moved, [*outer, size * size])
    taken = movement.strided_slice(t, flat, [len(outer)], [(0, size * size, size + 1)])
    rest = "".join(letters[i] for i in others)
    return _diagonal(node, _Factor(taken, (*outer, size), rest + twice))


def _stretched(t: Emitter, factor: _Factor, sizes: dict[str, int]) -> _Factor:
    """Without the dimensions of size 1 that other factors stretch."""
    kept = [c for c, size in factor.sizes.items() if size == sizes[c]]
    shape = tuple(sizes[c] for c in kept)
    return _Factor(t.reshape(factor.value, shape), shape, "".join(kept))


def _summed(t: Emitter, factor: _Factor, needed: set[str]) -> _Factor:
    axes = [i for i, c in enumerate(factor.letters) if c not in needed]
    if not axes:
        return factor
    kept = "".join(c for c in factor.letters if c in needed)
    value = composite.reduce(t, "sum", factor.value, axes, keepdims=False)
    return _Factor(value, t.shape(value), kept)


def _multiply(t: Emitter, left: _Factor, right: _Factor, needed: set[str]) -> _Factor:
    """One batched matrix product."""
    a = _summed(t, left, needed | set(right.letters))
    b = _summed(t, right, needed | set(left.letters))
    both = [c for c in a.letters if c in b.letters]
    batch, inner = [c for c in both if c in needed], [c for c in both if c not in needed]
    rows = [c for c in a.letters if c not in b.letters]
    columns = [c for c in b.letters if c not in a.letters]
    matrices = _matrix(t, a, [batch, rows, inner]), _matrix(t, b, [batch, inner, columns])
    letters, sizes = [*batch, *rows, *columns], a.sizes | b.sizes
    shape = tuple(sizes[c] for c in letters)
    spread = t.reshape(composite.matmul(t, *matrices), shape)
    return _Factor(spread, shape, "".join(letters))


def _matrix(t: Emitter, factor: _Factor, groups: Sequence[Sequence[str]]) -> int:
    order = [factor.letters.index(c) for group in groups for c in group]
    sizes = [math.prod(factor.sizes[c] for c in group) for group in groups]
    return t.reshape(t.transpose(factor.value, order), sizes)


OPERATORS: dict[str, Operator] = {"Einsum": Operator(_einsum, in_steps=True)}
