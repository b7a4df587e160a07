"""Transcendental functions of float64 as arithmetic that vectorises, as ``mathfn`` has of float32.

Errors are the largest seen against numbers of more digits, in units in the last place (ulp) of
float64; ``tests/schedules/test_doubles.py`` checks them. Polynomials are Chebyshev's, found with 40
digits, unless said otherwise.

exp       reduction by ln 2 in two parts, polynomial of degree 11; 2 ulp, subnormal results too
log       fdlibm's: mantissa in [sqrt 1/2, sqrt 2), by the inverse hyperbolic tangent; 2 ulp
log1p     by the logarithm of 1 + x, and what that sum has no room for; 3 ulp
sigmoid   by e**-x; 3 ulp, 0 where e**-x is infinite
softplus  the larger of x and 0, and the logarithm of 1 + e**-abs(x); 3 ulp
tanh      by e**2x - 1; 3 ulp
erf       polynomial of degree 23 up to 1, then by e**-x**2 and one of (x - 3) / (x + 3); 4 ulp
"""

from __future__ import annotations

import math

from ..tvm_late import tirx
from .mathfn import Expr, Let, f64, four_chains, limit, polynomial, two_chains

# A float64 from 2**52 to 2**53 is a whole number, and its last bits are that number's.
_WHOLE = 1.5 * 2.0**52
_LN2_HIGH, _LN2_LOW = 6.93145751953125e-1, 1.42860682030941723212e-6

# Of (e**r - 1 - r) / r**2 for |r| <= ln(2) / 2.
_EXP = (
    2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06, 2.4801521295954376e-05,
    0.00019841269863053618, 0.0013888888917213717, 0.008333333333330062, 0.04166666666662413,
    0.16666666666666669, 0.5000000000000001,
)  # fmt: skip
# Of erf x / x, by x**2 up to 1.
_ERF = (
    -7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06,
    -1.492473690741966e-05, 0.00012055294904839707, -0.0008548325975389692, 0.0052239776071164225,
    -0.02686617064323777, 0.11283791670945006, -0.37612638903183543, 1.1283791670955126,
)  # fmt: skip
# Of (1 - erf x) e**x**2 for x from 1 to 6, by (x - 3) / (x + 3).
_ERFC = (
    3.381355142042904e-09, 1.2755818949624478e-06, 2.0135111426447427e-06, -8.00978093907608e-06,
    -1.2845780030775907e-05, 6.406279226046039e-05, 4.525434558991009e-05, -0.0005970624964924544,
    0.0007077464666941425, 0.004269136356961225, -0.024392499318915004, 0.07166583719747308,
    -0.15011593650077898, 0.24560380171233487, -0.3262335600430372, 0.17900115118138996,
)  # fmt: skip
# fdlibm's Lg1 to Lg7, those of odd and of even places apart.
_LOG_ODD = (
    1.479819860511658591e-01, 1.818357216161805012e-01, 2.857142874366239149e-01,
    6.666666666666735130e-01,
)  # fmt: skip
_LOG_EVEN = (1.531383769920937332e-01, 2.222219843214978396e-01, 3.999999999940941908e-01)
_LOG_HIGH, _LOG_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


def _i64(value: int) -> Expr:
    return tirx.const(value, "int64")


def as_float(bits: Expr) -> Expr:
    """The float64 that has these bits."""
    return tirx.call_intrin("float64", "tirx.reinterpret", bits)


def as_int(value: Expr) -> Expr:
    """The bits of a float64."""
    return tirx.call_intrin("int64", "tirx.reinterpret", value)


def power_of_two(bits: Expr) -> Expr:
    """2**(n - 1023) of a whole number n from 1 to 2046 in the last bits; 0 of 0."""
    return as_float(tirx.shift_left(bits, _i64(52)))


def with_sign(x: Expr, size: Expr) -> Expr:
    """``size``, which is not negative, with the sign of ``x``; of zeros too."""
    sign = tirx.bitwise_and(as_int(x), _i64(-(2**63)))
    return as_float(tirx.bitwise_or(as_int(size), sign))


def exp_parts(x: Expr, let: Let, bias: int = 1023) -> tuple[Expr, Expr]:
    """The whole number n next to x / ln 2, plus ``bias``, in the last bits; and e**r - 1 for what
    is left of x without n ln 2."""
    biased = let(x * f64(1 / math.log(2)) + f64(_WHOLE + bias))
    n = let(biased - f64(_WHOLE + bias))
    r = let((x - n * f64(_LN2_HIGH)) - n * f64(_LN2_LOW))
    square = let(r * r)
    return as_int(biased), let(two_chains(r, square, _EXP) * square + r)


def exp(x: Expr, let: Let) -> Expr:
    """e**x; the power of two is multiplied in two steps, so that it may be beyond all numbers."""
    bits, more = exp_parts(limit(x, -746.0, 710.0, let), let, 2 * 1023)
    bits = let(bits)
    half = let(tirx.shift_right(bits, _i64(1)))
    return (more + f64(1.0)) * power_of_two(half) * power_of_two(bits - half)


def log(x: Expr, let: Let) -> Expr:
    """Natural logarithm; NaN below zero, -infinity at zero."""
    x = let(x)
    subnormal = x < f64(2.0**-1022)
    bits = let(as_int(tirx.Select(subnormal, x * f64(2.0**54), x)))
    fraction = let(tirx.bitwise_and(bits, _i64((1 << 52) - 1)))
    mantissa = let(as_float(tirx.bitwise_or(fraction, _i64(0x3FE << 52))))
    small = mantissa < f64(math.sqrt(0.5))
    f = let(tirx.Select(small, mantissa + mantissa, mantissa) - f64(1.0))
    # No instruction before AVX-512 makes floats of vectors of whole numbers of 64 bits.
    biased = as_float(tirx.bitwise_or(tirx.shift_right(bits, _i64(52)), _i64(0x433 << 52)))
    bias = tirx.Select(small, f64(2.0**52 + 1023), f64(2.0**52 + 1022))
    e = let(biased - bias - tirx.Select(subnormal, f64(54.0), f64(0.0)))
    s = let(f / (f + f64(2.0)))
    z = let(s * s)
    w = let(z * z)
    rest = let(z * polynomial(w, _LOG_ODD) + w * polynomial(w, _LOG_EVEN))
    half = let(f * f * f64(0.5))
    result = e * f64(_LOG_HIGH) - ((half - (s * (half + rest) + e * f64(_LOG_LOW))) - f)
    result = tirx.Select(x < f64(math.inf), result, x)  # NaN too
    result = tirx.Select(x == f64(0.0), f64(-math.inf), result)
    return tirx.Select(x < f64(0.0), f64(math.nan), result)


def sigmoid(x: Expr, let: Let) -> Expr:
    """1 / (1 + e**-x)."""
    return f64(1.0) / (f64(1.0) + exp(x * f64(-1.0), let))


def softplus(x: Expr, let: Let) -> Expr:
    """log(1 + e**x): the larger of x and 0, and log(1 + t) with t = e**-|x|.

    What 1 + t has no room for is put back (Kahan's): it is log's derivative times that.
    """
    x = let(x)
    t = let(exp(tirx.abs(x) * f64(-1.0), let))
    u = let(t + f64(1.0))
    return tirx.Select(x < f64(0.0), f64(0.0), x) + (log(u, let) + (t - (u - f64(1.0))) / u)


def log1p(x: Expr, let: Let) -> Expr:
    """log(1 + x) from 0 on; what the sum has no room for is put back as in ``softplus``. Below -1
    NaN."""
    x = let(x)
    u = let(x + f64(1.0))
    rest = (x - (u - f64(1.0))) / u
    return log(u, let) + tirx.Select(u < f64(math.inf), rest, x)


def tanh(x: Expr, let: Let) -> Expr:
    """Hyperbolic tangent: e**2x - 1 divided by e**2x + 1, of which the former has no cancellation
    below n = 1, where the power of two is 1."""
    x = let(x)
    double = let(tirx.abs(x) * f64(2.0))
    bits, more = exp_parts(let(tirx.Select(double > f64(44.0), f64(44.0), double)), let)
    power = let(power_of_two(bits))
    part = let(power * more)
    value = (part + let(power - f64(1.0))) / (part + let(power + f64(1.0)))
    return with_sign(x, value)


def erf(x: Expr, let: Let) -> Expr:
    """Error function; 1 from 6 on."""
    x = let(x)
    size = let(tirx.abs(x))
    size = let(tirx.Select(size > f64(6.0), f64(6.0), size))
    square = let(size * size)
    t = let((size - f64(3.0)) / (size + f64(3.0)))
    bits, more = exp_parts(let(square * f64(-1.0)), let)
    decay = let((more + f64(1.0)) * power_of_two(bits))
    small = size * four_chains(square, _ERF, let)
    large = let(f64(1.0) - four_chains(t, _ERFC, let) * decay)
    return with_sign(x, tirx.Select(size < f64(1.0), small, large))
