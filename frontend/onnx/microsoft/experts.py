"""Mixtures of experts (Shazeer et al. 2017): each row goes through a few of many layers."""

from __future__ import annotations

from dataclasses import dataclass

from .activations import gelu_tanh
from .gates import silu
from .spelling import Operators, Results, Spelled, Spelling, attributes


@dataclass(frozen=True)
class Layer:
    """Weights [experts, results, columns] and a bias [experts, results] or ""."""

    weights: str
    bias: str


@dataclass(frozen=True)
class Experts:
    """Layers into and out of what is between; ``gate`` may have a layer of its own."""

    into: Layer
    out: Layer
    gate: Layer | None


def mixture(
    call: Spelling, experts: Experts, logits: str, mixing: str = "", *, normalised: bool
) -> str:
    """Of rows the sum of their experts' results, by their shares.

    Experts are chosen by ``logits``; where ``mixing`` is given, it has the shares, else they are a
    softmax, of those that are chosen if ``normalised``.
    """
    shape = call.shape(call.x)
    width, count = shape[-1], call.shape(logits)[-1]
    x = call.reshape(call.x, -1, width)
    rows, most = call.shape(x)[0], call.count("k", 1)
    if not 1 <= most <= count:
        raise call.unsupported(f"{most} of {count} experts")
    shares, chosen = _shares(call, logits, mixing, most, normalised)
    if rows * most < count:  # few rows read the weights of their own experts alone
        y = _of_chosen(call, experts, x, shares, chosen)
    else:
        y = _of_all(call, experts, x, _by_expert(call, shares, chosen, count))
    return call.reshape(y, *shape)


def _shares(
    call: Spelling, logits: str, mixing: str, most: int, normalised: bool
) -> tuple[str, str]:
    """Of each row's best experts their shares and their numbers, [rows, most] each."""
    best, chosen = call.several("TopK", [logits, call.sizes(most)], 2, axis=-1)
    if mixing:
        shares = call.emit("GatherElements", mixing, chosen, axis=1)
        if normalised:
            shares = call.emit("Div", shares, call.reduce("ReduceSum", shares, [1]))
        return shares, chosen
    if normalised:
        return call.emit("Softmax", best, axis=-1), chosen
    every = call.emit("Softmax", logits, axis=-1)
    return call.emit("GatherElements", every, chosen, axis=1), chosen


def _by_expert(call: Spelling, shares: str, chosen: str, count: int) -> str:
    """[experts, rows, 1], 0 where a row does not go through an expert."""
    rows = call.shape(shares)[0]
    nothing = call.emit("Expand", call.number(0, shares), call.sizes(rows, count))
    table = call.emit("ScatterElements", nothing, chosen, shares, axis=1)
    return call.unsqueeze(call.transpose(table, 1, 0), 2)


def _of_all(call: Spelling, experts: Experts, x: str, shares: str) -> str:
    """Each expert computes all rows."""

    def through(layer: Layer, x: str) -> str:
        y = call.emit("MatMul", x, call.transpose(layer.weights, 0, 2, 1))
        return call.emit("Add", y, call.unsqueeze(layer.bias, 1)) if layer.bias else y

    x = call.unsqueeze(x, 0)
    gate = through(experts.gate, x) if experts.gate else ""
    y = through(experts.out, _bent(call, through(experts.into, x), gate))
    return call.reduce("ReduceSum", call.emit("Mul", y, shares), [0], keepdims=0)


def _of_chosen(call: Spelling, experts: Experts, x: str, shares: str, chosen: str) -> str:
    """Weights [rows, most, results, columns] are looked up."""

    def through(layer: Layer, x: str) -> str:
        y = call.emit("MatMul", call.emit("Gather", layer.weights, chosen, axis=0), x)
        if not layer.bias:
            return y
        bias = call.emit("Gather", layer.bias, chosen, axis=0)
        return call.emit("Add", y, call.unsqueeze(bias, 3))

    x = call.unsqueeze(x, 1, 3)  # [rows, 1, columns, 1]
    gate = _flat(call, through(experts.gate, x)) if experts.gate else ""
    inner = _bent(call, _flat(call, through(experts.into, x)), gate)
    y = _flat(call, through(experts.out, call.unsqueeze(inner, 3)))
    return call.reduce("ReduceSum", call.emit("Mul", y, call.unsqueeze(shares, 2)), [1], keepdims=0)


def _flat(call: Spelling, x: str) -> str:
    """Without the last of four dimensions, which is of one element."""
    return call.reshape(x, 0, 0, -1)


def _bent(call: Spelling, x: str, gate: str) -> str:
    """By the activation; ``gate`` is what a layer of its own computed."""
    kind = call.attr("activation_type", "relu")
    if kind == "swiglu":
        return _swiglu(call, x, gate)
    y = _plain(call, x, kind)
    return call.emit("Mul", y, gate) if gate else y


def _plain(call: Spelling, x: str, kind: str) -> str:
    match kind:
        case "identity":
            return x
        case "relu":
            return call.emit("Relu", x)
        case "silu":
            return silu(call, x)
        case "gelu":
            return gelu_tanh(call, x)
    raise call.unsupported(f"activation_type='{kind}'")


def _swiglu(call: Spelling, x: str, other: str) -> str:
    """Shazeer 2020: of two halves, side by side or in turns, or of two layers."""
    fusion, rank = call.attr("swiglu_fusion", 0), call.rank(x)
    width = call.shape(x)[-1]
    if fusion == 0:
        if not other:
            raise call.unsupported("swiglu_fusion=0 without a third layer")
        gate, line = x, other
    elif width % 2 or fusion not in (1, 2):
        raise call.unsupported(f"swiglu_fusion={fusion} of {width} columns")
    elif fusion == 1:
        gate, line = (call.slice(x, rank - 1, first, width, 2) for first in (0, 1))
    else:
        gate, line = call.split(x, rank - 1, [width // 2, width // 2])
    limit = call.attr("swiglu_limit", None)
    if call.attr("swiglu_limit_after_activation", 0):
        raise call.unsupported("a limit of what is activated")
    if limit is not None:
        high, low = call.number(limit, x), call.number(-limit, x)
        gate = call.emit("Where", call.emit("Greater", gate, high), high, gate)
        line = call.emit("Where", call.emit("Greater", line, high), high, line)
        line = call.emit("Where", call.emit("Less", line, low), low, line)
    alpha, beta = call.attr("activation_alpha", 1.0), call.attr("activation_beta", 0.0)
    bent = call.emit("Sigmoid", call.emit("Mul", gate, call.number(alpha, gate)))
    bent = call.emit("Mul", gate, bent)
    return call.emit("Mul", bent, call.emit("Add", line, call.number(beta, line)))


def _moe(call: Spelling) -> Results:
    if call.attr("use_sparse_mixer", 0):
        raise call.unsupported("use_sparse_mixer=1")
    gate = Layer(call.input(6), call.input(7)) if call.input(6) else None
    into, out = Layer(call.given(2), call.input(3)), Layer(call.given(4), call.input(5))
    normalised = bool(call.attr("normalize_routing_weights", 0))
    return mixture(call, Experts(into, out, gate), call.given(1), normalised=normalised)


MIXING = attributes(
    """
        activation_alpha activation_beta activation_type k normalize_routing_weights
        swiglu_fusion swiglu_limit swiglu_limit_after_activation use_sparse_mixer
    """
)
OPERATORS: Operators = {"MoE": Spelled(_moe, 8, MIXING, in_steps=True, since=11)}
