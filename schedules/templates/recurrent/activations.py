"""Activations as TensorIR: quotients, since a cell multiplies most of them, and a division is slow.

``i * tanh(g)`` with i a sigmoid is one division by the product of two divisors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...ops.recurrent_form import Use
from ...tir import arithmetic, doubles, mathfn
from ...tir.indices import Expr
from ...tvm_late import tirx

Keep = Callable[[Expr], Expr]


@dataclass(frozen=True)
class Quotient:
    """``above / below``, or ``above`` alone."""

    above: Expr
    below: Expr | None = None

    @property
    def value(self) -> Expr:
        """Divided."""
        return self.above if self.below is None else self.above / self.below

    def times(self, other: Quotient | Expr) -> Expr:
        """The value of the product."""
        if not isinstance(other, Quotient):
            other = Quotient(other)
        divisors = [each for each in (self.below, other.below) if each is not None]
        below = divisors[0] * divisors[1] if len(divisors) == 2 else next(iter(divisors), None)
        return Quotient(self.above * other.above, below).value


@dataclass(frozen=True)
class _Math:
    """Functions of a type."""

    dtype: str
    keep: Keep

    def number(self, value: float) -> Expr:
        return tirx.const(value, self.dtype)

    @property
    def is_single(self) -> bool:
        return self.dtype == "float32"

    def negative(self, x: Expr, then: Expr, otherwise: Expr) -> Expr:
        """A choice; NaN is not negative."""
        return tirx.Select(x < self.number(0.0), then, otherwise)

    def exp(self, x: Expr) -> Expr:
        return self.keep((mathfn if self.is_single else doubles).exp(x, self.keep))

    def log(self, x: Expr) -> Expr:
        return self.keep((mathfn if self.is_single else doubles).log(x, self.keep))


_Write = Callable[[_Math, Expr, Expr, Expr], Quotient]


def activation(use: Use, x: Expr, dtype: str, keep: Keep) -> Quotient:
    """Of an element, which is named already; ``keep`` names values."""
    alpha, beta = (arithmetic.number(n, dtype) for n in (use.alpha, use.beta))
    return WRITTEN[use.name](_Math(dtype, keep), x, alpha, beta)


def _sigmoid(m: _Math, x: Expr, alpha: Expr, beta: Expr) -> Quotient:
    if m.is_single:
        above, below = mathfn.sigmoid_quotient(x, m.keep)
        return Quotient(m.keep(above), m.keep(below))
    one = m.number(1.0)
    return Quotient(one, m.keep(one + m.exp(m.keep(-x))))


def _tanh(m: _Math, x: Expr, alpha: Expr, beta: Expr) -> Quotient:
    if m.is_single:
        above, below = mathfn.tanh_quotient(x, m.keep)
        return Quotient(m.keep(above), m.keep(below))
    return Quotient(m.keep(doubles.tanh(x, m.keep)))


def _scaled_tanh(m: _Math, x: Expr, alpha: Expr, beta: Expr) -> Quotient:
    return Quotient(_tanh(m, m.keep(beta * x), alpha, beta).times(alpha))


def _hard_sigmoid(m: _Math, x: Expr, alpha: Expr, beta: Expr) -> Quotient:
    x, one = m.keep(alpha * x + beta), m.number(1.0)
    x = m.keep(m.negative(x, m.number(0.0), x))
    return Quotient(tirx.Select(x > one, one, x))


def _elu(m: _Math, x: Expr, alpha: Expr, beta: Expr) -> Quotient:
    low = m.keep(tirx.Select(x > m.number(0.0), m.number(0.0), x))
    return Quotient(m.negative(x, alpha * (m.exp(low) + m.number(-1.0)), x))


def _softplus(m: _Math, x: Expr, alpha: Expr, beta: Expr) -> Quotient:
    small = m.exp(m.keep(-tirx.abs(x)))
    positive = m.negative(x, m.number(0.0), x)
    return Quotient(positive + m.log(m.keep(m.number(1.0) + small)))


WRITTEN: Mapping[str, _Write] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": lambda m, x, a, b: Quotient(m.negative(x, m.number(0.0), x)),
    "affine": lambda m, x, a, b: Quotient(a * x + b),
    "leakyrelu": lambda m, x, a, b: Quotient(m.negative(x, a * x, x)),
    "thresholdedrelu": lambda m, x, a, b: Quotient(tirx.Select(x <= a, m.number(0.0), x)),
    "scaledtanh": _scaled_tanh,
    "hardsigmoid": _hard_sigmoid,
    "elu": _elu,
    "softsign": lambda m, x, a, b: Quotient(x, m.number(1.0) + tirx.abs(x)),
    "softplus": _softplus,
}
