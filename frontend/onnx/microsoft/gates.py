"""Gates, and normalisations with a gate, of recent decoders in ONNX Runtime's domain."""

from __future__ import annotations

import math

from .norms import rms_norm
from .spelling import Operators, Results, Spelled, Spelling, attributes


def silu(call: Spelling, x: str) -> str:
    """Elfwing et al. 2018."""
    return call.emit("Mul", x, call.emit("Sigmoid", x))


def softplus(call: Spelling, x: str) -> str:
    """log(1 + e^x)."""
    return call.emit("Softplus", x)


def _linear_attention_gate(call: Spelling) -> Results:
    """A decay below 0, and a rate of updates."""
    rate = softplus(call, call.emit("Add", call.x, call.given(1)))
    decay = call.emit("Mul", rate, call.given(2))
    return decay, call.emit("Sigmoid", call.input(3)) if call.input(3) else ""


def _gated_norm(call: Spelling) -> Results:
    """Of each group of as many columns as there are scales."""
    kind = call.attr("activation", "silu")
    if kind not in ("silu", "swish", "sigmoid"):
        raise call.unsupported(f"activation='{kind}'")
    shape, (width,) = call.shape(call.x), call.shape(call.given(1))
    if shape[-1] % width:
        raise call.unsupported(f"{shape[-1]} columns in groups of {width}")
    apart = call.reshape(call.x, *shape[:-1], shape[-1] // width, width)
    y = rms_norm(call, apart, call.given(1), call.attr("epsilon", 1e-5))
    gate = call.given(2)
    bent = call.emit("Sigmoid", gate) if kind == "sigmoid" else silu(call, gate)
    return call.emit("Mul", call.reshape(y, *shape), bent)


def _engram(call: Spelling) -> Results:
    """Keys [batch, rows, streams, columns] say how much of values [batch, rows, columns] counts."""
    epsilon, width = call.attr("epsilon", 1e-5), call.shape(call.x)[-1]
    k = rms_norm(call, call.x, call.given(3), epsilon)
    q = rms_norm(call, call.given(1), call.given(4), epsilon)
    dot = call.reduce("ReduceSum", call.emit("Mul", k, q), [3])
    dot = call.emit("Mul", dot, call.number(1 / math.sqrt(width), dot))
    least = call.number(1e-6, dot)
    size = call.emit("Abs", dot)
    size = call.emit("Where", call.emit("Less", size, least), least, size)
    root = call.emit("Mul", call.emit("Sign", dot), call.emit("Sqrt", size))
    y = call.emit("Mul", call.emit("Sigmoid", root), call.unsqueeze(call.given(2), 2))
    return y, rms_norm(call, y, call.input(5), epsilon) if call.input(5) else ""


OPERATORS: Operators = {
    "EngramGate": Spelled(_engram, 6, attributes("epsilon"), in_steps=True, since=9),
    "GatedRMSNorm": Spelled(_gated_norm, 3, attributes("activation epsilon"), in_steps=True),
    "LinearAttentionGate": Spelled(_linear_attention_gate, 4, in_steps=True),
}
