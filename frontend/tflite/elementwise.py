"""TensorFlow Lite's operators that compute elements by themselves."""

from __future__ import annotations

from functools import partial

import numpy as np

from .call import Call, Operator, activation
from .graph import element
from .signals import real_parts
from .tensors import COMPLEX

_NORM = 1e-6  # the least that L2_NORMALIZATION divides by

_UNARY = {
    "ABS": "Abs", "CEIL": "Ceil", "COS": "Cos", "DEQUANTIZE": "", "ELU": "Elu", "EXP": "Exp",
    "FLOOR": "Floor", "HARD_SWISH": "HardSwish", "LOG": "Log", "LOGICAL_NOT": "Not",
    "LOGISTIC": "Sigmoid", "NEG": "Neg", "QUANTIZE": "", "RELU": "Relu", "ROUND": "Round",
    "SIGN": "Sign", "SIN": "Sin", "SQRT": "Sqrt", "TANH": "Tanh",
}  # fmt: skip
_BINARY = {
    "EQUAL": "Equal", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual", "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual", "LOGICAL_AND": "And", "LOGICAL_OR": "Or", "MAXIMUM": "Max",
    "MINIMUM": "Min", "POW": "Pow",
}  # fmt: skip
_ARITHMETIC = {"ADD": "Add", "DIV": "Div", "MUL": "Mul", "SUB": "Sub"}


def _unary(operator: str, call: Call) -> str:
    return call.add(operator, call.input()) if operator else call.input()


def _binary(operator: str, call: Call) -> str:
    return call.add(operator, call.input(0), call.input(1))


def _arithmetic(operator: str, call: Call) -> str:
    return call.activated(_binary(operator, call), 0)


def _not_equal(call: Call) -> str:
    return call.add("Not", _binary("Equal", call))


def _cast(call: Call) -> str:
    """Of what quantised numbers stand for, and of complex ones the real parts."""
    dtype = call.result().dtype
    if dtype == COMPLEX:
        raise call.unsupported("to make complex numbers")
    is_complex = call.tensor(0).dtype == COMPLEX
    x = real_parts(call) if is_complex else call.input()
    return call.add("Cast", x, to=element("float32" if dtype == "float16" else dtype))


def _signs_differ(call: Call, rest: str, y: str) -> str:
    """Whether a rest is not 0 and has not the sign of the divisor."""
    zero = call.one(0)
    is_some = call.add("Not", call.add("Equal", rest, zero))
    differ = call.add("Xor", call.add("Less", rest, zero), call.add("Less", y, zero))
    return call.add("And", is_some, differ)


def _floor_div(call: Call) -> str:
    """Rounded down, where ONNX rounds whole numbers toward 0."""
    x, y = call.input(0), call.input(1)
    quotient = call.add("Div", x, y)
    if call.tensor(0).dtype.startswith("float") or call.tensor(0).quantised:
        return call.add("Floor", quotient)
    rest = call.add("Sub", x, call.add("Mul", quotient, y))
    lower = call.add("Sub", quotient, call.one(1))
    return call.add("Where", _signs_differ(call, rest, y), lower, quotient)


def _floor_mod(call: Call) -> str:
    """With the sign of the divisor."""
    x, y = call.input(0), call.input(1)
    rest = call.add("Mod", x, y, fmod=1)
    return call.add("Where", _signs_differ(call, rest, y), call.add("Add", rest, y), rest)


def _square(call: Call) -> str:
    return call.add("Mul", call.input(), call.input())


def _squared_difference(call: Call) -> str:
    difference = _binary("Sub", call)
    return call.add("Mul", difference, difference)


def _rsqrt(call: Call) -> str:
    return call.add("Reciprocal", call.add("Sqrt", call.input()))


def _leaky_relu(call: Call) -> str:
    return call.add("LeakyRelu", call.input(), alpha=call.option(0, "<f"))


def _gelu(call: Call) -> str:
    return call.add("Gelu", call.input(), approximate="tanh" if call.flag(0) else "none")


def _softmax(call: Call) -> str:
    x, beta = call.input(), call.option(0, "<f")
    if beta != 1:
        x = call.add("Mul", x, call.graph.constant(beta, "float32"))
    return call.add("Softmax", x, axis=-1)


def _log_softmax(call: Call) -> str:
    return call.add("LogSoftmax", call.input(), axis=-1)


def _l2_normalization(call: Call) -> str:
    x = call.input()
    norm = call.add("ReduceL2", x, call.ints(-1), keepdims=1)
    norm = call.add("Max", norm, call.graph.constant(_NORM, "float32"))
    return call.activated(call.add("Div", x, norm), 0)


def _select(call: Call) -> str:
    """SELECT may choose among whole parts, where the condition is of the first dimension alone."""
    condition, rank = call.input(0), call.rank(1)
    if call.operation.kind == "SELECT" and call.rank(0) == 1 < rank:
        condition = call.add("Reshape", condition, call.ints(-1, *[1] * (rank - 1)))
    return call.add("Where", condition, call.input(1), call.input(2))


def _clip_to_one(call: Call) -> str:
    ends = (call.graph.constant(each, "float32") for each in (0, 1))
    return call.add("Clip", call.input(), *ends)


def _fake_quant(call: Call) -> str:
    """Rounded to one of 2^bits numbers between two, of which one is 0; halves go up."""
    low, high = (np.float64(call.option(field, "<f")) for field in (0, 1))
    least, most = int(call.flag(3)), 2 ** min(max(call.option(2), 1), 16) - 1
    if not (low <= 0 <= high and low < high and least < most):
        raise call.unsupported(f"the range {low} to {high}")
    scale = (high - low) / (most - least)
    zero = min(max(int(np.floor(least - low / scale + 0.5)), least), most)
    ends = [np.float32((each - zero) * scale) for each in (least, most)]
    first, last, step, half = (call.graph.constant(x, "float32") for x in (*ends, scale, 0.5))
    y = call.add("Sub", call.add("Clip", call.input(), first, last), first)
    y = call.add("Floor", call.add("Add", call.add("Div", y, step), half))
    return call.add("Add", call.add("Mul", y, step), first)


def _bucketize(call: Call) -> str:
    """How many of the boundaries, which ascend, are not above an element."""
    options = call.operation.options
    ends = np.zeros(0, np.float32) if options is None else options.array(0, "<f4")
    x = call.add("Cast", call.input(), to=element("float32"))
    x = call.add("Unsqueeze", x, call.ints(-1))
    reached = call.add("GreaterOrEqual", x, call.graph.constant(ends, "float32"))
    reached = call.add("Cast", reached, to=element("int32"))
    return call.add("ReduceSum", reached, call.ints(-1), keepdims=0)


def _is_negative(call: Call, x: str) -> str:
    """Of a float, -0 too."""
    zero = call.one(0)
    below = call.add("Less", call.add("Reciprocal", x), zero)
    return call.add("Or", call.add("Less", x, zero), below)


def _atan2(call: Call) -> str:
    """The angle of (x, y), of which y comes first; of two infinities that of a diagonal."""
    y, x = call.input(0), call.input(1)
    zero, one, pi = call.one(0), call.one(1), call.one(np.pi)
    below, left = _is_negative(call, y), _is_negative(call, x)
    sign = call.add("Where", call.add("Xor", below, left), call.add("Neg", one), one)
    far = call.add("And", call.add("IsInf", x), call.add("IsInf", y))
    none = call.add("And", call.add("Equal", x, zero), call.add("Equal", y, zero))
    slope = call.add("Where", far, sign, call.add("Div", y, x))
    slope = call.add("Where", none, call.add("Mul", sign, zero), slope)
    turn = call.add("Where", below, call.add("Neg", pi), pi)
    return call.add("Add", call.add("Atan", slope), call.add("Where", left, turn, zero))


def _xor(call: Call) -> str:
    return _binary("Xor" if call.tensor(0).dtype == "bool" else "BitwiseXor", call)


def _right_shift(call: Call) -> str:
    """The sign stays; by less than 0 is none, and by the width or more is one less."""
    dtype = call.tensor(0).dtype
    bits = 8 * np.dtype(dtype).itemsize
    wide = element(f"uint{bits}")
    count = call.add("Max", call.whole(1), call.ints(0))
    count = call.add("Cast", call.add("Min", count, call.ints(bits - 1)), to=wide)
    x = call.input(0)
    if dtype.startswith("u"):
        return call.add("BitShift", x, count, direction="RIGHT")
    below = call.add("Less", x, call.one(0))
    plain = call.add("Where", below, call.add("BitwiseNot", x), x)
    moved = call.add("BitShift", call.add("Cast", plain, to=wide), count, direction="RIGHT")
    moved = call.add("Cast", moved, to=element(dtype))
    return call.add("Where", below, call.add("BitwiseNot", moved), moved)


def _add_n(call: Call) -> str:
    return call.add("Sum", *call.inputs())


OPERATORS: dict[str, Operator] = {
    **{name: Operator(partial(_unary, onnx)) for name, onnx in _UNARY.items()},
    **{name: Operator(partial(_binary, onnx)) for name, onnx in _BINARY.items()},
    **{name: Operator(partial(_arithmetic, onnx)) for name, onnx in _ARITHMETIC.items()},
    "ADD_N": Operator(_add_n),
    "ATAN2": Operator(_atan2),
    "BITWISE_XOR": Operator(_xor),
    "BUCKETIZE": Operator(_bucketize),
    "CAST": Operator(_cast),
    "FAKE_QUANT": Operator(_fake_quant),
    "FLOOR_DIV": Operator(_floor_div),
    "FLOOR_MOD": Operator(_floor_mod),
    "GELU": Operator(_gelu),
    "L2_NORMALIZATION": Operator(_l2_normalization),
    "LEAKY_RELU": Operator(_leaky_relu),
    "LOG_SOFTMAX": Operator(_log_softmax),
    "NOT_EQUAL": Operator(_not_equal),
    "PRELU": Operator(partial(_binary, "PRelu")),
    "RELU_0_TO_1": Operator(_clip_to_one),
    "RELU6": Operator(lambda call: activation(call, call.input(), 3)),
    "RELU_N1_TO_1": Operator(lambda call: activation(call, call.input(), 2)),
    "RIGHT_SHIFT": Operator(_right_shift),
    "RSQRT": Operator(_rsqrt),
    "SELECT": Operator(_select, moves=True, moved=(1, 2)),
    "SELECT_V2": Operator(_select, moves=True, moved=(1, 2)),
    "SOFTMAX": Operator(_softmax),
    "SQUARE": Operator(_square),
    "SQUARED_DIFFERENCE": Operator(_squared_difference),
}
