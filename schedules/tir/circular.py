"""Sine, cosine, tangent and their inverses, circular and hyperbolic, as arithmetic that vectorises.

As in ``mathfn``, errors are the largest seen against float64 over the whole range of float32, in
ulp; ``tests/schedules/test_circular.py`` checks them.

sin, cos           reduction to a quarter of a turn, exact for every float32; Cephes' sinf; 2 ulp
tan                the quotient of both; 4 ulp
asin, acos, atan   Cephes' asinf and atanf; 3 ulp
sinh, cosh         by e**x; Cephes' sinhf below 1; 4 ulp
asinh, acosh       by the logarithm; Cephes' asinhf and acoshf near 0 and 1; 4 ulp
atanh              by the logarithm; Cephes' atanhf below 1/2; 4 ulp
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

from ..tvm_late import tirx
from .mathfn import Expr, Let, f32, f64, halves, log, polynomial

# (2**(24 * k) * 2 / pi) modulo 4, for k from 0 on: two numbers of 29 bits, and what is left.
_TURNS = (
    ("0x1.45f306d000000p-1", "0x1.9391054000000p-30", "0x1.4fe13abe8fa9ap-59"),
    ("-0x1.236377d000000p-1", "-0x1.6b01ec5000000p-31", "-0x1.05c1596447e49p-61"),
    ("0x1.529fc27000000p-4", "0x1.5f47d4d000000p-34", "0x1.bb81b6c52b328p-65"),
    ("0x1.3abe8fa000000p-3", "0x1.34ddc0d000000p-32", "0x1.6c52b32788721p-61"),
    ("0x1.f534ddc000000p+0", "0x1.b6c52b3000000p-33", "0x1.3c439041fe516p-64"),
)
# A float64 from 2**52 to 2**53 is a whole number, and its last bits are that number's.
_WHOLE = 1.5 * 2.0**52


def _chosen(conditions: Sequence[Expr], values: Sequence[Expr]) -> Expr:
    """The value after the last condition that holds; each holds where the next one does."""
    pairs = zip(conditions, values[1:], strict=True)
    return reduce(lambda so_far, pair: tirx.Select(pair[0], pair[1], so_far), pairs, values[0])


def _quarter(x: Expr, let: Let) -> tuple[Expr, Expr]:
    """In which quarter of a turn x is, and how far from its middle, in [-pi/4, pi/4].

    x is y * 2**(24 * k), and where k is not 0 y is a whole number of 24 bits at most 48 places from
    the point. So whole turns that 2**(24 * k) makes do not count, and products of y with 29 bits of
    the rest are exact in float64. Payne and Hanek, "Radian Reduction for Trigonometric
    Functions" (1983), take such parts of 2 / pi by the word.
    """
    size = let(tirx.abs(x))
    beyond = [size >= f32(2.0 ** (47 + 24 * k)) for k in range(len(_TURNS) - 1)]
    scale = _chosen(beyond, [f32(2.0 ** (-24 * k)) for k in range(len(_TURNS))])
    y = let(tirx.Cast("float64", x * scale))
    high, middle, low = (
        let(y * _chosen(beyond, [f64(float.fromhex(text)) for text in part]))
        for part in zip(*_TURNS, strict=True)
    )
    wholes, rest = [], low
    for product in (high, middle):
        whole = let(product + f64(_WHOLE))
        wholes.append(whole)
        rest = let(rest + let(product - let(whole - f64(_WHOLE))))
    whole = let(rest + f64(_WHOLE))
    rest = let(rest - let(whole - f64(_WHOLE)))
    bits = [tirx.call_intrin("int64", "tirx.reinterpret", number) for number in (*wholes, whole)]
    quarter = tirx.Cast("int32", (bits[0] + bits[1] + bits[2]) & tirx.const(3, "int64"))
    return let(quarter), let(tirx.Cast("float32", rest * f64(math.pi / 2)))


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
    return _keep_zero(x, _turned(quarter, tirx.Select(_is_odd(quarter), cosine, sine), let))


def cos(x: Expr, let: Let) -> Expr:
    """Cosine for float32; NaN for infinities."""
    quarter, r = _quarter(let(x), let)
    sine, cosine = _sin_and_cos(r, let)
    quarter = let(quarter + tirx.const(1, "int32"))
    return _turned(quarter, tirx.Select(_is_odd(quarter), cosine, sine), let)


def tan(x: Expr, let: Let) -> Expr:
    """Tangent for float32; NaN for infinities."""
    x = let(x)
    quarter, r = _quarter(x, let)
    sine, cosine = _sin_and_cos(r, let)
    is_odd = let(tirx.Select(_is_odd(quarter), tirx.const(1, "int32"), tirx.const(0, "int32")))
    odd = is_odd > tirx.const(0, "int32")
    above = tirx.Select(odd, cosine * f32(-1.0), sine)
    return _keep_zero(x, above / tirx.Select(odd, sine, cosine))


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


def atan(x: Expr, let: Let) -> Expr:
    """Arc tangent for float32."""
    x = let(x)
    size = let(tirx.abs(x))
    steep, even = size > f32(2.414213562373095), size > f32(0.4142135623730950)
    # The tangent of the angle's difference to pi/2, pi/4 or 0.
    above = tirx.Select(steep, f32(-1.0), tirx.Select(even, size - f32(1.0), size))
    below = tirx.Select(steep, size, tirx.Select(even, size + f32(1.0), f32(1.0)))
    t = let(above / below)
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
