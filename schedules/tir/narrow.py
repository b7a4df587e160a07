"""Narrow types in kernels, by whole numbers alone: TVM's code generator knows none of them.

What is rounded goes to the nearest number, of two to the one whose last bit is 0; what is too large
becomes what the type has for it (see ``formats``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir.dtype import DTYPES, Kind
from ..ir.formats import FORMATS, Format
from ..tvm_late import tirx

Expr = Any
Let = Callable[[Expr], Expr]

_INFINITY, _NAN, _FRACTION = 0x7F800000, 0x7FC00000, 23  # of float32
_EXPONENT_ONLY = "float8_e8m0fnu"
_UPPER_HALF = "bfloat16"  # of a float32
_FARTHEST = 25  # all bits of a fraction are gone when they are moved by so many


def widened(x: Expr, dtype: str, let: Let) -> Expr:
    """What the bits of a narrow type stand for, as float32 or int32."""
    element = DTYPES[dtype]
    if dtype == _UPPER_HALF:
        return _float(tirx.shift_left(tirx.Cast("uint32", x), _unsigned(16)))
    bits = let(tirx.bitwise_and(tirx.Cast("int32", x), _int((1 << element.bits) - 1)))
    if not element.is_float:
        return _signed(bits, element.bits) if element.kind is Kind.INT else bits
    if dtype == _EXPONENT_ONLY:
        return _float(_of_exponent(bits))
    form = FORMATS[dtype]
    size = let(tirx.bitwise_and(bits, _int(form.sign - 1)))
    found = tirx.Cast("uint32", let(_size(bits, size, form)))
    sign = tirx.Select(bits >= _int(form.sign), _unsigned(1 << 31), _unsigned(0))
    return tirx.call_intrin("float32", "tirx.reinterpret", tirx.bitwise_or(found, sign))


def narrowed(x: Expr, dtype: str, let: Let, rounding: str = "nearest", *, limit: bool) -> Expr:
    """The bits of a narrow type for a number of its type ``computed``.

    ``rounding`` and ``limit`` are of exponents: whether one beyond the largest becomes that.
    """
    element = DTYPES[dtype]
    if not element.is_float:
        bits = tirx.bitwise_and(x, _int((1 << element.bits) - 1))
        if element.kind is Kind.INT:
            bits = _signed(let(bits), element.bits)
        return tirx.Cast(element.storage, bits)
    whole = let(tirx.call_intrin("int32", "tirx.reinterpret", let(x)))
    size = let(tirx.bitwise_and(whole, _int(0x7FFFFFFF)))
    if dtype == _EXPONENT_ONLY:
        return tirx.Cast("uint8", _to_exponent(size, let, rounding, limit=limit))
    if dtype == _UPPER_HALF:
        return tirx.Cast(element.storage, _upper_half(whole, size, let))
    form = FORMATS[dtype]
    code = let(_rounded(size, form, let))
    code = let(tirx.Select(code > _int(form.largest), _int(form.beyond), code))
    sign = tirx.Select(whole < _int(0), _int(form.sign), _int(0))
    signed = tirx.bitwise_or(code, sign)
    if not form.signed_zero:
        signed = tirx.Select(code > _int(0), signed, code)
        nan = _int(form.nan)
    else:
        nan = tirx.bitwise_xor(_int(form.nan), sign)
    return tirx.Cast(element.storage, tirx.Select(size > _int(_INFINITY), nan, signed))


def _upper_half(whole: Expr, size: Expr, let: Let) -> Expr:
    """The bits of a bfloat16 at the lower end of 32: what is added carries into the upper half from
    the middle on, and beyond the largest number to infinity."""
    bits = let(tirx.Cast("uint32", whole))
    upper = let(tirx.shift_right(bits, _unsigned(16)))
    last = tirx.bitwise_and(upper, _unsigned(1))
    rounded = tirx.shift_right(bits + _unsigned(0x7FFF) + last, _unsigned(16))
    sign = tirx.bitwise_and(upper, _unsigned(0x8000))
    nan = tirx.bitwise_or(sign, _unsigned(FORMATS[_UPPER_HALF].nan))
    return tirx.Select(size > _int(_INFINITY), nan, rounded)


def _size(bits: Expr, size: Expr, form: Format) -> Expr:
    """The bits of float32 for a number without its sign."""
    up = _FRACTION - form.fraction
    found = tirx.shift_left(size, _int(up)) + _int((127 - form.bias) << _FRACTION)
    if form.bias < 127:  # else what is below its normal numbers is below float32's, too
        step = tirx.const(2.0 ** (1 - form.bias - form.fraction), "float32")
        small = tirx.Cast("float32", size) * step
        below = size < _int(1 << form.fraction)
        found = tirx.Select(below, tirx.call_intrin("int32", "tirx.reinterpret", small), found)
    if not form.signed_zero:
        return tirx.Select(bits == _int(form.nan), _int(_NAN), found)
    if form.beyond == form.nan:
        return tirx.Select(size > _int(form.largest), _int(_NAN), found)
    if form.beyond > form.largest and form.bias < 127:
        infinite = tirx.Select(size > _int(form.beyond), _int(_NAN), _int(_INFINITY))
        return tirx.Select(size > _int(form.largest), infinite, found)
    return found


def _rounded(size: Expr, form: Format, let: Let) -> Expr:
    """The bits for a number without its sign, whether or not there are so many."""
    field = tirx.shift_right(size, _int(_FRACTION))
    exponent = let(tirx.max(field, _int(1)))
    one = tirx.Select(field > _int(0), _int(1 << _FRACTION), _int(0))
    fraction = let(tirx.bitwise_and(size, _int((1 << _FRACTION) - 1)) + one)
    least = _int(form.least_exponent)
    below = tirx.max(least - exponent, _int(0))
    shift = let(tirx.min(below + _int(_FRACTION - form.fraction), _int(_FARTHEST)))
    last = tirx.bitwise_and(tirx.shift_right(fraction, shift), _int(1))
    half = tirx.shift_left(_int(1), shift - _int(1))
    kept = tirx.shift_right(fraction + half - _int(1) + last, shift)
    above = tirx.max(exponent, least) - least
    return kept + tirx.shift_left(above, _int(form.fraction))


def _of_exponent(bits: Expr) -> Expr:
    """The lowest is below float32's normal numbers; the last one is NaN."""
    found = tirx.Select(bits > _int(0), tirx.shift_left(bits, _int(_FRACTION)), _int(1 << 22))
    return tirx.Select(bits > _int(254), _int(_NAN), found)


def _to_exponent(size: Expr, let: Let, rounding: str, *, limit: bool) -> Expr:
    """As ONNX's Cast: the sign does not count, infinity is NaN, half way is up but from below
    float32's normal numbers."""
    exponent = let(tirx.shift_right(size, _int(_FRACTION)))
    rest = let(tirx.bitwise_and(size, _int((1 << _FRACTION) - 1)))
    half = _int(1 << (_FRACTION - 1))
    upwards = {
        "up": rest > _int(0),
        "down": rest > _int(1 << _FRACTION),
        "nearest": tirx.any(rest > half, tirx.all(rest >= half, exponent > _int(0))),
    }[rounding]
    found = exponent + tirx.Select(upwards, _int(1), _int(0))
    if limit:
        found = tirx.min(found, _int(254))
    return tirx.Select(exponent > _int(254), _int(255), found)


def _signed(bits: Expr, count: int) -> Expr:
    """A whole number of so many bits, of which the first is the sign."""
    sign = 1 << (count - 1)
    return tirx.bitwise_xor(bits, _int(sign)) - _int(sign)


def _float(bits: Expr) -> Expr:
    return tirx.call_intrin("float32", "tirx.reinterpret", bits)


def _int(value: int) -> Expr:
    return tirx.const(value, "int32")


def _unsigned(value: int) -> Expr:
    return tirx.const(value, "uint32")
