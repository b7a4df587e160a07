"""ONNX operators that work on each element alone."""

from __future__ import annotations

import math
from functools import partial, reduce

import numpy as np

from luthier.schedules import ModelError, Tensor
from luthier.schedules.ir.dtype import DTYPES

from ..composites import math as composite
from ..composites import narrow
from .element_types import dtype_name
from .node import OnnxNode, Operator, graph_operator

# ONNX's name and the graph's.
_SAME = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Add": "add", "And": "logical_and",
    "Asin": "asin", "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh",
    "BitwiseAnd": "bitwise_and", "BitwiseNot": "bitwise_not", "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Div": "divide",
    "Equal": "equal", "Exp": "exp", "Floor": "floor", "Greater": "greater",
    "GreaterOrEqual": "greater_equal", "IsNaN": "isnan", "Less": "less",
    "LessOrEqual": "less_equal", "Log": "log", "Mul": "multiply", "Neg": "negative",
    "Not": "logical_not", "Or": "logical_or", "Relu": "relu", "Round": "round",
    "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh",
    "Softplus": "softplus", "Sqrt": "sqrt",
    "Sub": "subtract", "Tan": "tan", "Tanh": "tanh", "Xor": "logical_xor",
}  # fmt: skip
# Clip's bounds: where they are given, and where they bound nothing.
_ENDS = ((1, "min", -math.inf), (2, "max", math.inf))
# Selu's, which keep means and variances (Klambauer et al. 2017).
_ALPHA, _GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _clip(node: OnnxNode) -> int:
    """Bounds are attributes until operator set 11, inputs since; NaN is not a bound."""
    ends = []
    for (index, name, free), default in zip(_ENDS, _limits(node), strict=True):
        value = node.input(index)
        if value is not None and node.t.known(value) is None:
            return _clip_at_run_time(node)
        found = node.setting(name, index)
        number = default if found is None else found.item()
        if number > np.iinfo("int64").max and node.dtype == "uint64":  # no literal of TVM's
            return _clip_at_run_time(node)
        ends.append(free if number != number else number)
    return composite.clip(node.t, node.x, *ends)


def _limits(node: OnnxNode) -> tuple[float, float]:
    """The bounds that are not given: the standard limits infinity to what the type holds."""
    if not node.element.is_float:
        return -math.inf, math.inf
    narrow = node.opset < 11 and node.dtype == "float64"  # where they are attributes in float32
    largest = float(np.finfo("float32" if narrow else node.dtype).max)
    return -largest, largest


def _clip_at_run_time(node: OnnxNode) -> int:
    t, x = node.t, node.x
    for i, limit, number in zip((1, 2), ("maximum", "minimum"), _limits(node), strict=True):
        bound = node.input(i)
        if bound is not None:
            x = t.emit(limit, x, t.reshape(bound, ()))
        elif math.isfinite(number):
            x = t.emit(limit, x, node.number(number))
    return x


def _pow(node: OnnxNode) -> int:
    """The exponent may have another type; the result has the base's. That of a whole number by a
    float is cut, so it is computed in float64."""
    t, base, exponent = node.t, node.x, node.given(1)
    if node.element.is_whole and t.type(exponent).element.is_float:
        power = t.emit("power", t.cast(base, "float64"), t.cast(exponent, "float64"))
        return t.cast(power, node.dtype)
    wide = _held(node, exponent)
    power = t.emit("power", t.cast(base, wide), t.cast(exponent, wide))
    return t.cast(power, node.dtype)


def _held(node: OnnxNode, exponent: int) -> str:
    """A type that holds an exponent of another one: of a large one rounding takes what makes a
    power odd."""
    known, own = node.t.known(exponent), node.t.type(exponent).element
    if not node.element.is_float or own.bits < node.element.bits:
        return node.dtype
    if own.is_float and own.bits == node.element.bits:
        return node.dtype
    if known is None:
        return "float64"
    with np.errstate(over="ignore", invalid="ignore"):
        there = known.astype(node.element.numpy).astype(known.dtype)
    return node.dtype if np.array_equal(there, known, own.is_float) else "float64"


def _bit_cast(node: OnnxNode) -> int:
    """Types of one width; of truth values there are two, not as many as bytes."""
    dtype = dtype_name(node.attr("to", 0), f"{node.label}: its result")
    if DTYPES[dtype].bits != node.element.bits:
        raise node.unsupported(f"{node.dtype} as {dtype}")
    if dtype == node.dtype or "bool" in (dtype, node.dtype):
        return node.t.cast(node.x, dtype)
    return node.t.emit("bitcast", node.x, out=Tensor(node.shape, dtype))


def _cast_to(node: OnnxNode) -> int:
    return _cast(node, dtype_name(node.attr("to", 0), f"{node.label}: its result"))


def _cast_like(node: OnnxNode) -> int:
    return _cast(node, node.t.dtype(node.given(1)))


def _cast(node: OnnxNode, dtype: str) -> int:
    """What a float of 8 bits does not hold becomes its largest number, unless it may not."""
    limit, rounding = bool(node.attr("saturate", 1)), node.attr("round_mode", "up")
    if rounding not in ("up", "down", "nearest"):
        raise node.unsupported(f"the rounding '{rounding}'")
    if dtype == narrow.EXPONENTS:
        return narrow.exponents(node.t, node.x, rounding, limit=limit)
    return narrow.saturated(node.t, node.x, dtype) if limit else node.t.cast(node.x, dtype)


def _modulo(node: OnnxNode) -> int:
    return node.t.emit("mod" if node.attr("fmod", 0) else "floor_mod", *node.every)


def _bit_shift(node: OnnxNode) -> int:
    side = "left_shift" if node.attr("direction", "") == "LEFT" else "right_shift"
    return node.t.emit(side, *node.every)


def _isinf(node: OnnxNode) -> int:
    """Of both signs, or of one."""
    t, x = node.t, node.x
    infinite = t.emit("isinf", x)
    negative, positive = node.attr("detect_negative", 1), node.attr("detect_positive", 1)
    if negative and positive:
        return infinite
    if not negative and not positive:
        return t.broadcast(t.number(False, "bool"), node.shape)
    compare = "less" if negative else "greater"
    return t.emit("logical_and", infinite, t.emit(compare, x, node.number(0)))


def _exponential_unit(node: OnnxNode, alpha: float = 1.0, gamma: float = 1.0) -> int:
    """Clevert et al. 2015: alpha (exp(x) - 1) below zero; all times gamma."""
    t, x = node.t, node.x
    alpha, scale = node.attr("alpha", alpha), node.attr("gamma", gamma)
    above = t.emit("relu", x)
    if scale != 1:
        above = t.emit("multiply", above, node.number(scale))
    bent = t.emit("relu", t.emit("subtract", node.number(1), t.emit("exp", x)))
    return t.emit("add", above, t.emit("multiply", bent, node.number(-alpha * scale)))


def _celu(node: OnnxNode) -> int:
    """Barron 2017: alpha (exp(x / alpha) - 1) below zero."""
    t, x, alpha = node.t, node.x, node.attr("alpha", 1.0)
    above = t.emit("relu", x)
    grown = t.emit("exp", t.emit("divide", x, node.number(alpha)))
    bent = t.emit("multiply", t.emit("subtract", grown, node.number(1)), node.number(alpha))
    return t.emit("add", above, t.emit("minimum", bent, node.number(0)))


def _swish(node: OnnxNode) -> int:
    """Ramachandran et al. 2017."""
    t, x = node.t, node.x
    scaled = t.emit("multiply", x, node.number(node.attr("alpha", 1.0)))
    return t.emit("multiply", x, t.emit("sigmoid", scaled))


_MISH_END = 20  # where n / (n + 2) is 1 in float64, too


def _mish(node: OnnxNode) -> int:
    """Misra 2019: x tanh(softplus(x)), of which the tangent is n / (n + 2) with n = e (e + 2) and
    e = exp(x); it is 1 long before that overflows."""
    t, x, two = node.t, node.x, node.number(2)
    e = t.emit("exp", t.emit("minimum", x, node.number(_MISH_END)))
    n = t.emit("multiply", e, t.emit("add", e, two))
    return t.emit("multiply", x, t.emit("divide", n, t.emit("add", n, two)))


def _softsign(node: OnnxNode) -> int:
    t, x = node.t, node.x
    return t.emit("divide", x, t.emit("add", t.emit("abs", x), node.number(1)))


def _hard_sigmoid(node: OnnxNode) -> int:
    t = node.t
    scaled = t.emit("multiply", node.number(node.attr("alpha", 0.2)), node.x)
    return composite.clip(t, t.emit("add", scaled, node.number(node.attr("beta", 0.5))), 0, 1)


def _hard_swish(node: OnnxNode) -> int:
    """Howard et al. 2019."""
    t, x = node.t, node.x
    bent = composite.clip(t, t.emit("add", x, node.number(3)), 0, 6)
    return t.emit("multiply", x, t.emit("divide", bent, node.number(6)))


def _gelu(node: OnnxNode) -> int:
    exact = node.attr("approximate", "none") == "none"
    return (composite.gelu if exact else composite.gelu_tanh)(node.t, node.x)


def _leaky_relu(node: OnnxNode) -> int:
    return node.t.emit("leaky_relu", node.x, alpha=float(node.attr("alpha", 0.01)))


def _prelu(node: OnnxNode) -> int:
    """A slope of fewer dimensions belongs to the last ones; the result has the input's shape."""
    t, slope = node.t, node.given(1)
    fitted = (1,) * (node.rank - len(t.shape(slope))) + t.shape(slope)
    while len(fitted) > node.rank and fitted[0] == 1:
        fitted = fitted[1:]
    if any(size not in (1, n) for size, n in zip(fitted, t.shape(node.x), strict=False)):
        raise ModelError(
            f"{node.label}: its slope has the shape {list(t.shape(slope))}, which does not "
            f"broadcast to {list(t.shape(node.x))}"
        )
    return composite.prelu(t, node.x, t.reshape(slope, fitted))


def _shrink(node: OnnxNode) -> int:
    """Towards zero, in which a band ends; whole numbers are compared with its fractional ends."""
    t = node.t
    whole = node.element.is_whole
    dtype = "float64" if whole else node.dtype
    x = t.cast(node.x, dtype)
    end, bias = (t.number(node.attr(n, d), dtype) for n, d in (("lambd", 0.5), ("bias", 0.0)))
    below = t.emit("less", x, t.emit("negative", end))
    grown = t.emit("add", x, bias)
    above = t.emit("greater", x, end)
    shrunk = t.emit("where", above, t.emit("subtract", x, bias), t.number(0, dtype))
    return t.cast(t.emit("where", below, grown, shrunk), node.dtype)


def _thresholded_relu(node: OnnxNode) -> int:
    above = node.t.emit("greater", node.x, node.number(node.attr("alpha", 1.0)))
    return node.t.emit("where", above, node.x, node.number(0))


def _pairwise(op: str, node: OnnxNode) -> int:
    """Any number of inputs, two by two: each step fuses with what computes its inputs."""
    return reduce(partial(node.t.emit, op), node.every)


def _mean(node: OnnxNode) -> int:
    return node.t.emit("divide", _pairwise("add", node), node.number(len(node.inputs)))


OPERATORS: dict[str, Operator] = {
    **{name: graph_operator(op) for name, op in _SAME.items()},
    "BitShift": Operator(_bit_shift),
    "BitCast": Operator(_bit_cast, any_type=True),
    "Cast": Operator(_cast_to, any_type=True),
    "CastLike": Operator(_cast_like, any_type=True),
    "Celu": Operator(_celu),
    "Clip": Operator(_clip),
    "Elu": Operator(_exponential_unit, in_steps=True),
    "Erf": graph_operator("erf", of_floats=True),
    "Gelu": Operator(_gelu, in_steps=True),
    "HardSigmoid": Operator(_hard_sigmoid, in_steps=True),
    "HardSwish": Operator(_hard_swish, in_steps=True),
    "IsInf": Operator(_isinf),
    "LeakyRelu": Operator(_leaky_relu),
    "Max": Operator(partial(_pairwise, "maximum")),
    "Mean": Operator(_mean, in_steps=True),
    "Min": Operator(partial(_pairwise, "minimum")),
    "Mish": Operator(_mish, in_steps=True),
    "Mod": Operator(_modulo),
    "PRelu": Operator(_prelu, in_steps=True),
    "Pow": Operator(_pow),
    "Reciprocal": Operator(lambda node: node.t.emit("divide", node.number(1), node.x)),
    "Selu": Operator(partial(_exponential_unit, alpha=_ALPHA, gamma=_GAMMA), in_steps=True),
    "Shrink": Operator(_shrink, in_steps=True),
    "Softsign": Operator(_softsign, in_steps=True),
    "Sum": Operator(partial(_pairwise, "add"), in_steps=True),
    "Swish": Operator(_swish, in_steps=True),
    "ThresholdedRelu": Operator(_thresholded_relu),
    "Where": graph_operator("where", any_type=True),
}
