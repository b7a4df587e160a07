"""Arithmetic, limits, conversions and bits, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.dtype import DTYPES, Kind
from ..ir.workload import Node
from ..tir import arithmetic
from ..tir.casts import cast
from ..tir.compare import extreme, less
from ..tir.conversion import convert
from ..tir.literals import constant, operand, storage
from ..tir.narrow import narrowed, widened
from ..tvm_late import tirx
from .emission import binding, intrinsic, truth
from .operator import Array, Elementwise, Emit, Evaluate, Expr, Let


def numpy(function: Callable[..., Any]) -> Evaluate:
    """By a function of the arguments alone."""
    return lambda node, *args: function(*args)


def costly(
    name: str,
    evaluate: Callable[..., Any],
    emit: Emit | None = None,
    wants_positive: bool = False,
    arity: int = 1,
) -> Elementwise:
    """One to compute once: by NumPy's function, and, without ``emit``, TVM's of the same name."""
    return Elementwise(
        name,
        arity,
        numpy(evaluate),
        emit=emit or intrinsic(name),
        is_costly=True,
        wants_positive=wants_positive,
    )


def number(value: Any, like: Array) -> Any:
    """An attribute as a number of an array's type."""
    value = float(value) if isinstance(value, str) else value
    if like.dtype.kind in "iu":
        info = np.iinfo(like.dtype)
        value = int(min(max(value, info.min), info.max))
    return np.asarray(value).astype(like.dtype)[()]


# Literals and types.


def _const(node: Node) -> Array:
    value = node.attr("value")
    return np.asarray(float(value) if isinstance(value, str) else value, node.out.element.numpy)


def _literal(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    return operand(node.attr("value"), node.out.dtype)


def _cast(node: Node, x: Array) -> Array:
    rounding, limit = node.attr("rounding", "nearest"), bool(node.attr("limit", True))
    return cast(x, node.out.dtype, rounding, limit=limit)


def _emit_cast(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    source, target = dtypes[0], node.out.dtype
    x, wanted = args[0], node.out.element
    if source == target:
        return x
    if DTYPES[source].is_narrow:
        x, source = let(widened(x, source, let)), DTYPES[source].computed.name
    if target == "bool":
        return truth(x == constant(0, source), 0, 1)
    if not wanted.is_narrow:
        return convert(x, storage(target), let)
    x = let(convert(x, wanted.computed.name, let))
    rounding, limit = node.attr("rounding", "nearest"), bool(node.attr("limit", True))
    return narrowed(x, target, let, rounding, limit=limit)


# Limits and slopes.


def _clip(node: Node, x: Array) -> Array:
    low, high = number(node.attr("min"), x), number(node.attr("max"), x)
    x = np.where(x < low, low, x)
    return np.where(x > high, high, x)


def _emit_clip(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    value, dtype = args[0], node.out.dtype
    low, high = node.attr("min", "-inf"), node.attr("max", "inf")
    if math.isfinite(float(low)):
        value = _at_least(constant(low, dtype), value, let)
    if math.isfinite(float(high)):
        bound, value = constant(high, dtype), let(value)
        value = tirx.Select(less(bound, value), bound, value)
    return value


def _at_least(bound: Expr, value: Expr, let: Let) -> Expr:
    value = let(value)
    return tirx.Select(less(value, bound), bound, value)


def _relu(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(0), x)


def _emit_relu(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    return _at_least(constant(0, node.out.dtype), args[0], let)


def _leaky_relu(node: Node, x: Array) -> Array:
    return np.where(x > 0, x, x * x.dtype.type(node.attr("alpha")))


def _emit_leaky_relu(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    x = let(args[0])
    slope = operand(node.attr("alpha"), node.out.dtype)
    return tirx.Select(x < constant(0, node.out.dtype), x * slope, x)


def _hard_sigmoid(node: Node, x: Array) -> Array:
    alpha, beta = x.dtype.type(node.attr("alpha")), x.dtype.type(node.attr("beta"))
    return np.asarray(np.clip(x * alpha + beta, 0, 1))


def _emit_hard_sigmoid(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    dtype = node.out.dtype
    zero, one = constant(0, dtype), constant(1, dtype)
    y = let(args[0] * operand(node.attr("alpha"), dtype) + operand(node.attr("beta"), dtype))
    return tirx.Select(y < zero, zero, tirx.Select(y > one, one, y))


def _emit_sign(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    dtype = node.out.dtype
    x, zero, one = let(args[0]), constant(0, dtype), constant(1, dtype)
    if node.out.element.kind is Kind.UINT:
        return tirx.Select(x != zero, one, zero)
    # NaN stays, -0 becomes 0.
    rest = x if node.out.element.kind is Kind.INT else x + operand(0, dtype)
    below = tirx.Select(x < zero, constant(-1, dtype), rest)
    return tirx.Select(x > zero, one, below)


def _extreme(op: str) -> Emit:
    return lambda node, args, dtypes, let: extreme(op, let(args[0]), let(args[1]))


# Arithmetic.


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":  # C's division: towards zero
        down, rest = np.divmod(a, b)  # by zero both are 0
        return np.asarray(down + ((rest != 0) & ((a < 0) != (b < 0))))
    return np.asarray(a / b)


def _floor_divide(a: Array, b: Array) -> Array:
    # NumPy's own differs for infinite floats.
    return np.asarray(np.floor(a / b) if a.dtype.kind == "f" else a // b)


def _power(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu" and not (b.size == 1 and b.item() in (1, 2, 3)):
        return cast(np.power(a.astype(np.float64), b.astype(np.float64)), a.dtype.name)
    # Where all exponents are one number in memory, NumPy takes square roots: wrong for -0 and -inf.
    return np.asarray(np.power(*map(np.copy, np.broadcast_arrays(a, b))))


def _binary(
    name: str, evaluate: Callable[..., Any], emit: Emit, *, commutes: bool = False
) -> Elementwise:
    return Elementwise(name, 2, numpy(evaluate), emit=emit, commutes=commutes)


OPERATORS = (
    Elementwise("const", 0, _const, emit=_literal, is_free=True),
    # to the node's output dtype; rounding ("nearest", "up" or "down") and limit, of exponents alone
    Elementwise("cast", 1, _cast, emit=_emit_cast, is_free=True, forwards=True),
    # min, max: numbers, or "-inf" and "inf"
    Elementwise("clip", 1, _clip, emit=_emit_clip, forwards=True),
    Elementwise("relu", 1, numpy(_relu), emit=_emit_relu, forwards=True),
    Elementwise("leaky_relu", 1, _leaky_relu, emit=_emit_leaky_relu),  # alpha
    Elementwise("hard_sigmoid", 1, _hard_sigmoid, emit=_emit_hard_sigmoid),  # alpha, beta
    Elementwise("negative", 1, numpy(np.negative), emit=binding(arithmetic.negative)),
    Elementwise("abs", 1, numpy(np.abs), emit=binding(arithmetic.absolute)),
    Elementwise("sign", 1, numpy(np.sign), emit=_emit_sign),
    _binary("add", np.add, binding(arithmetic.add), commutes=True),
    _binary("subtract", np.subtract, binding(arithmetic.subtract)),
    _binary("multiply", np.multiply, binding(arithmetic.multiply), commutes=True),
    _binary("maximum", np.maximum, _extreme("max"), commutes=True),
    _binary("minimum", np.minimum, _extreme("min"), commutes=True),
    costly("divide", _divide, binding(arithmetic.divide), wants_positive=True, arity=2),
    costly("floor_divide", _floor_divide, binding(arithmetic.floor_divide), arity=2),
    costly("power", _power, binding(arithmetic.power), wants_positive=True, arity=2),
    costly("mod", np.fmod, binding(arithmetic.mod), arity=2),  # C's remainder
    costly("floor_mod", np.mod, binding(arithmetic.floor_mod), arity=2),  # Python's
    Elementwise("bitwise_not", 1, numpy(np.bitwise_not), emit=intrinsic("bitwise_not")),
    _binary("bitwise_and", np.bitwise_and, intrinsic("bitwise_and"), commutes=True),
    _binary("bitwise_or", np.bitwise_or, intrinsic("bitwise_or"), commutes=True),
    _binary("bitwise_xor", np.bitwise_xor, intrinsic("bitwise_xor"), commutes=True),
    _binary("left_shift", np.left_shift, binding(arithmetic.left_shift)),
    _binary("right_shift", np.right_shift, binding(arithmetic.right_shift)),
)
