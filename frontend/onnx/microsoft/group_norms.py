"""Normalisations of groups of channels in ONNX Runtime's domain (Wu and He 2018)."""

from __future__ import annotations

from .gates import silu
from .products import channels_first, channels_last
from .spelling import Operators, Results, Spelled, Spelling, attributes


def _plain(call: Spelling) -> Results:
    return _normalised(call, call.x)


def _skipping(call: Spelling) -> Results:
    """What is added before may be of whole images."""
    skip, rank = call.given(3), call.rank(call.given(3))
    if rank == 2:
        at = (1, 2) if call.attr("channels_last", 1) else (2, 3)
        skip = call.unsqueeze(skip, *at)
    total = call.emit("Add", call.x, skip)
    if call.input(4):
        bias = call.input(4)
        if not call.attr("channels_last", 1):
            bias = call.unsqueeze(bias, 1, 2)
        total = call.emit("Add", total, bias)
    return _normalised(call, total), total


def _normalised(call: Spelling, x: str) -> str:
    last, groups, kind = (
        call.attr("channels_last", 1),
        call.count("groups"),
        call.attr("activation", 0),
    )
    if kind not in (0, 1) or call.rank(x) != 4:
        raise call.unsupported(f"activation={kind}, or {call.rank(x)} dimensions,")
    x = channels_first(call, x) if last else x
    batch, channels, height, width = call.shape(x)
    if channels % groups:
        raise call.unsupported(f"{channels} channels in {groups} groups")
    ones, zeros = (call.constant([n] * groups, "float32") for n in (1, 0))
    apart = call.reshape(x, batch, groups, -1)
    y = call.emit("InstanceNormalization", apart, ones, zeros, epsilon=call.attr("epsilon", 1e-5))
    y = call.reshape(y, batch, channels, height, width)
    scale, shift = (call.reshape(call.given(i), channels, 1, 1) for i in (1, 2))
    y = call.emit("Add", call.emit("Mul", y, scale), shift)
    y = silu(call, y) if kind else y
    return channels_last(call, y) if last else y


_GROUPS = attributes("activation channels_last epsilon groups")
OPERATORS: Operators = {
    "GroupNorm": Spelled(_plain, 3, _GROUPS, in_steps=True),
    "SkipGroupNorm": Spelled(_skipping, 5, _GROUPS, in_steps=True),
}
