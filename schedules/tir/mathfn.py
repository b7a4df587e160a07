"""Transcendental functions as arithmetic that vectorises; LLVM's own would call libm per lane.

Errors are the largest seen against float64 on dense samples of the whole range, in units in the
last place (ulp) of float32 unless said otherwise; ``tests/schedules/test_mathfn.py`` checks them.

exp   Cephes' argument reduction by ln 2, polynomial of degree 6 with the least error; 2 ulp
log   Cephes' logf: mantissa in [sqrt 1/2, sqrt 2), polynomial of degree 8; 2 ulp
tanh  rational approximation of degree 9/8; 8 ulp
erf   Eigen's rational approximation of degree 13/8; 5e-7 absolute
softplus   log(1 + e**x) by the series of the inverse hyperbolic tangent; 4 ulp from -87 on
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..tvm_late import tirx
from .compare import is_number
from .elements import dtype_of

Expr = Any
Let = Callable[[Expr], Expr]


def f32(value: float) -> Expr:
    """A constant."""
    return tirx.const(value, "float32")


def f64(value: float) -> Expr:
    """A constant of twice the width."""
    return tirx.const(value, "float64")


def polynomial(x: Expr, coefficients: Sequence[float]) -> Expr:
    """Horner's rule, highest degree first, in the type of ``x``."""
    result, *rest = (tirx.const(c, dtype_of(x)) for c in coefficients)
    for c in rest:
        result = result * x + c
    return result


def two_chains(x: Expr, square: Expr, coefficients: Sequence[float]) -> Expr:
    """The same of even and of odd powers apart, so that steps wait for half as many before them."""
    last = len(coefficients) - 1
    odd, even = coefficients[(last + 1) % 2 :: 2], coefficients[last % 2 :: 2]
    return polynomial(square, odd) * x + polynomial(square, even)


def four_chains(x: Expr, coefficients: Sequence[float], let: Let) -> Expr:
    """The same in four: for what has many powers."""
    last = len(coefficients) - 1
    square = let(x * x)
    fourth = let(square * square)
    chains = [polynomial(fourth, coefficients[(last - k) % 4 :: 4]) for k in range(4)]
    return (chains[3] * x + chains[2]) * square + (chains[1] * x + chains[0])


def as_float(bits: Expr) -> Expr:
    """The float32 that has these bits."""
    return tirx.call_intrin("float32", "tirx.reinterpret", bits)


def as_int(value: Expr) -> Expr:
    """The bits of a float32."""
    return tirx.call_intrin("int32", "tirx.reinterpret", value)


# Of (e**r - 1 - r) / r**2 for |r| <= ln(2) / 2; the error of e**r is 3e-9 of it (by Lawson's
# algorithm, which weighs points again and again by their errors).
_EXP = (1.3814539416e-3, 8.3687454462e-3, 4.1668388993e-2, 1.6666521132e-1, 4.9999994040e-1)


# A float32 from 2**23 to 2**24 is a whole number, and its last bits are that number's.
_WHOLE = 1.5 * 2.0**23


def _parts(x: Expr, bias: int, let: Let) -> tuple[Expr, Expr]:
    """p in about [0.7, 1.42] and 2**(n - 127 + bias), whose product with 2**(127 - bias) is e**x,
    for the whole number n next to x / ln 2.
    """
    rest, scale = _reduced(x, bias, let)
    r = let(rest)
    return polynomial(r, _EXP) * (r * r) + (r + f32(1.0)), scale


def _reduced(x: Expr, bias: int, let: Let) -> tuple[Expr, Expr]:
    """What is left of x without n ln 2, and 2**(n - 127 + bias).

    No float is cast to a whole number for n: of NaN, the cast is undefined to LLVM, which leaves
    out all that is made of it where it knows the NaN.
    """
    biased = let(x * f32(1 / math.log(2)) + f32(_WHOLE + bias))
    n = let(biased + f32(-_WHOLE - bias))
    rest = (x - n * f32(0.693359375)) - n * f32(-2.12194440e-4)
    return rest, as_float(as_int(biased) << tirx.const(23, "int32"))


def exp(x: Expr, let: Let) -> Expr:
    """e**x for float32; NaN stays NaN, overflow gives infinity, below -86.98 the result is 0."""
    # n reaches 128, whose power of two is infinite: 2**(n - 1) times 2p, which overflows where e**x
    # does. Of the lowest x, 2**(n - 1) is 0.
    return _twice(limit(x, -87.33654, 89.0, let), 126, let)


def _twice(x: Expr, bias: int, let: Let) -> Expr:
    """Twice the product of ``_parts``, exactly: each term is doubled."""
    rest, scale = _reduced(x, bias, let)
    r = let(rest)
    doubled = tuple(2 * c for c in _EXP)
    # By additions, for which there are other ports than for multiplications.
    return (polynomial(r, doubled) * (r * r) + ((r + r) + f32(2.0))) * scale


_SHORT_EXP = (
    1.0,
    1.0,
    0.49999993373,
    0.16666519524,
    0.041668401095,
    0.0083688511191,
    0.001381432005,
)


def exp_below(x: Expr, let: Let) -> Expr:
    """e**x for a float32 that is not above zero; NaN stays NaN, below -87.68 the result is 0.

    A polynomial of degree 6, of the least relative error, whose terms do not wait for one another
    (Estrin's scheme).
    """
    x, low = let(x), -88.0  # whose power of two is 0
    r, scale = _reduced(let(tirx.Select(x < f32(low), f32(low), x)), 127, let)
    r = let(r)
    a, b, c, d, e, f, g = map(f32, _SHORT_EXP)
    square = let(r * r)
    high = (g * square + (f * r + e)) * square + (d * r + c)
    return (high * square + (b * r + a)) * scale


def halves(x: Expr, let: Let) -> Expr:
    """Half of e**x for a float32 that is not negative, which overflows later than e**x does."""
    x, high = let(x), 89.5
    return _twice(let(tirx.Select(x > f32(high), f32(high), x)), 125, let)


_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)


def log(x: Expr, let: Let) -> Expr:
    """Natural logarithm for float32; NaN below zero, -infinity at zero."""
    x = let(x)
    subnormal = x < f32(1.17549435e-38)
    bits = let(as_int(tirx.Select(subnormal, x * f32(2.0**23), x)))
    exponent = let((bits >> tirx.const(23, "int32")) & tirx.const(255, "int32"))
    mantissa = let(
        as_float((bits & tirx.const(0x007FFFFF, "int32")) | tirx.const(0x3F000000, "int32"))
    )
    small = mantissa < f32(math.sqrt(0.5))
    m = let(tirx.Select(small, mantissa + mantissa, mantissa) - f32(1.0))
    e = tirx.Cast("float32", exponent) - tirx.Select(small, f32(127.0), f32(126.0))
    e = let(e - tirx.Select(subnormal, f32(23.0), f32(0.0)))
    z = let(m * m)
    y = polynomial(m, _LOG) * m * z + e * f32(-2.12194440e-4) - z * f32(0.5)
    result = let(m + y + e * f32(0.693359375))
    result = tirx.Select(x == f32(math.inf), x, result)
    result = tirx.Select(x == f32(0.0), f32(-math.inf), result)
    result = tirx.Select(x < f32(0.0), f32(math.nan), result)
    return tirx.Select(is_number(x), result, x)


# Of tanh x / x up to 8.8, by x**2: of the least relative error (by Lawson's algorithm), 2e-8, the
# numerator then a little less, so that no quotient is more than 1 and the one at the end is 1, with
# and without fused multiply-adds (all floats were tried).
_TANH_P = (1.3713339e-08, 2.0864496e-05, 3.5110027e-03, 1.3393979e-01, 1.0)
_TANH_Q = (7.922262e-07, 3.3109115e-04, 2.5935544e-02, 4.6727297e-01, 1.0)
_TANH_END = 8.134844779968262


def limit(x: Expr, low: float, high: float, let: Let) -> Expr:
    """``x`` from ``low`` to ``high``, in its type; NaN stays NaN."""
    least, most = (tirx.const(bound, dtype_of(x)) for bound in (low, high))
    x = let(x)
    upper = let(tirx.Select(x > most, most, x))
    return let(tirx.Select(upper < least, least, upper))


def _saturated(x: Expr, bound: float, inside: Expr) -> Expr:
    """An odd function: ``inside`` up to ``bound``, and exactly +-1 beyond; NaN stays NaN."""
    # No copysign: TVM has none for vectors, and makes wrong code of loops that add it up.
    sign = tirx.Select(x < f32(0.0), f32(-1.0), f32(1.0))
    return tirx.Select(tirx.abs(x) > f32(bound), sign, inside)


def tanh(x: Expr, let: Let) -> Expr:
    """Hyperbolic tangent for float32."""
    above, below = tanh_quotient(x, let)
    return above / below


def tanh_quotient(x: Expr, let: Let) -> tuple[Expr, Expr]:
    """What divided by what is the hyperbolic tangent for float32, for those who divide once."""
    x = limit(x, -_TANH_END, _TANH_END, let)
    square = let(x * x)
    return x * polynomial(square, _TANH_P), polynomial(square, _TANH_Q)


_ERF_P = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def erf(x: Expr, let: Let) -> Expr:
    """Error function for float32."""
    x = let(x)
    square = let(x * x)
    return _saturated(x, 4.0, x * polynomial(square, _ERF_P) / polynomial(square, _ERF_Q))


def sigmoid(x: Expr, let: Let) -> Expr:
    """1 / (1 + e**-x) for float32; 0 below -88.38, where the power of two is infinite."""
    above, below = sigmoid_quotient(x, let)
    return above / below


def sigmoid_quotient(x: Expr, let: Let) -> tuple[Expr, Expr]:
    """What divided by what is the sigmoid for float32, for those who divide once.

    e**r is (p + rq) / (p - rq) with p and q of r**2 (Pade's, whose error is 6e-9 of it at the end),
    so that its denominator is the numerator here. What is reduced has the other sign: x is not
    negated, constants are.
    """
    x = limit(x, -89.0, 87.0, let)
    biased = let(x * f32(-1 / math.log(2)) + f32(_WHOLE + 127))
    n = let(biased + f32(-_WHOLE - 127))
    r = let((x + n * f32(0.693359375)) + n * f32(-2.12194440e-4))
    square = let(r * r)
    p, q = let(square * f32(0.1) + f32(1.0)), let(square * f32(1 / 120) + f32(0.5))
    above = let(p + q * r)
    scale = as_float(as_int(biased) << tirx.const(23, "int32"))
    return above, (p + q * (r * f32(-1.0))) * scale + above


# 2 / 3, 2 / 5, ... of twice the inverse hyperbolic tangent, highest degree first; what is left out
# is 2e-8 of log(1 + t) at most.
_LOG1P = tuple(2 / n for n in (13, 11, 9, 7, 5, 3))


def softplus(x: Expr, let: Let) -> Expr:
    """log(1 + e**x) for float32.

    It is the larger of x and 0 and log(1 + t) with t = e**-|x|, which is at most 1: twice the
    inverse hyperbolic tangent of t / (2 + t).
    """
    x = let(x)
    p, scale = _parts(limit(f32(0.0) - tirx.abs(x), -88.0, 0.0, let), 127, let)
    t = let(p * scale)
    ratio = let(t / (t + f32(2.0)))
    square = let(ratio * ratio)
    rest = polynomial(square, _LOG1P) * (square * ratio) + (ratio + ratio)
    return tirx.Select(x < f32(0.0), f32(0.0), x) + rest


def power(x: Expr, exponent: float, let: Let) -> Expr | None:
    """``x ** exponent`` where the exponent is a small multiple of 1/4; None for others."""
    quarters = exponent * 4
    if not abs(exponent) <= 8 or quarters != int(quarters):
        return None
    whole, fraction = divmod(int(abs(quarters)), 4)
    x = let(x)
    if fraction:  # to pow, though not to sqrt, -0 is as 0 and -infinity as infinity
        x = tirx.Select(x == f32(0.0), f32(0.0), x)
        x = let(tirx.Select(x == f32(-math.inf), f32(math.inf), x))
    result: Expr = f32(1.0)
    factor = x
    while whole:
        if whole & 1:
            result = result * factor
        factor = let(factor * factor) if whole > 1 else factor
        whole >>= 1
    if fraction:
        root = let(tirx.sqrt(x))
        quarter = tirx.sqrt(root)
        result = result * {1: quarter, 2: root, 3: root * quarter}[fraction]
    return f32(1.0) / result if exponent < 0 else result
