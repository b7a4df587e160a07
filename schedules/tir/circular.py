"""Sine, cosine, tangent and their inverses, circular and hyperbolic, as arithmetic that vectorises.

As in ``mathfn``, errors are the largest seen against float64 over the whole range of float32, in
ulp; ``tests/schedules/test_circular.py`` checks them.

sin, cos           quarters of a turn in float64 up to a million, C's beyond; Cephes' sinf; 2 ulp
tan                the quotient of both; 4 ulp
asin, acos, atan   Cephes' asinf and atanf; 3 ulp
sinh, cosh         by e**x; Cephes' sinhf below 1; 4 ulp
asinh, acosh       by the logarithm; Cephes' asinhf and acoshf near 0 and 1; 4 ulp
atanh              by the logarithm; Cephes' atanhf below 1/2; 4 ulp
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..tvm_late import tirx
from .far import far_lanes
from .mathfn import Expr, Let, f32, f64, halves, log, polynomial

# pi / 2 in a number of 33 bits, whose products with whole numbers of 20 bits are exact, and the
# rest.
_QUARTER, _QUARTER_LOW = 1.57079632673412561417e00, 6.07710050650619224932e-11
FARTHEST = 1e6  # quarters of a turn are whole numbers of 20 bits up to there
# A float64 from 2**52 to 2**53 is a whole number, and its last bits are that number's.
WHOLE = 1.5 * 2.0**52


def _quarter(x: Expr, let: Let) -> tuple[Expr, Expr]:
    """In which quarter of a turn x is, as a whole number's last bits, and how far from its middle,
    in [-pi/4, pi/4]."""
    x = let(tirx.Cast("float64", x))
    turns = let(x * f64(2 / math.pi) + f64(WHOLE))
    n = let(turns - f64(WHOLE))
    rest = let(x - n * f64(_QUARTER)) - n * f64(_QUARTER_LOW)
    bits = tirx.call_intrin("int64", "tirx.reinterpret", turns)
    return let(tirx.Cast("int32", bits)), let(tirx.Cast("float32", rest))


def _near(name: str, x: Expr, value: Expr, let: Let) -> Expr:
    """``value``, but C's function of numbers that are too large for ``_quarter``."""
    return far_lanes(name, tirx.abs(x) > f32(FARTHEST), let(value), x)


_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)


def _sin_and_cos(r: Expr, let: Let) -> tuple[Expr, Expr]:
    """Of an angle in [-pi/4, pi/4]."""
    z = let(r * r)
    sine = r + r * z * polynomial(z, _SIN)
    cosine = f32(1.0) - z * f32(0.5) + z * z * polynomial(z, _COS)
    return let(sine), let(cosine)


def _is_odd(quarter: Expr) -> Expr:
    return (quarter & tirx.const(1, "int32")) > tirx.const(0, "int32")


def _turned(quarter: Expr, value: Expr, let: Let) -> Expr:
    """Of the other sign in the second half of a turn."""
    value = let(value)
    is_turned = (quarter & tirx.const(2, "int32")) > tirx.const(0, "int32")
    return tirx.Select(is_turned, value * f32(-1.0), value)


def _keep_zero(x: Expr, value: Expr) -> Expr:
    """An odd function of -0 is -0."""
    return tirx.Select(x == f32(0.0), x, value)


def sin(x: Expr, let: Let) -> Expr:
    """Sine for float32; NaN for infinities."""
    x = let(x)
    quarter, r = _quarter(x, let)
    sine, cosine = _sin_and_cos(r, let)
    value = _turned(quarter, tirx.Select(_is_odd(quarter), cosine, sine), let)
    return _near("sin", x, _keep_zero(x, value), let)


def cos(x: Expr, let: Let) -> Expr:
    """Cosine for float32; NaN for infinities."""
    x = let(x)
    quarter, r = _quarter(x, let)
    sine, cosine = _sin_and_cos(r, let)
    quarter = let(quarter + tirx.const(1, "int32"))
    value = _turned(quarter, tirx.Select(_is_odd(quarter), cosine, sine), let)
    return _near("cos", x, value, let)


def tan(x: Expr, let: Let) -> Expr:
    """Tangent for float32; NaN for infinities."""
    x = let(x)
    quarter, r = _quarter(x, let)
    sine, cosine = _sin_and_cos(r, let)
    is_odd = let(tirx.Select(_is_odd(quarter), tirx.const(1, "int32"), tirx.const(0, "int32")))
    odd = is_odd > tirx.const(0, "int32")
    above = tirx.Select(odd, cosine * f32(-1.0), sine)
    value = _keep_zero(x, above / tirx.Select(odd, sine, cosine))
    return _near("tan", x, value, let)


_ASIN = (4.2163199048e-2, 2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1)


def _asin_core(z: Expr, root: Expr) -> Expr:
    """The arc sine of ``root``, whose square is ``z``, at most 1/4."""
    return root + root * z * polynomial(z, _ASIN)


def asin(x: Expr, let: Let) -> Expr:
    """Arc sine for float32; NaN outside of [-1, 1]."""
    x = let(x)
    size = let(tirx.abs(x))
    far = size > f32(0.5)
    z = let(tirx.Select(far, (f32(1.0) - size) * f32(0.5), x * x))
    near = let(_asin_core(z, tirx.Select(far, tirx.sqrt(z), size)))
    value = let(tirx.Select(far, f32(math.pi / 2) - (near + near), near))
    return _keep_zero(x, tirx.Select(x < f32(0.0), value * f32(-1.0), value))


def acos(x: Expr, let: Let) -> Expr:
    """Arc cosine for float32; NaN outside of [-1, 1]."""
    x = let(x)
    size = let(tirx.abs(x))
    far = size > f32(0.5)
    z = let(tirx.Select(far, (f32(1.0) - size) * f32(0.5), x * x))
    near = let(_asin_core(z, tirx.Select(far, tirx.sqrt(z), x)))
    double = let(near + near)
    outer = tirx.Select(x < f32(0.0), f32(math.pi) - double, double)
    return tirx.Select(far, outer, f32(math.pi / 2) - near)


_ATAN = (8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1)


def tangent_apart(size: Expr, number: Callable[[float], Expr], let: Let) -> tuple[Expr, Expr, Expr]:
    """Of an angle with the tangent ``size``, at least 0: whether it is near pi/2, whether near pi/4
    if not, and the tangent of its difference to that, or to 0."""
    steep, even, one = (
        size > number(2.414213562373095),
        size > number(0.4142135623730950),
        number(1.0),
    )
    above = tirx.Select(steep, number(-1.0), tirx.Select(even, size - one, size))
    below = tirx.Select(steep, size, tirx.Select(even, size + one, one))
    return steep, even, let(above / below)


def atan(x: Expr, let: Let) -> Expr:
    """Arc tangent for float32."""
    x = let(x)
    size = let(tirx.abs(x))
    steep, even, t = tangent_apart(size, f32, let)
    z = let(t * t)
    begin = tirx.Select(steep, f32(math.pi / 2), tirx.Select(even, f32(math.pi / 4), f32(0.0)))
    value = let(begin + (t + t * z * polynomial(z, _ATAN)))
    return _keep_zero(x, tirx.Select(x < f32(0.0), value * f32(-1.0), value))


_SINH = (2.03721912945e-4, 8.33028376239e-3, 1.66667160211e-1)


def sinh(x: Expr, let: Let) -> Expr:
    """Hyperbolic sine for float32."""
    x = let(x)
    size = let(tirx.abs(x))
    half = let(halves(size, let))  # of e**|x|
    large = let(half - f32(0.25) / half)
    z = let(x * x)
    small = x + x * z * polynomial(z, _SINH)
    large = tirx.Select(x < f32(0.0), large * f32(-1.0), large)
    return _keep_zero(x, tirx.Select(size < f32(1.0), small, large))


def cosh(x: Expr, let: Let) -> Expr:
    """Hyperbolic cosine for float32."""
    half = let(halves(let(tirx.abs(x)), let))
    return half + f32(0.25) / half


_FAR = 1500.0  # where 1 is nothing beside a square
_ASINH = (2.0122003309e-2, -4.2699340972e-2, 7.4847586088e-2, -1.6666288134e-1)
_ACOSH = (1.7596881071e-3, -7.5272886713e-3, 2.6454905019e-2, -1.1784741703e-1, 1.4142135263)
_ATANH = (1.81740078349e-1, 8.24370301058e-2, 1.46691431730e-1, 1.99782164500e-1, 3.33337300303e-1)


def asinh(x: Expr, let: Let) -> Expr:
    """Inverse hyperbolic sine for float32."""
    x = let(x)
    size = let(tirx.abs(x))
    far, z = size > f32(_FAR), let(x * x)
    logarithm = log(tirx.Select(far, size, size + tirx.sqrt(z + f32(1.0))), let)
    large = let(logarithm + tirx.Select(far, f32(math.log(2)), f32(0.0)))
    large = tirx.Select(x < f32(0.0), large * f32(-1.0), large)
    small = x + x * z * polynomial(z, _ASINH)
    return _keep_zero(x, tirx.Select(size < f32(0.5), small, large))


def acosh(x: Expr, let: Let) -> Expr:
    """Inverse hyperbolic cosine for float32; NaN below 1."""
    x = let(x)
    z, far = let(x - f32(1.0)), x > f32(_FAR)
    root = let(tirx.sqrt(z))  # NaN below 1
    wide = x + root * tirx.sqrt(x + f32(1.0))
    large = log(tirx.Select(far, x, wide), let) + tirx.Select(far, f32(math.log(2)), f32(0.0))
    return tirx.Select(z < f32(0.5), root * polynomial(z, _ACOSH), large)


def atanh(x: Expr, let: Let) -> Expr:
    """Inverse hyperbolic tangent for float32; infinite at 1 and -1, NaN beyond."""
    x = let(x)
    size = let(tirx.abs(x))
    large = let(log((f32(1.0) + size) / (f32(1.0) - size), let) * f32(0.5))
    large = tirx.Select(x < f32(0.0), large * f32(-1.0), large)
    z = let(x * x)
    small = x + x * z * polynomial(z, _ATANH)
    return _keep_zero(x, tirx.Select(size < f32(0.5), small, large))
