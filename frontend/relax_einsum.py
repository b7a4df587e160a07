"""Einstein's summation as matrix products, sums, transposes and slices of the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .relax_math import matmul, reduce
from .translation import Converter, Translation

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class _Factor:
    """A value, and the letter of each of its dimensions."""

    value: int
    letters: str


def _einsum(t: Translation, call: Any) -> int:
    """Factors are multiplied from left to right; a letter is summed when no other needs it."""
    values = t.values(call.args[0])
    terms, result = _parse(t, str(call.attrs.subscripts), values)
    sizes: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        for letter, size in zip(term, t.type(value).shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    factors = [
        _stretched(t, _diagonal(t, _Factor(value, term)), sizes)
        for term, value in zip(terms, values, strict=True)
    ]
    product = factors.pop(0)
    while factors:
        right = factors.pop(0)
        needed = set(result).union(*(f.letters for f in factors))
        product = _multiply(t, product, right, needed)
    product = _summed(t, product, set(result))
    ordered = "".join(sorted(product.letters, key=result.index))
    y = t.transpose(product.value, [product.letters.index(c) for c in ordered])
    y = t.reshape(y, [sizes[c] if c in ordered else 1 for c in result])
    return t.broadcast(y, [sizes[c] for c in result])


def _parse(t: Translation, equation: str, values: tuple[int, ...]) -> tuple[list[str], str]:
    """The letters of each factor and of the result, dimensions behind '...' given free letters."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [c for c in _LETTERS if c not in equation]
    hidden = 0
    for i, (term, value) in enumerate(zip(terms, values, strict=True)):
        count = len(t.type(value).shape) - len(term.replace("...", ""))
        hidden = max(hidden, count)
        terms[i] = term.replace("...", "".join(free[:count][::-1]))
    behind = "".join(free[:hidden][::-1])
    if arrow:
        result = result.replace("...", behind)
    else:
        letters = "".join(terms)
        once = sorted({c for c in letters if letters.count(c) == 1 and c not in behind})
        result = behind + "".join(once)
    known = all(c in _LETTERS for c in "".join(terms))
    if not known or len(set(result)) < len(result) or not set(result) <= set("".join(terms)):
        raise t.unsupported(f"the equation '{equation}'")
    return terms, result


def _diagonal(t: Translation, factor: _Factor) -> _Factor:
    """A letter that stands twice names the elements whose two indices are equal."""
    value, letters = factor.value, factor.letters
    twice = next((c for c in letters if letters.count(c) > 1), None)
    if twice is None:
        return factor
    shape = t.type(value).shape
    first, second = [i for i, c in enumerate(letters) if c == twice][:2]
    others = [i for i in range(len(letters)) if i not in (first, second)]
    outer = [shape[i] for i in others]
    size = shape[first]
    flat = t.reshape(t.transpose(value, [*others, first, second]), [*outer, size * size])
    steps = [1] * len(outer) + [size + 1]
    taken = t.slice(flat, [0] * len(steps), [*outer, size], steps)
    return _diagonal(t, _Factor(taken, "".join(letters[i] for i in others) + twice))


def _stretched(t: Translation, factor: _Factor, sizes: dict[str, int]) -> _Factor:
    """Without the dimensions of size 1 that other factors stretch."""
    shape = t.type(factor.value).shape
    kept = [i for i, c in enumerate(factor.letters) if shape[i] == sizes[c]]
    value = t.reshape(factor.value, [shape[i] for i in kept])
    return _Factor(value, "".join(factor.letters[i] for i in kept))


def _summed(t: Translation, factor: _Factor, needed: set[str]) -> _Factor:
    axes = tuple(i for i, c in enumerate(factor.letters) if c not in needed)
    kept = "".join(c for c in factor.letters if c in needed)
    return _Factor(reduce(t, "sum", factor.value, axes, keepdims=False), kept)


def _multiply(t: Translation, left: _Factor, right: _Factor, needed: set[str]) -> _Factor:
    """One batched matrix product."""
    a = _summed(t, left, needed | set(right.letters))
    b = _summed(t, right, needed | set(left.letters))
    both = [c for c in a.letters if c in b.letters]
    batch, inner = [c for c in both if c in needed], [c for c in both if c not in needed]
    rows = [c for c in a.letters if c not in b.letters]
    columns = [c for c in b.letters if c not in a.letters]
    product = matmul(
        t,
        _matrix(t, a, [batch, rows, inner]),
        _matrix(t, b, [batch, inner, columns]),
    )
    letters = [*batch, *rows, *columns]
    size = {c: t.type(f.value).shape[i] for f in (a, b) for i, c in enumerate(f.letters)}
    return _Factor(t.reshape(product, [size[c] for c in letters]), "".join(letters))


def _matrix(t: Translation, factor: _Factor, groups: list[list[str]]) -> int:
    shape = t.type(factor.value).shape
    order = [factor.letters.index(c) for group in groups for c in group]
    moved = t.transpose(factor.value, order)
    sizes = [math.prod(shape[factor.letters.index(c)] for c in group) for group in groups]
    return t.reshape(moved, sizes)


TABLE: dict[str, Converter] = {"relax.einsum": _einsum}
