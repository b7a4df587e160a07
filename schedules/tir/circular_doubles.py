"""Sine, cosine, tangent and their inverses, circular and hyperbolic, of float64.

As ``circular`` has them of float32. Errors are as in ``doubles``, which
``tests/schedules/test_doubles.py`` checks.

sin, cos           quarters of a turn in parts of 33 bits up to a million, C's beyond; fdlibm's
                   polynomials; 2 ulp
tan                the quotient of both; 3 ulp
asin, acos, atan   fdlibm's; 3 ulp
sinh, cosh         by e**x - 1 and e**x; 3 ulp
asinh, acosh       by log1p; 4 ulp
atanh              by log1p; 4 ulp
"""

from __future__ import annotations

import math

from ..tvm_late import tirx
from .circular import FARTHEST, WHOLE, tangent_apart
from .doubles import as_float, as_int, exp_parts, log1p, power_of_two, with_sign
from .far import far_lanes
from .mathfn import Expr, Let, f64, two_chains

# pi / 2 in numbers of 33 bits, and what is left: products with whole numbers of 20 bits are exact.
_QUARTER = (
    1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21,
    8.47842766036889956997e-32,
)  # fmt: skip
_HALF_PI, _HALF_PI_LOW = 1.57079632679489655800, 6.12323399573676603587e-17

# fdlibm's S1 to S6, and C1 to C6.
_SIN = (
    1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
    -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01,
)  # fmt: skip
_COS = (
    -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
    2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02,
)  # fmt: skip
# fdlibm's pS0 to pS5, and 1 with qS1 to qS4.
_ASIN_P = (
    3.47933107596021167570e-05, 7.91534994289814532176e-04, -4.00555345006794114027e-02,
    2.01212532134862925881e-01, -3.25565818622400915405e-01, 1.66666666666666657415e-01,
)  # fmt: skip
_ASIN_Q = (
    7.70381505559019352791e-02, -6.88283971605453293030e-01, 2.02094576023350569471e00,
    -2.40339491173441421878e00, 1.0,
)  # fmt: skip
# fdlibm's aT0 to aT10.
_ATAN = (
    1.62858201153657823623e-02, -3.65315727442169155270e-02, 4.97687799461593236017e-02,
    -5.83357013379057348645e-02, 6.66107313738753120669e-02, -7.69187620504482999495e-02,
    9.09088713343650656196e-02, -1.11111104054623557880e-01, 1.42857142725034663711e-01,
    -1.99999999998764832476e-01, 3.33333333333329318027e-01,
)  # fmt: skip


def _i64(value: int) -> Expr:
    return tirx.const(value, "int64")


def _difference(a: Expr, b: Expr, let: Let) -> tuple[Expr, Expr]:
    """a - b rounded, and what that is too large or too small by (Knuth's)."""
    found = let(a - b)
    other = let(found - a)
    return found, let((a - let(found - other)) - (b + other))


def _quarter(x: Expr, let: Let) -> tuple[Expr, Expr, Expr]:
    """In which quarter of a turn x is, as a whole number's last bits, and how far from its middle:
    in [-pi/4, pi/4], and what that is rounded by."""
    turns = let(x * f64(2 / math.pi) + f64(WHOLE))
    n = let(turns - f64(WHOLE))
    rest = let(x - n * f64(_QUARTER[0]))  # exact
    rest, error = _difference(rest, let(n * f64(_QUARTER[1])), let)
    rest, more = _difference(rest, let(n * f64(_QUARTER[2])), let)
    low = let(error + more - n * f64(_QUARTER[3]))
    high = let(rest + low)
    return let(as_int(turns)), high, let(let(rest - high) + low)


def _sin_and_cos(high: Expr, low: Expr, let: Let) -> tuple[Expr, Expr]:
    """Of an angle in [-pi/4, pi/4] that is the sum of two numbers."""
    z, half = let(high * high), f64(0.5)
    cube, square = let(z * high), let(z * z)
    rest = two_chains(z, square, _SIN[:-1])
    sine = high - ((z * (half * low - cube * rest) - low) - cube * f64(_SIN[-1]))
    halved = let(z * half)
    most = let(f64(1.0) - halved)
    rest = z * (z * two_chains(z, square, _COS)) - high * low
    cosine = most + (let(let(f64(1.0) - most) - halved) + rest)
    return let(sine), let(cosine)


def _is_odd(quarter: Expr) -> Expr:
    return tirx.bitwise_and(quarter, _i64(1)) > _i64(0)


def _turned(quarter: Expr, value: Expr) -> Expr:
    """Of the other sign in the second half of a turn."""
    sign = tirx.shift_left(tirx.bitwise_and(quarter, _i64(2)), _i64(62))
    return as_float(tirx.bitwise_xor(as_int(value), sign))


def _near(name: str, x: Expr, value: Expr, let: Let) -> Expr:
    """``value``, but C's function of numbers that are too large for ``_quarter``."""
    return far_lanes(name, tirx.abs(x) > f64(FARTHEST), let(value), x)


def sin(x: Expr, let: Let) -> Expr:
    """Sine; NaN for infinities."""
    x = let(x)
    quarter, high, low = _quarter(x, let)
    sine, cosine = _sin_and_cos(high, low, let)
    value = _turned(quarter, let(tirx.Select(_is_odd(quarter), cosine, sine)))
    return _near("sin", x, tirx.Select(x == f64(0.0), x, value), let)


def cos(x: Expr, let: Let) -> Expr:
    """Cosine; NaN for infinities."""
    x = let(x)
    quarter, high, low = _quarter(x, let)
    sine, cosine = _sin_and_cos(high, low, let)
    quarter = let(quarter + _i64(1))
    return _near("cos", x, _turned(quarter, let(tirx.Select(_is_odd(quarter), cosine, sine))), let)


def tan(x: Expr, let: Let) -> Expr:
    """Tangent; NaN for infinities."""
    x = let(x)
    quarter, high, low = _quarter(x, let)
    sine, cosine = _sin_and_cos(high, low, let)
    above = tirx.Select(_is_odd(quarter), cosine * f64(-1.0), sine)
    value = above / tirx.Select(_is_odd(quarter), sine, cosine)
    return _near("tan", x, tirx.Select(x == f64(0.0), x, value), let)


def _asin_rest(z: Expr, let: Let) -> Expr:
    """(asin s - s) / s of a number whose square is ``z``, at most 1/4."""
    square = let(z * z)
    return z * two_chains(z, square, _ASIN_P) / two_chains(z, square, _ASIN_Q)


def asin(x: Expr, let: Let) -> Expr:
    """Arc sine; NaN outside of [-1, 1]."""
    x = let(x)
    size = let(tirx.abs(x))
    far = size > f64(0.5)
    z = let(tirx.Select(far, (f64(1.0) - size) * f64(0.5), x * x))
    root = let(tirx.Select(far, tirx.sqrt(z), size))
    near = let(root + root * _asin_rest(z, let))
    outer = f64(_HALF_PI) - (near + near - f64(_HALF_PI_LOW))
    return with_sign(x, let(tirx.Select(far, outer, near)))


def acos(x: Expr, let: Let) -> Expr:
    """Arc cosine; NaN outside of [-1, 1]."""
    x = let(x)
    size = let(tirx.abs(x))
    far = size > f64(0.5)
    z = let(tirx.Select(far, (f64(1.0) - size) * f64(0.5), x * x))
    root = let(tirx.Select(far, tirx.sqrt(z), x))
    more = let(root * _asin_rest(z, let))
    near = f64(_HALF_PI) - (root - (f64(_HALF_PI_LOW) - more))
    double = let(let(root + more) * f64(2.0))
    left = f64(2 * _HALF_PI) - (double - f64(2 * _HALF_PI_LOW))
    return tirx.Select(far, tirx.Select(x < f64(0.0), left, double), near)


def atan(x: Expr, let: Let) -> Expr:
    """Arc tangent."""
    x = let(x)
    size = let(tirx.abs(x))
    steep, even, t = tangent_apart(size, f64, let)
    z = let(t * t)
    rest = t * (z * two_chains(z, let(z * z), _ATAN))
    share = tirx.Select(steep, f64(1.0), tirx.Select(even, f64(0.5), f64(0.0)))
    share = let(share)
    found = share * f64(_HALF_PI) - ((rest - share * f64(_HALF_PI_LOW)) - t)
    return with_sign(x, let(found))


def sinh(x: Expr, let: Let) -> Expr:
    """Hyperbolic sine, by a quarter of e**|x| - 1, which overflows later."""
    x = let(x)
    size = _up_to(x, let)
    bits, more = exp_parts(size, let, 1023 - 2)
    power = let(power_of_two(bits))
    part = let(power * more + (power - f64(0.25)))
    half = let(part + part / (part * f64(4.0) + f64(1.0)))
    # A quarter of the smallest numbers is none.
    return with_sign(x, let(tirx.Select(size < f64(1e-9), size, half + half)))


def cosh(x: Expr, let: Let) -> Expr:
    """Hyperbolic cosine, by a quarter of e**|x|, which overflows later."""
    bits, more = exp_parts(_up_to(let(x), let), let, 1023 - 2)
    part = let((more + f64(1.0)) * power_of_two(bits))
    half = let(part + f64(0.0625) / part)
    return half + half


def _up_to(x: Expr, let: Let) -> Expr:
    """|x|, no more than is needed for what overflows."""
    size, most = let(tirx.abs(x)), f64(710.6)
    return let(tirx.Select(size > most, most, size))


_HUGE = 1e150  # whose square is finite, and beside which 1 is nothing


def asinh(x: Expr, let: Let) -> Expr:
    """Inverse hyperbolic sine."""
    x = let(x)
    size = let(tirx.abs(x))
    huge, z = size > f64(_HUGE), let(x * x)
    more = z / (f64(1.0) + tirx.sqrt(z + f64(1.0)))
    return with_sign(x, let(_log1p(huge, size, let(size + more), let)))


def acosh(x: Expr, let: Let) -> Expr:
    """Inverse hyperbolic cosine; NaN below 1."""
    x = let(x)
    above = let(x - f64(1.0))
    root = tirx.sqrt(above) * tirx.sqrt(x + f64(1.0))  # NaN below 1
    return _log1p(x > f64(_HUGE), x, let(above + root), let)


def _log1p(huge: Expr, size: Expr, sum_of_both: Expr, let: Let) -> Expr:
    """log(1 + sum), or the logarithm of 2 * size, which is that where the size is huge."""
    argument = let(tirx.Select(huge, size, sum_of_both))
    return log1p(argument, let) + tirx.Select(huge, f64(math.log(2)), f64(0.0))


def atanh(x: Expr, let: Let) -> Expr:
    """Inverse hyperbolic tangent; infinite at 1 and -1, NaN beyond."""
    x = let(x)
    size = let(tirx.abs(x))
    ratio = let((size + size) / (f64(1.0) - size))
    return with_sign(x, let(log1p(ratio, let) * f64(0.5)))
