"""The elementwise operators of ``ops`` as TensorIR expressions. Booleans are 0 or 1 in int8."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tvm import tirx

from . import arithmetic, mathfn
from .arithmetic import libm
from .compare import equal, extreme, is_number, less, less_equal
from .conversion import convert, dtype_of
from .errors import ScheduleError
from .workload import Node, Tensor

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


def operand(value: Any, dtype: str) -> Expr:
    """A literal that arithmetic may use: see ``arithmetic``."""
    if dtype.startswith("float"):
        return arithmetic.number(float(value), dtype)
    return constant(value, dtype)


def apply(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    """The value of an elementwise node for arguments ``args`` of workload types ``dtypes``."""
    op, dtype = node.op, node.out.dtype
    if dtype == "float16" and op != "cast":
        return tirx.Cast(dtype, _in_float32(node, args, dtypes, bind))
    if op == "const":
        return operand(node.attr("value"), dtype)
    if op in _SPECIAL:
        return _SPECIAL[op](node, args, dtypes, bind)
    if op in _BINDING and (op not in _FAST or dtype == "float32"):
        return _BINDING[op](*args, bind)
    if op in _SIMPLE:
        return _SIMPLE[op](*args)
    raise ScheduleError(f"unknown elementwise operator '{op}'")


def is_scalar(node: Node) -> bool:
    """Whether it is computed lane by lane: TVM makes wrong vector code around such operators."""
    return node.op in _SCALAR or (node.out.dtype == "float64" and node.op in ("tanh", "erf"))


def _in_float32(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    """A float16 node as processors compute it, which have few instructions for float16."""
    wide = replace(node, out=Tensor(node.out.shape, "float32"))
    halves = [dtype == "float16" for dtype in dtypes]
    args = [tirx.Cast("float32", a) if h else a for a, h in zip(args, halves, strict=True)]
    dtypes = ["float32" if h else d for d, h in zip(dtypes, halves, strict=True)]
    return apply(wide, args, dtypes, bind)


def _truth(condition: Expr, then: int = 1, otherwise: int = 0) -> Expr:
    return tirx.Select(condition, tirx.const(then, "int8"), tirx.const(otherwise, "int8"))


def _compare(condition: Callable[[Expr, Expr], Expr]) -> Callable[..., Expr]:
    def run(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
        return _truth(condition(args[0], args[1]))

    return run


def _not_equal(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    return _truth(equal(args[0], args[1]), 0, 1)


def _logic(combine: Callable[[Expr, Expr], Expr]) -> Callable[..., Expr]:
    def run(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
        zero = tirx.const(0, "int8")
        return _truth(combine(*(a != zero for a in args)))

    return run


def _logical_xor(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    a, b = (_truth(a != tirx.const(0, "int8")) for a in args)
    return tirx.bitwise_xor(a, b)


def _cast(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    source, target = dtypes[0], node.out.dtype
    if source == target:
        return args[0]
    if target == "bool":
        return _truth(args[0] == constant(0, source), 0, 1)
    return convert(args[0], storage(target), bind)


def _clip(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    dtype = node.out.dtype
    value = args[0]
    low, high = node.attr("min", "-inf"), node.attr("max", "inf")
    if math.isfinite(float(low)):
        bound = constant(low, dtype)
        value = bind(value)
        value = tirx.Select(less(value, bound), bound, value)
    if math.isfinite(float(high)):
        bound = constant(high, dtype)
        value = bind(value)
        value = tirx.Select(less(bound, value), bound, value)
    return value


def _relu(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    zero = constant(0, node.out.dtype)
    value = bind(args[0])
    return tirx.Select(less(value, zero), zero, value)


def _leaky_relu(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    x = bind(args[0])
    slope = operand(node.attr("alpha"), node.out.dtype)
    return tirx.Select(x < constant(0, node.out.dtype), x * slope, x)


def _hard_sigmoid(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    dtype = node.out.dtype
    zero, one = constant(0, dtype), constant(1, dtype)
    y = bind(args[0] * operand(node.attr("alpha"), dtype) + operand(node.attr("beta"), dtype))
    return tirx.Select(y < zero, zero, tirx.Select(y > one, one, y))


def _sign(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    dtype = node.out.dtype
    x, zero, one = bind(args[0]), constant(0, dtype), constant(1, dtype)
    if dtype.startswith("uint"):
        return tirx.Select(x != zero, one, zero)
    rest = x if dtype.startswith("int") else x + operand(0, dtype)  # NaN stays, -0 becomes 0
    below = tirx.Select(x < zero, constant(-1, dtype), rest)
    return tirx.Select(x > zero, one, below)


def _where(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    return tirx.Select(args[0] != tirx.const(0, "int8"), args[1], args[2])


def _extreme(op: str) -> Callable[..., Expr]:
    def run(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
        return extreme(op, bind(args[0]), bind(args[1]))

    return run


def _isinf(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    x = bind(args[0])
    infinity = constant(math.inf, dtypes[0])
    return _truth(tirx.any(x == infinity, x == constant(-math.inf, dtypes[0])))


def _isnan(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    return _truth(is_number(args[0]), 0, 1)


def _logical_not(node: Node, args: Sequence[Expr], dtypes: Sequence[str], bind: Bind) -> Expr:
    return _truth(args[0] == tirx.const(0, "int8"))


_SCALAR = frozenset("round sinh cosh asin acos atan asinh acosh atanh mod floor_mod".split())

_SPECIAL: dict[str, Callable[..., Expr]] = {
    "cast": _cast,
    "clip": _clip,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "hard_sigmoid": _hard_sigmoid,
    "sign": _sign,
    "where": _where,
    "maximum": _extreme("max"),
    "minimum": _extreme("min"),
    "equal": _compare(equal),
    "not_equal": _not_equal,
    "less": _compare(less),
    "less_equal": _compare(less_equal),
    "greater": _compare(lambda a, b: less(b, a)),
    "greater_equal": _compare(lambda a, b: less_equal(b, a)),
    "isinf": _isinf,
    "isnan": _isnan,
    "logical_not": _logical_not,
    "logical_and": _logic(tirx.all),
    "logical_or": _logic(tirx.any),
    "logical_xor": _logical_xor,
}

_FAST: dict[str, Callable[[Expr, Bind], Expr]] = {
    "exp": mathfn.exp,
    "log": mathfn.log,
    "tanh": mathfn.tanh,
    "erf": mathfn.erf,
    "sigmoid": mathfn.sigmoid,
}

_BINDING: dict[str, Callable[..., Expr]] = {
    **_FAST,
    "negative": arithmetic.negative,
    "abs": arithmetic.absolute,
    "add": arithmetic.add,
    "subtract": arithmetic.subtract,
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "floor_divide": arithmetic.floor_divide,
    "mod": arithmetic.mod,
    "floor_mod": arithmetic.floor_mod,
    "power": arithmetic.power,
    "left_shift": arithmetic.left_shift,
    "right_shift": arithmetic.right_shift,
}

_SIMPLE: dict[str, Callable[..., Expr]] = {
    "bitwise_not": tirx.bitwise_not,
    "exp": tirx.exp,
    "log": tirx.log,
    "sqrt": tirx.sqrt,
    "rsqrt": lambda x: tirx.const(1.0, dtype_of(x)) / tirx.sqrt(x),
    "sigmoid": tirx.sigmoid,
    "tanh": libm("tanh"),
    "erf": tirx.erf,
    "floor": tirx.floor,
    "ceil": tirx.ceil,
    "round": tirx.nearbyint,
    "trunc": tirx.trunc,
    "sin": tirx.sin,
    "cos": tirx.cos,
    "tan": tirx.tan,
    "sinh": libm("sinh"),
    "cosh": libm("cosh"),
    "asin": tirx.asin,
    "acos": tirx.acos,
    "atan": tirx.atan,
    "asinh": tirx.asinh,
    "acosh": tirx.acosh,
    "atanh": libm("atanh"),
    "bitwise_and": tirx.bitwise_and,
    "bitwise_or": tirx.bitwise_or,
    "bitwise_xor": tirx.bitwise_xor,
}
