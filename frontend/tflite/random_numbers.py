"""TensorFlow Lite's operators that draw numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

from onnx import TensorProto

from .call import Call, Operator
from .graph import element


def _seed(call: Call) -> dict[str, Any]:
    """ONNX's, of both numbers; 0 is for none."""
    first, second = (call.option(field, "<q") for field in (0, 1))
    return {"seed": float((first * 31 + second) % 2**24)} if first or second else {}


def _drawn(operator: str, call: Call) -> str:
    if call.result().dtype != "float32":
        raise call.unsupported(f"a result of {call.result().dtype}")
    zero = call.graph.constant([0], "float32")
    zeros = call.add("Expand", zero, call.whole(0))
    return call.add(operator, zeros, **_seed(call))


def _multinomial(call: Call) -> str:
    """Rows of logits; so many numbers of each."""
    (count,) = call.constant(1, "a number of samples")[:1] or [0]
    dtype = element(call.result().dtype)
    kind = dtype if dtype in (TensorProto.INT32, TensorProto.INT64) else TensorProto.INT32
    return call.add("Multinomial", call.input(0), sample_size=count, dtype=kind, **_seed(call))


OPERATORS: dict[str, Operator] = {
    "MULTINOMIAL": Operator(_multinomial),
    "RANDOM_STANDARD_NORMAL": Operator(partial(_drawn, "RandomNormalLike")),
    "RANDOM_UNIFORM": Operator(partial(_drawn, "RandomUniformLike")),
}
