"""Several residual streams side by side (Zhu et al. 2024), in ONNX Runtime's domain."""

from __future__ import annotations

from .gates import silu
from .norms import rms_norm
from .spelling import Operators, Results, Spelled, Spelling, attributes


def _scaled_silu(call: Spelling) -> Results:
    """The scale may be an input."""
    scale = call.input(1) or call.number(call.attr("alpha", 1.0), call.x)
    return silu(call, call.emit("Mul", call.x, scale))


def _gated_add(call: Spelling) -> Results:
    """A number for each row scales what is added."""
    if call.input(3):
        raise call.unsupported("a gate that is a product (gate_weight)")
    return call.emit("Add", call.x, call.emit("Mul", call.given(1), call.given(2)))


def _streams(call: Spelling) -> tuple[str, int]:
    """[..., streams, columns], which may lie in one dimension; and how many come before."""
    shape, count = call.shape(call.x), call.attr("num_branches", 0)
    if count < 1:
        return call.x, len(shape) - 2
    if shape[-1] % count:
        raise call.unsupported(f"{count} streams of {shape[-1]} columns")
    return call.reshape(call.x, *shape[:-1], count, shape[-1] // count), len(shape) - 1


def _gates(call: Spelling, x: str, outer: int, streams: int) -> str:
    """[..., streams, 1 or columns], of what may lie otherwise."""
    shape = call.shape(x)
    if len(shape) == outer + 1 and shape[-1] == streams:
        return call.unsqueeze(x, outer + 1)
    return call.reshape(x, *shape[:outer], streams, -1) if len(shape) == outer + 1 else x


def _norm(call: Spelling) -> Results:
    x, _ = _streams(call)
    shape = call.shape(x)
    scale = call.input(1)
    if scale and call.rank(scale) == 1 and call.shape(scale) != shape[-1:]:
        scale = call.reshape(scale, *shape[-2:])
    if not scale:
        scale = call.emit("Expand", call.number(1, x), call.sizes(shape[-1]))
    epsilon = call.attr("epsilon", 1e-5)
    if call.rank(scale) == 1:
        y = rms_norm(call, x, scale, epsilon)
    else:
        ones = call.emit("Expand", call.number(1, x), call.sizes(shape[-1]))
        y = call.emit("Mul", rms_norm(call, x, ones, epsilon), scale)
    return call.reshape(y, *call.shape(call.x))


def _reduced(call: Spelling) -> Results:
    x, outer = _streams(call)
    gates = _gates(call, call.given(1), outer, call.shape(x)[outer])
    total = call.reduce("ReduceSum", call.emit("Mul", x, gates), [outer], keepdims=0)
    scale = call.attr("reduction_scale", 1.0)
    return total if scale == 1 else call.emit("Mul", total, call.number(scale, total))


def _spread(call: Spelling) -> Results:
    """Streams [..., streams, columns], mixed if that is asked for, with a branch's result."""
    x, outer = _streams(call)
    count = call.shape(x)[outer]
    gates = _gates(call, call.given(2), outer, count)
    if call.input(3):
        axes = [*range(outer), outer + 1, outer]
        x = call.emit("MatMul", call.transpose(call.input(3), *axes), x)
    new = call.emit("Mul", gates, call.unsqueeze(call.given(1), outer))
    return call.reshape(call.emit("Add", x, new), *call.shape(call.x))


OPERATORS: Operators = {
    "BranchwiseRMSNorm": Spelled(
        _norm, 2, attributes("epsilon num_branches"), in_steps=True, since=8
    ),
    "GatedAdd": Spelled(_gated_add, 4, in_steps=True),
    "HyperConnectionPostMix": Spelled(_spread, 4, attributes("num_branches"), in_steps=True),
    "HyperConnectionPreMix": Spelled(
        _reduced, 2, attributes("num_branches reduction_scale"), in_steps=True
    ),
    "ScaledSiLU": Spelled(_scaled_silu, 2, attributes("alpha"), in_steps=True),
}
