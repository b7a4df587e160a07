"""Activations of ONNX Runtime's domain, and those that it fuses into other operators."""

from __future__ import annotations

import math

from .spelling import Operators, Results, Spelled, Spelling, attributes


def gelu(call: Spelling, x: str) -> str:
    """Hendrycks and Gimpel 2016, exact form."""
    wave = call.emit("Erf", call.emit("Mul", x, call.number(math.sqrt(0.5), x)))
    one = call.emit("Add", wave, call.number(1, x))
    return call.emit("Mul", call.emit("Mul", x, call.number(0.5, x)), one)


def gelu_tanh(call: Spelling, x: str) -> str:
    """The tanh form of the same paper."""
    cube = call.emit("Mul", x, call.emit("Mul", x, x))
    inner = call.emit("Add", x, call.emit("Mul", cube, call.number(0.044715, x)))
    bent = call.emit("Tanh", call.emit("Mul", inner, call.number(math.sqrt(2 / math.pi), x)))
    one = call.emit("Add", bent, call.number(1, x))
    return call.emit("Mul", call.emit("Mul", x, call.number(0.5, x)), one)


def _biased(call: Spelling) -> str:
    bias = call.input(1)
    return call.emit("Add", call.x, bias) if bias else call.x


def _quick(call: Spelling) -> Results:
    scaled = call.emit("Mul", call.x, call.number(call.attr("alpha", 1.702), call.x))
    return call.emit("Mul", call.x, call.emit("Sigmoid", scaled))


def _split(call: Spelling) -> Results:
    """Of the halves of what is biased the first, times what the second bends to."""
    x = call.emit("Add", call.x, call.given(1))
    rank, width = call.rank(x), call.shape(x)[-1]
    if width % 2:
        raise call.unsupported(f"a last dimension of {width}")
    left, right = call.split(x, rank - 1, [width // 2, width // 2])
    return call.emit("Mul", left, gelu(call, right))


# By the name of a fused activation: what it takes of its parameters, with their defaults.
_PARAMETERS = {
    "Celu": (("alpha", 1.0),),
    "Elu": (("alpha", 1.0),),
    "HardSigmoid": (("alpha", 0.2), ("beta", 0.5)),
    "LeakyRelu": (("alpha", 0.01),),
    "Selu": (("alpha", 1.6732632), ("gamma", 1.050701)),
    "ThresholdedRelu": (("alpha", 1.0),),
}
_PLAIN = ("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh")


def activated(call: Spelling, x: str, name: str, given: tuple[float, ...]) -> str:
    """What a fused operator does at its end; raises UnsupportedOperator for another name."""
    if not name:
        return x
    if name in _PLAIN:
        return call.emit(name, x)
    if name in _PARAMETERS:
        wanted = _PARAMETERS[name]
        values = [*given, *(default for _, default in wanted[len(given) :])]
        attrs = {key: float(v) for (key, _), v in zip(wanted, values, strict=False)}
        return call.emit(name, x, **attrs)
    if name == "Clip" and len(given) == 2:
        low, high = (float(v) for v in given)
        if call.opset < 11:
            return call.emit("Clip", x, min=low, max=high)
        return call.emit("Clip", x, call.number(low, x), call.number(high, x))
    raise call.unsupported(f"the activation '{name}'")


OPERATORS: Operators = {
    "BiasAdd": Spelled(
        lambda call: call.emit("Add", _biased(call), call.given(2)), 3, in_steps=True
    ),
    "BiasGelu": Spelled(lambda call: gelu(call, _biased(call)), 2, in_steps=True, since=9),
    "BiasSplitGelu": Spelled(_split, 2, in_steps=True, since=9),
    "FastGelu": Spelled(lambda call: gelu_tanh(call, _biased(call)), 2, in_steps=True),
    "Gelu": Spelled(lambda call: gelu(call, call.x), 1, in_steps=True, since=9),
    "QuickGelu": Spelled(_quick, 1, attributes("alpha"), in_steps=True),
}
