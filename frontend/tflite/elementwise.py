"""TensorFlow Lite's operators that compute elements by themselves."""

from __future__ import annotations

from functools import partial

from .graph import Call, Operator, activation, element

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
    """Of what quantised numbers stand for."""
    dtype = call.result().dtype
    return call.add("Cast", call.input(), to=element("float32" if dtype == "float16" else dtype))


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


def _add_n(call: Call) -> str:
    return call.add("Sum", *call.inputs())


OPERATORS: dict[str, Operator] = {
    **{name: Operator(partial(_unary, onnx)) for name, onnx in _UNARY.items()},
    **{name: Operator(partial(_binary, onnx)) for name, onnx in _BINARY.items()},
    **{name: Operator(partial(_arithmetic, onnx)) for name, onnx in _ARITHMETIC.items()},
    "ADD_N": Operator(_add_n),
    "CAST": Operator(_cast),
    "FLOOR_DIV": Operator(_floor_div),
    "FLOOR_MOD": Operator(_floor_mod),
    "GELU": Operator(_gelu),
    "L2_NORMALIZATION": Operator(_l2_normalization),
    "LEAKY_RELU": Operator(_leaky_relu),
    "LOG_SOFTMAX": Operator(_log_softmax),
    "NOT_EQUAL": Operator(_not_equal),
    "PRELU": Operator(partial(_binary, "PRelu")),
    "RELU6": Operator(lambda call: activation(call, call.input(), 3)),
    "RELU_N1_TO_1": Operator(lambda call: activation(call, call.input(), 2)),
    "RSQRT": Operator(_rsqrt),
    "SELECT": Operator(_select, moves=True, moved=(1, 2)),
    "SELECT_V2": Operator(_select, moves=True, moved=(1, 2)),
    "SOFTMAX": Operator(_softmax),
    "SQUARE": Operator(_square),
    "SQUARED_DIFFERENCE": Operator(_squared_difference),
}
