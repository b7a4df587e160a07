"""Lanes that arithmetic of vectors does not reach, by C's functions or by longer arithmetic.

Some functions are short for all numbers but a few, such as the sine of what is beyond a million: a
vector that has none of these passes by a branch that is never taken. TVM's expressions have no
branches of vectors; so an operator of our own goes through its passes as one that has lanes, and
becomes a call of a function in LLVM's language when the rest is lowered, which LLVM inlines.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

from ..ir.dtype import DTYPES
from ..tvm_late import ir, tirx
from .elements import dtype_of

Expr = Any

_ARITY = {"fmod": 2, "sin": 1, "cos": 1, "tan": 1}
_PREFIX = "luthier_far"
_PURE = 1  # TVM's CallEffectKind
_REAL = {"float32": "float", "float64": "double"}
_INT64 = "int64"  # a name as those of C's functions are
_DIVISIONS = {
    (rest, down): f"{'rest' if rest else 'quotient'}{'down' if down else ''}"
    for rest in (False, True)
    for down in (False, True)
}
_WHOLE, _WHOLE_BITS = "double 0x4338000000000000", f"i64 {0x4338 << 48}"
_NEAR = 2**51  # whole numbers below it are floats whose sums with 1.5 * 2**52 are exact
_CALL = re.compile(rf"{_PREFIX}_([a-z0-9]+)_([a-z]+\d+)_(\d+)")


def far_lanes(name: str, far: Expr, near: Expr, *args: Expr) -> Expr:
    """``near``, but C's function ``name`` of ``args`` in lanes that are ``far``: few of them."""
    _register(name)
    return tirx.call_intrin(dtype_of(near), _operator(name), far, near, *args)


def far_int64(inside: Expr, near: Expr, x: Expr) -> Expr:
    """``near``, but all lanes of ``x`` as int64 where some are not ``inside``.

    Towards zero; -2**63 where int64 does not hold it.
    """
    _register(_INT64)
    return tirx.call_intrin(dtype_of(near), _operator(_INT64), inside, near, x)


def far_division(a: Expr, b: Expr, *, rest: bool, down: bool) -> Expr:
    """The quotient of whole numbers of 64 bits towards zero or rounded ``down``, or what it leaves;
    for divisors that do not trap.

    Processors divide them lane by lane. Where all of a vector's are small they are divided as
    floats, whose quotient is rounded by less than what it is away from the next whole number.
    """
    name = _DIVISIONS[rest, down]
    _register(name)
    return tirx.call_intrin(dtype_of(a), _operator(name), a, b)


def far_sources(names: Iterable[str]) -> list[str]:
    """In LLVM's language, those of the functions that lowered code calls by these names."""
    found = filter(None, map(_CALL.fullmatch, sorted(names)))
    return [_named(call[1], call[2], int(call[3])) for call in found]


def _named(name: str, dtype: str, lanes: int) -> str:
    if name == _INT64:
        return _int64(dtype, lanes)
    for (rest, down), division in _DIVISIONS.items():
        if name == division:
            return _division(dtype, lanes, rest=rest, down=down)
    return _source(name, dtype, lanes)


def _operator(name: str) -> str:
    return f"luthier.far_{name}"


@functools.cache
def _register(name: str) -> None:
    """Make TVM know it, once in a process."""
    operator = _operator(name)
    ir.register_op_attr(operator, "TCallEffectKind", _PURE)
    ir.register_op_attr(operator, "TVectorizable", True)
    tirx.op.register_intrin_lowering(operator, "llvm", f=functools.partial(_lowered, name))


def _lowered(name: str, call: Any) -> Expr:
    dtype, _, lanes = dtype_of(call.args[-1]).partition("x")
    symbol = f"{_PREFIX}_{name}_{dtype}_{lanes or 1}"
    return tirx.call_pure_extern(dtype_of(call), symbol, *call.args)


def _source(name: str, dtype: str, lanes: int) -> str:
    """The function for vectors of so many lanes."""
    real, suffix = _REAL[dtype], "f" * (DTYPES[dtype].bits == 32)
    vector, truth = (_vector(kind, lanes) for kind in (real, "i1"))
    args = [f"%x{i}" for i in range(_ARITY[name])]
    given = ", ".join(f"{vector} {arg}" for arg in args)
    head = f"""
declare {real} @{name}{suffix}({", ".join([real] * len(args))})
define {vector} @{_PREFIX}_{name}_{dtype}_{lanes}({truth} %far, {vector} %near, {given}) {{
"""
    tail = """
}
!0 = !{!"branch_weights", i32 1, i32 2000}
"""
    if lanes == 1:
        return head + _single(f"{name}{suffix}", real, args) + tail
    return f"declare i1 @llvm.vector.reduce.or.v{lanes}i1({truth})" + (
        head + _several(f"{name}{suffix}", real, lanes, args) + tail
    )


def _vector(kind: str, lanes: int) -> str:
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def _single(function: str, real: str, args: list[str]) -> str:
    given = ", ".join(f"{real} {arg}" for arg in args)
    return f"""entry:
  br i1 %far, label %one, label %end, !prof !0
one:
  %found = call {real} @{function}({given})
  br label %end
end:
  %result = phi {real} [ %near, %entry ], [ %found, %one ]
  ret {real} %result"""


def _several(function: str, real: str, lanes: int, args: list[str]) -> str:
    vector, truth = _vector(real, lanes), _vector("i1", lanes)
    taken = "\n".join(f"  {arg}.i = extractelement {vector} {arg}, i32 %i" for arg in args)
    given = ", ".join(f"{real} {arg}.i" for arg in args)
    return f"""entry:
  %any = call i1 @llvm.vector.reduce.or.v{lanes}i1({truth} %far)
  br i1 %any, label %lane, label %end, !prof !0
lane:
  %i = phi i32 [ 0, %entry ], [ %next, %after ]
  %before = phi {vector} [ %near, %entry ], [ %so.far, %after ]
  %is.far = extractelement {truth} %far, i32 %i
  br i1 %is.far, label %one, label %after
one:
{taken}
  %found = call {real} @{function}({given})
  %put = insertelement {vector} %before, {real} %found, i32 %i
  br label %after
after:
  %so.far = phi {vector} [ %before, %lane ], [ %put, %one ]
  %next = add i32 %i, 1
  %more = icmp ult i32 %next, {lanes}
  br i1 %more, label %lane, label %end
end:
  %result = phi {vector} [ %near, %entry ], [ %so.far, %after ]
  ret {vector} %result"""


def _int64(dtype: str, lanes: int) -> str:
    """The function that converts to int64: short for vectors whose lanes are all inside."""
    vector, truth, whole = (_vector(kind, lanes) for kind in (_REAL[dtype], "i1", "i64"))
    lowest, end, least = "0xC3E0000000000000", "0x43E0000000000000", str(-(2**63))
    if lanes > 1:
        lowest, end = (f"splat ({_REAL[dtype]} {limit})" for limit in (lowest, end))
        least = f"splat (i64 {least})"
    every, all_lanes = "", "%inside"
    if lanes > 1:
        all_lanes = "%all"
        every = f"  %all = call i1 @llvm.vector.reduce.and.v{lanes}i1({truth} %inside)\n"
    return f"""
define {whole} @{_PREFIX}_{_INT64}_{dtype}_{lanes}({truth} %inside, {whole} %near, {vector} %x) {{
entry:
{every}  br i1 {all_lanes}, label %end, label %some, !prof !0
some:
  %above = fcmp oge {vector} %x, {lowest}
  %below = fcmp olt {vector} %x, {end}
  %held = and {truth} %above, %below
  %whole = fptosi {vector} %x to {whole}
  %found = select {truth} %held, {whole} %whole, {whole} {least}
  br label %end
end:
  %result = phi {whole} [ %near, %entry ], [ %found, %some ]
  ret {whole} %result
}}
!0 = !{{!"branch_weights", i32 2000, i32 1}}
"""


def _division(dtype: str, lanes: int, *, rest: bool, down: bool) -> str:
    """The function that divides: by floats where all lanes are near zero."""
    is_signed, vector, real = dtype == _INT64, _vector("i64", lanes), _vector("double", lanes)
    is_down, truth = is_signed and down, _vector("i1", lanes)
    shift, high = (_NEAR, -2 * _NEAR) if is_signed else (0, -_NEAR)
    any_lane, rounded = "%high", f"@llvm.{'floor' if is_down else 'trunc'}.{_suffix('f64', lanes)}"
    reduced = f"@llvm.vector.reduce.or.{_suffix('i64', lanes)}"
    declared, every = f"declare {real} {rounded}({real})\n", ""
    if lanes > 1:
        any_lane, declared = "%any", f"{declared}declare i64 {reduced}({vector})\n"
        every = f"  %any = call i64 {reduced}({vector} %high)\n"
    symbol = f"{_PREFIX}_{_DIVISIONS[rest, down]}_{dtype}_{lanes}"
    letter, none = "s" if is_signed else "u", _all("i64 0", lanes)
    left = f"""
  %product = fmul {real} %rounded, %b.real
  %left = fsub {real} %a.real, %product"""
    differs = f"""
  %left.far = {letter}rem {vector} %a, %b
  %is.rest = icmp ne {vector} %left.far, {none}
  %signs = xor {vector} %left.far, %b
  %differ = icmp slt {vector} %signs, {none}
  %is.less = and {truth} %is.rest, %differ"""
    numbers = {
        (False, False): f"""
  %far = {letter}div {vector} %a, %b""",
        (True, False): f"""
  %far = {letter}rem {vector} %a, %b""",
        (False, True): f"""
  %whole = {letter}div {vector} %a, %b{differs}
  %one = sext {truth} %is.less to {vector}
  %far = add {vector} %whole, %one""",
        (True, True): f"""{differs}
  %more = select {truth} %is.less, {vector} %b, {vector} {none}
  %far = add {vector} %left.far, %more""",
    }[rest, is_down]
    return f"""
{declared}define {vector} @{symbol}({vector} %a, {vector} %b) {{
entry:
  %a.up = add {vector} %a, {_all(f"i64 {shift}", lanes)}
  %b.up = add {vector} %b, {_all(f"i64 {shift}", lanes)}
  %both = or {vector} %a.up, %b.up
  %high = and {vector} %both, {_all(f"i64 {high}", lanes)}
{every}  %is.near = icmp eq i64 {any_lane}, 0
  br i1 %is.near, label %floats, label %numbers, !prof !0
floats:
{_as_double("a", lanes)}
{_as_double("b", lanes)}
  %exact = fdiv {real} %a.real, %b.real
  %rounded = call {real} {rounded}({real} %exact){left if rest else ""}
  %sum = fadd {real} {"%left" if rest else "%rounded"}, {_all(_WHOLE, lanes)}
  %bits = bitcast {real} %sum to {vector}
  %near = sub {vector} %bits, {_all(_WHOLE_BITS, lanes)}
  br label %end
numbers:{numbers}
  br label %end
end:
  %result = phi {vector} [ %near, %floats ], [ %far, %numbers ]
  ret {vector} %result
}}
!0 = !{{!"branch_weights", i32 2000, i32 1}}
"""


def _as_double(name: str, lanes: int) -> str:
    """A whole number near zero as ``%name.real``."""
    vector, real = _vector("i64", lanes), _vector("double", lanes)
    return f"""  %{name}.bits = add {vector} %{name}, {_all(_WHOLE_BITS, lanes)}
  %{name}.moved = bitcast {vector} %{name}.bits to {real}
  %{name}.real = fsub {real} %{name}.moved, {_all(_WHOLE, lanes)}"""


def _suffix(kind: str, lanes: int) -> str:
    return kind if lanes == 1 else f"v{lanes}{kind}"


def _all(constant: str, lanes: int) -> str:
    """A constant, after its type, in every lane."""
    return constant.split()[1] if lanes == 1 else f"splat ({constant})"
