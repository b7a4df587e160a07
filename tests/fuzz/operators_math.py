"""Rules of arithmetic, comparisons, activations, reductions and products."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from .draft import Draft, Growth, Rule, attributes, types
from .values import INTEGERS

_PLAIN = """
    Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Cos Cosh Erf Exp Floor HardSwish Identity
    IsNaN Log Mish Neg Not Reciprocal Relu Round Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan
    Tanh
""".split()
_BINARY = """
    Add Sub Mul Div And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual BitwiseAnd BitwiseOr
    BitwiseXor
""".split()
_ALPHAS = (0.01, 0.25, 1.0, 1.67, -0.5, 0.0)


def _unary(op: str, **choices: tuple[Any, ...]) -> Rule:
    """One input; each attribute is one of its choices, or left to its default."""

    def rule(g: Growth) -> Draft:
        known = attributes(op, g.opset)
        attrs = {k: g.pick(v) for k, v in choices.items() if k in known and g.chance(0.6)}
        return Draft(op, [g.first(op)], attrs)

    return rule


def _binary(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = g.first(op)
        pair = [x, x if g.chance(0.05) else g.broadcasting(x)]
        g.rng.shuffle(pair)
        return Draft(op, pair)

    return rule


def _several(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = g.first(op)
        most = g.rng.choice((1, 2, 2, 3, 4))
        return Draft(op, [x, *(g.broadcasting(x, larger=False) for _ in range(most - 1))])

    return rule


def _shift(g: Growth) -> Draft:
    x = g.first("BitShift")
    bits = 8 * g.array(x).itemsize
    most = bits + 2 if g.opset >= 28 else bits
    count = g.known(g.numbers.integers(0, most, g.shape(x)), g.dtype(x))
    return Draft("BitShift", [x, count], {"direction": g.pick(("LEFT", "RIGHT"))})


def _mod(g: Growth) -> Draft:
    x = g.first("Mod")
    whole = g.dtype(x) in INTEGERS
    return Draft("Mod", [x, g.broadcasting(x)], {"fmod": 1 if not whole or g.chance(0.4) else 0})


def _power(g: Growth) -> Draft:
    x = g.first("Pow")
    if g.dtype(x) in INTEGERS:
        return Draft("Pow", [x, g.known(g.pick((0, 1, 2, 3)), g.dtype(x))])
    exponent = g.pick((0.0, 0.5, 1.0, 2.0, 3.0, -1.0, -2.0, 0.3, -0.5, 4.0))
    return Draft("Pow", [x, g.known(exponent, g.dtype(x)) if g.chance(0.7) else g.broadcasting(x)])


def _prelu(g: Growth) -> Draft:
    x = g.first("PRelu")
    return Draft("PRelu", [x, g.new(g.dtype(x), g.partner(g.shape(x), larger=False), constant=0.6)])


def _where(g: Growth) -> Draft:
    x = g.any(types("Where", g.opset, 1))
    condition = g.any(("bool",), where=lambda s: _fits(s, g.shape(x)))
    return Draft("Where", [condition, *g.rng.sample([x, g.broadcasting(x)], 2)])


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def _clip(g: Growth) -> Draft:
    x = g.first("Clip")
    low, high = sorted(g.numbers.integers(-3, 7, 2).tolist())
    if g.dtype(x).startswith("u"):
        low, high = abs(low), abs(low) + abs(high)
    if "min" in attributes("Clip", g.opset):
        chosen = {"min": float(low), "max": float(high)}
        return Draft("Clip", [x], {k: v for k, v in chosen.items() if g.chance(0.7)})
    bounds = [g.known(b, g.dtype(x)) if g.chance(0.8) else "" for b in (low, high)]
    if g.chance(0.1):
        bounds = [g.new(g.dtype(x), (), constant=0.0), ""]
    return Draft("Clip", [x, *bounds])


def _cast(g: Growth) -> Draft:
    x = g.first("Cast")
    to = g.some_dtype("Cast")
    return Draft("Cast", [x], {"to": helper.np_dtype_to_tensor_dtype(np.dtype(to))})


def _cast_like(g: Growth) -> Draft:
    x = g.first("CastLike")
    return Draft("CastLike", [x, g.any(types("CastLike", g.opset, 1))])


def _isinf(g: Growth) -> Draft:
    sides = {"detect_negative": g.pick((0, 1)), "detect_positive": g.pick((0, 1))}
    return Draft("IsInf", [g.first("IsInf")], sides if g.chance(0.5) else {})


def _axes(g: Growth, op: str, rank: int) -> tuple[list[str], dict[str, Any]]:
    """Axes in this operator set's way, or none: further inputs, and attributes."""
    count = g.rng.randint(1, rank) if rank and g.chance(0.8) else 0
    chosen = [a - rank * g.rng.randint(0, 1) for a in g.rng.sample(range(rank), count)]
    if "axes" in attributes(op, g.opset):
        return [], {"axes": chosen} if chosen else {}
    return ([g.known(chosen, "int64")] if chosen or g.chance(0.2) else []), {}


def _reduce(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = g.first(op)
        inputs, attrs = _axes(g, op, len(g.shape(x)))
        if g.chance(0.6):
            attrs["keepdims"] = g.pick((0, 1))
        if "noop_with_empty_axes" in attributes(op, g.opset) and g.chance(0.2):
            attrs["noop_with_empty_axes"] = 1
        return Draft(op, [x, *inputs], attrs)

    return rule


def _arg(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = g.first(op, 1)
        attrs = {"axis": g.axis(len(g.shape(x))), "keepdims": g.pick((0, 1))}
        if "select_last_index" in attributes(op, g.opset) and g.chance(0.4):
            attrs["select_last_index"] = 1
        return Draft(op, [x], attrs)

    return rule


def _along(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = g.first(op, 1)
        rank = len(g.shape(x))
        default = g.chance(0.2) and (rank > 1 or g.opset >= 13)  # it was 1 once
        return Draft(op, [x], {} if default else {"axis": g.axis(rank)})

    return rule


def _cumsum(g: Growth) -> Draft:
    x = g.first("CumSum", 1)
    attrs = {k: 1 for k in ("exclusive", "reverse") if g.chance(0.3)}
    return Draft("CumSum", [x, g.known(g.axis(len(g.shape(x))), g.pick(("int64", "int32")))], attrs)


def _matmul(g: Growth) -> Draft:
    a = g.first("MatMul", 1)
    shape = g.shape(a)
    columns = g.rng.choice((1, 2, 5, 8, 17, 33))
    tail = (columns,) if len(shape) == 1 or g.chance(0.9) else ()
    batch = tuple(n if g.chance(0.6) else 1 for n in shape[:-2])[g.rng.choice([0, 0, 1]) :]
    other = (*batch, shape[-1], *tail) if tail and g.chance(0.6) else (shape[-1], *tail)
    return Draft("MatMul", [a, g.like(a, other, constant=0.6)])


def _gemm(g: Growth) -> Draft:
    a = g.first("Gemm", 2, 2)
    attrs: dict[str, Any] = {k: 1 for k in ("transA", "transB") if g.chance(0.4)}
    if g.dtype(a) not in INTEGERS:  # which the references round
        attrs |= {k: g.pick((0.5, 1.0, 2.0, 0.0)) for k in ("alpha", "beta") if g.chance(0.3)}
    shape = g.shape(a)
    rows, inner = shape[::-1] if "transA" in attrs else shape
    columns = g.rng.choice((1, 3, 8, 17, 33))
    b = g.like(a, (columns, inner) if "transB" in attrs else (inner, columns), constant=0.6)
    if g.opset >= 11 and g.chance(0.3):
        return Draft("Gemm", [a, b], attrs)
    bias = g.pick([(columns,), (1, columns), (rows, 1), (rows, columns), ()])
    return Draft("Gemm", [a, b, g.new(g.dtype(a), bias, constant=0.7)], attrs)


_EQUATIONS = (
    "ij->ji",
    "ij->i",
    "ij->",
    "ii->i",
    "ij,jk->ik",
    "ij,kj->ik",
    "bij,bjk->bik",
    "bhid,bhjd->bhij",
    "bihd,bjhd->bhij",
    "i,j->ij",
    "i,i->",
    "ij,ij,i->j",
    "...ij,...jk->...ik",
    "ab,bc,cd->ad",
)


def _einsum(g: Growth) -> Draft:
    equation = g.pick(_EQUATIONS)
    sizes = {c: g.rng.choice((1, 2, 3, 5, 8)) for c in equation if c.isalpha()}
    dots = g.some_shape(0, 1) if "..." in equation else ()
    dtype = g.some_dtype("Einsum", among=("float32", "float32", "float64", "int32", "int64"))
    inputs = []
    for term in equation.split("->")[0].split(","):
        shape = (*dots, *(sizes[c] for c in term if c.isalpha()))
        same = [n for n in g.values if g.shape(n) == shape and g.dtype(n) == dtype]
        inputs.append(g.pick(same) if same and g.chance(0.3) else g.new(dtype, shape))
    return Draft("Einsum", inputs, {"equation": equation})


def _quantize(g: Growth) -> Draft:
    x = g.any(("float32",))
    zero = g.pick(("uint8", "int8", *(("uint16", "int16") if g.opset >= 21 else ())))
    inputs, attrs = _scales(g, "QuantizeLinear", x, zero)
    return Draft("QuantizeLinear", [x, *inputs], attrs)


def _dequantize(g: Growth) -> Draft:
    x = g.any([d for d in ("uint8", "int8", "int32") if d in types("DequantizeLinear", g.opset, 0)])
    inputs, attrs = _scales(g, "DequantizeLinear", x, g.dtype(x))
    return Draft("DequantizeLinear", [x, *inputs], attrs)


def _scales(g: Growth, op: str, x: str, zero: str) -> tuple[list[str], dict[str, Any]]:
    """A scale, maybe one for each place along an axis, and a zero point."""
    rank = len(g.shape(x))
    attrs: dict[str, Any] = {}
    shape: tuple[int, ...] = ()
    if "axis" in attributes(op, g.opset) and rank and g.chance(0.4):
        attrs["axis"] = g.rng.randrange(rank)
        shape = (g.shape(x)[attrs["axis"]],)
    scale = g.known(g.numbers.uniform(0.01, 0.6, shape), "float32")
    if zero == "int32":
        return [scale], attrs
    info = np.iinfo(zero)
    middle = (int(info.min) + int(info.max) + 1) // 2
    return [scale, g.known(np.full(shape, middle + g.rng.randint(-3, 3)), zero)], attrs


def _dropout(g: Growth) -> Draft:
    return Draft("Dropout", [g.first("Dropout")])


REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()

RULES: dict[str, Rule] = {
    **{op: _unary(op) for op in _PLAIN},
    **{op: _unary(op, alpha=_ALPHAS) for op in ("Elu", "LeakyRelu", "ThresholdedRelu")},
    "Celu": _unary("Celu", alpha=(0.25, 1.0, 2.0)),
    "Swish": _unary("Swish", alpha=(0.25, 1.0, 1.7)),
    "Selu": _unary("Selu", alpha=(1.0, 1.67), gamma=(1.0, 1.05, 0.5)),
    "HardSigmoid": _unary("HardSigmoid", alpha=(0.2, 0.5, -1.0), beta=(0.5, 0.0)),
    "Gelu": _unary("Gelu", approximate=("none", "tanh")),
    "Shrink": _unary("Shrink", bias=(0.0, 0.5, 1.0), lambd=(0.0, 0.5, 1.5)),
    "IsInf": _isinf,
    **{op: _binary(op) for op in _BINARY},
    **{op: _several(op) for op in ("Max", "Min", "Mean", "Sum")},
    "BitShift": _shift,
    "Mod": _mod,
    "Pow": _power,
    "PRelu": _prelu,
    "Where": _where,
    "Clip": _clip,
    "Cast": _cast,
    "CastLike": _cast_like,
    **{f"Reduce{name}": _reduce(f"Reduce{name}") for name in REDUCTIONS},
    **{op: _arg(op) for op in ("ArgMax", "ArgMin")},
    **{op: _along(op) for op in ("Softmax", "LogSoftmax", "Hardmax")},
    "CumSum": _cumsum,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Dropout": _dropout,
}
