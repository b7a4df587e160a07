"""The elementwise operators of ``ops`` as TensorIR expressions. Booleans are 0 or 1 in int8."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx

from . import mathfn
from .errors import ScheduleError
from .workload import Node

Expr = Any
Bind = Callable[[Expr], Expr]


def storage(dtype: str) -> str:
    """The dtype that memory holds for a workload's dtype."""
    return "int8" if dtype == "bool" else dtype


def constant(value: Any, dtype: str) -> Expr:
    """A literal; infinities and NaN may be spelled as strings, since JSON has none."""
    if dtype.startswith("float"):
        return tirx.const(float(value), dtype)
    return tirx.const(int(value), storage(dtype))


def apply(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    """The value of an elementwise node for arguments ``args`` of workload types ``dtypes``."""
    op, dtype = node.op, node.out.dtype
    if op == "const":
        return constant(node.attr("value"), dtype)
    if op in _SPECIAL:
        return _SPECIAL[op](node, args, dtypes, bind)
    if op in _FAST and dtype == "float32":
        return _FAST[op](args[0], bind)
    if op in _UNARY:
        return _UNARY[op](args[0])
    if op in _BINARY:
        return _BINARY[op](args[0], args[1])
    if op in _COMPARE:
        return _truth(_COMPARE[op](args[0], args[1]))
    raise ScheduleError(f"unknown elementwise operator '{op}'")


def _truth(condition: Expr) -> Expr:
    return tirx.Select(condition, tirx.const(1, "int8"), tirx.const(0, "int8"))


def _logic(combine: Callable[[Expr, Expr], Expr]) -> Callable[..., Expr]:
    def run(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
        zero = tirx.const(0, "int8")
        return _truth(combine(args[0] != zero, args[1] != zero))

    return run


def _cast(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    source, target = dtypes[0], node.out.dtype
    if source == target:
        return args[0]
    if target == "bool":
        return _truth(args[0] != constant(0, source))
    return tirx.Cast(storage(target), args[0])


def _clip(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    dtype = node.out.dtype
    value = args[0]
    low, high = float(node.attr("min", "-inf")), float(node.attr("max", "inf"))
    if math.isfinite(low):
        bound = constant(low, dtype)
        value = bind(value)
        value = tirx.Select(value < bound, bound, value)
    if math.isfinite(high):
        bound = constant(high, dtype)
        value = bind(value)
        value = tirx.Select(value > bound, bound, value)
    return value


def _relu(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    zero = constant(0, node.out.dtype)
    value = bind(args[0])
    return tirx.Select(value < zero, zero, value)


def _leaky_relu(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    x = bind(args[0])
    slope = constant(node.attr("alpha"), node.out.dtype)
    return tirx.Select(x < constant(0, node.out.dtype), x * slope, x)


def _hard_sigmoid(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    dtype = node.out.dtype
    zero, one = constant(0, dtype), constant(1, dtype)
    y = bind(args[0] * constant(node.attr("alpha"), dtype) + constant(node.attr("beta"), dtype))
    return tirx.Select(y < zero, zero, tirx.Select(y > one, one, y))


def _sign(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    dtype = node.out.dtype
    x, zero = bind(args[0]), constant(0, dtype)
    negative = constant(0 if dtype.startswith("uint") else -1, dtype)
    below = tirx.Select(x < zero, negative, x * zero)  # x * 0 keeps NaN
    return tirx.Select(x > zero, constant(1, dtype), below)


def _power(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    if isinstance(args[1], tirx.FloatImm) and node.out.dtype == "float32":
        fast = mathfn.power(args[0], float(args[1].value), bind)
        if fast is not None:
            return fast
    if not node.out.dtype.startswith("float"):
        raise ScheduleError("power of integers is not supported")
    return tirx.power(args[0], args[1])


def _where(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    return tirx.Select(args[0] != tirx.const(0, "int8"), args[1], args[2])


def _floor_divide(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    if node.out.dtype.startswith("float"):
        return tirx.floor(args[0] / args[1])
    return tirx.floordiv(args[0], args[1])


def _divide(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    if node.out.dtype.startswith("float"):
        return args[0] / args[1]
    return tirx.truncdiv(args[0], args[1])


def _mod(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    if node.out.dtype.startswith("float"):
        a, b = bind(args[0]), bind(args[1])
        return a - tirx.trunc(a / b) * b
    return tirx.truncmod(args[0], args[1])


def _floor_mod(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    if node.out.dtype.startswith("float"):
        a, b = bind(args[0]), bind(args[1])
        return a - tirx.floor(a / b) * b
    return tirx.floormod(args[0], args[1])


def _pick(prefer: Callable[[Expr, Expr], Expr]) -> Callable[..., Expr]:
    """Maximum or minimum; NaN in either argument gives NaN, as NumPy and ONNX have it."""

    def run(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
        a, b = bind(args[0]), bind(args[1])
        chosen = tirx.Select(prefer(a, b), a, b)
        return tirx.Select(a != a, a, chosen) if node.out.dtype.startswith("float") else chosen

    return run


def _isinf(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    x = bind(args[0])
    infinity = constant(math.inf, dtypes[0])
    return _truth(tirx.any(x == infinity, x == constant(-math.inf, dtypes[0])))


def _isnan(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    x = bind(args[0])
    return _truth(x != x)


def _logical_not(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    return _truth(args[0] == tirx.const(0, "int8"))


_SPECIAL: dict[str, Callable[..., Expr]] = {
    "cast": _cast,
    "clip": _clip,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "hard_sigmoid": _hard_sigmoid,
    "sign": _sign,
    "power": _power,
    "where": _where,
    "divide": _divide,
    "floor_divide": _floor_divide,
    "mod": _mod,
    "floor_mod": _floor_mod,
    "maximum": _pick(lambda a, b: a > b),
    "minimum": _pick(lambda a, b: a < b),
    "isinf": _isinf,
    "isnan": _isnan,
    "logical_not": _logical_not,
    "logical_and": _logic(tirx.all),
    "logical_or": _logic(tirx.any),
    "logical_xor": _logic(lambda a, b: a != b),
}

_FAST: dict[str, Callable[[Expr, Bind], Expr]] = {
    "exp": mathfn.exp,
    "log": mathfn.log,
    "tanh": mathfn.tanh,
    "erf": mathfn.erf,
    "sigmoid": mathfn.sigmoid,
}

_UNARY: dict[str, Callable[[Expr], Expr]] = {
    "negative": lambda x: -x,
    "abs": tirx.abs,
    "bitwise_not": tirx.bitwise_not,
    "exp": tirx.exp,
    "log": tirx.log,
    "sqrt": tirx.sqrt,
    "rsqrt": lambda x: tirx.const(1.0, "float32") / tirx.sqrt(x),
    "sigmoid": tirx.sigmoid,
    "tanh": tirx.tanh,
    "erf": tirx.erf,
    "floor": tirx.floor,
    "ceil": tirx.ceil,
    "round": tirx.nearbyint,
    "trunc": tirx.trunc,
    "sin": tirx.sin,
    "cos": tirx.cos,
    "tan": tirx.tan,
    "sinh": tirx.sinh,
    "cosh": tirx.cosh,
    "asin": tirx.asin,
    "acos": tirx.acos,
    "atan": tirx.atan,
    "asinh": tirx.asinh,
    "acosh": tirx.acosh,
    "atanh": tirx.atanh,
}

_BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "bitwise_and": tirx.bitwise_and,
    "bitwise_or": tirx.bitwise_or,
    "bitwise_xor": tirx.bitwise_xor,
    "left_shift": tirx.shift_left,
    "right_shift": tirx.shift_right,
}

_COMPARE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
}
