"""Einstein's notation: which letter stands for which dimension."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

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
                if min(size, sizes.get(letter, 1)) != 1 and size != sizes[letter]:
                    raise EquationError(f"an equation that gives '{letter}' two sizes")
                sizes[letter] = max(size, sizes.get(letter, 1))
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
