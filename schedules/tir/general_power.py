"""``x ** y`` for float32 by arithmetic that vectorises, in float64 where it must be exact.

The logarithm to base 2 of x, times y, as an exponent of 2: what float64 has beyond float32 is
enough for a product of up to 150. Errors are at most 1 ulp of float32, subnormal results included;
what is not finite is as C's ``pow`` (ISO C, annex F.10.4.4) has it.
``tests/schedules/test_general_power.py`` checks both.
"""

from __future__ import annotations

import math

from ..tvm_late import tirx
from .compare import is_number
from .mathfn import Expr, Let, as_int, f32, f64

# 2 / ln 2 times (artanh s) / s in s squared, for s up to 3 - sqrt 8, of which it errs by 5e-12 at
# most; and 2**f for |f| up to 1/2, exactly 1 at 0, of which it errs by 2e-9 (Lawson's algorithm).
_LOG2 = (
    0.34072789647316815,
    0.41167283482269035,
    0.5770835830963481,
    0.9617966733511629,
    2.8853900817900793,
)
_EXP2 = (
    0.0001535336203081521,
    0.0013398874650539239,
    0.00961843735912829,
    0.05550332470535979,
    0.24022647913600514,
    0.6931472028553378,
    1.0,
)
# A float64 from 2**52 to 2**53 is a whole number, and its last bits are that number's.
_WHOLE = 1.5 * 2.0**52
_WHOLE_BITS = 0x4338000000000000
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
_MANTISSA, _BIAS = 52, 1023
_LEAST, _MOST = -200.0, 200.0  # exponents whose powers of 2 are 0 and infinite in float32


def _i64(value: int) -> Expr:
    return tirx.const(value, "int64")


def _polynomial(x: Expr, coefficients: tuple[float, ...]) -> Expr:
    result: Expr = f64(coefficients[0])
    for c in coefficients[1:]:
        result = result * x + f64(c)
    return result


def _log2(x: Expr, let: Let) -> Expr:
    """Of a float64 that is a float32, not negative and not NaN."""
    bits = let(tirx.call_intrin("int64", "tirx.reinterpret", x))
    exponent = let((bits - _i64(_ROOT_HALF_BITS)) >> _i64(_MANTISSA))
    significand = let(bits - (exponent << _i64(_MANTISSA)))  # in [sqrt 1/2, sqrt 2)
    m = let(tirx.call_intrin("float64", "tirx.reinterpret", significand))
    s = let((m + f64(-1.0)) / (m + f64(1.0)))
    whole = let(exponent + _i64(_WHOLE_BITS))
    n = let(tirx.call_intrin("float64", "tirx.reinterpret", whole)) + f64(-_WHOLE)
    found = let(s * _polynomial(let(s * s), _LOG2) + n)
    found = tirx.Select(x > f64(3.5e38), x, found)  # of infinity
    return let(tirx.Select(x < f64(1e-46), f64(-math.inf), found))


def _exp2(x: Expr, let: Let) -> Expr:
    """Of a float64; 0 and infinity where float32 has no room. NaN stays NaN."""
    x = let(tirx.Select(x > f64(_MOST), f64(_MOST), x))
    x = let(tirx.Select(x < f64(_LEAST), f64(_LEAST), x))
    whole = let(x + f64(_WHOLE))
    fraction = let(x - let(whole + f64(-_WHOLE)))
    bits = tirx.call_intrin("int64", "tirx.reinterpret", whole)
    scale = let((bits + _i64(_BIAS)) << _i64(_MANTISSA))  # of the lowest bits alone
    power = tirx.call_intrin("float64", "tirx.reinterpret", scale)
    return _polynomial(fraction, _EXP2) * power


def power(x: Expr, y: Expr, let: Let) -> Expr:
    """``x ** y`` for float32."""
    x, y = let(x), let(y)
    size = let(tirx.abs(x))
    one, zero, infinity = f32(1.0), f32(0.0), f32(math.inf)
    exponent = _log2(tirx.Cast("float64", size), let) * tirx.Cast("float64", y)
    found = let(tirx.Cast("float32", _exp2(let(exponent), let)))
    half = let(y * f32(0.5))
    is_odd = tirx.all(tirx.floor(y) >= y, tirx.floor(half) < half)
    is_below = as_int(x) < tirx.const(0, "int32")  # zero, too
    found = let(tirx.Select(tirx.all(is_below, is_odd), found * f32(-1.0), found))
    roots = tirx.all(x < zero, x > f32(-math.inf), tirx.floor(y) < y)
    found = let(tirx.Select(roots, f32(math.nan), found))
    found = let(tirx.Select(is_number(x), found, x))
    is_sure = tirx.any(y == zero, x == one, tirx.all(size == one, tirx.abs(y) == infinity))
    return tirx.Select(is_sure, one, found)
