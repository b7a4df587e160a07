"""The loop around a decoder: one token of each row in an iteration, until all sequences end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx
from onnx import TensorProto, helper

from ..spelling import Spelling
from .decoders import Decoder


@dataclass(frozen=True)
class Chosen:
    """``tokens`` [rows] that follow, and the choice's next ``states``.

    Each row goes on from one of the ``rows`` before, if it is not the same. ``going`` is whether
    any sequence does; ``kept`` is wanted of each step.
    """

    tokens: str
    states: list[str]
    going: str
    rows: str = ""
    kept: str = ""


class Choice(Protocol):
    """How the next tokens are chosen."""

    def begin(self, call: Spelling, tokens: str, length: int) -> list[str]:
        """The states before the first token; ``tokens`` are [batch, ``length``]."""

    def choose(
        self, s: Spelling, logits: str, length: str, states: Sequence[str], *, first: bool
    ) -> Chosen:
        """What follows sequences of a length, one int64; logits are [batch, vocabulary] for the
        first token, and [rows, vocabulary] then."""


def generated(
    call: Spelling, decoder: Decoder, choice: Choice, longest: int
) -> tuple[list[str], str, str]:
    """The choice's last states, when sequences have as many tokens or all have ended; what is kept
    of each step, [steps, ...]; and the logits [batch, vocabulary] of the first token."""
    trips = longest - decoder.length - 1
    states = choice.begin(call, decoder.tokens, decoder.length)
    logits, caches = decoder.begin(call, goes_on=trips > 0)
    length = _told(call, decoder)
    chosen = choice.choose(call, logits, length, states, first=True)
    kept = call.unsqueeze(chosen.kept, 0) if chosen.kept else ""
    if not trips:
        return chosen.states, kept, logits
    if chosen.rows:
        caches = decoder.reordered(call, caches, chosen.rows)
    last, more = _looped(call, decoder, choice, trips, chosen, caches)
    return last, call.emit("Concat", kept, more, axis=0) if kept else "", logits


def _told(call: Spelling, decoder: Decoder) -> str:
    """How many tokens there are before the first step, as a number of run time: of what follows
    from a constant, such as which places are taken, each size of a prompt would have another."""
    first = call.slice(call.reshape(decoder.tokens, -1), 0, 0, 1)
    zero = call.emit("Mod", call.cast(first, TensorProto.INT64), call.constant(1, "int64"))
    return call.emit("Add", call.reshape(zero), call.constant(decoder.length, "int64"))


def _looped(
    call: Spelling,
    decoder: Decoder,
    choice: Choice,
    trips: int,
    chosen: Chosen,
    caches: Sequence[str],
) -> tuple[list[str], str]:
    inner = Spelling(call.node, call.opset, call.types, f"{call.stem}/{len(call.nodes)}")
    number, condition = f"{inner.stem}/number", f"{inner.stem}/goes on"
    inner.types.has(number, TensorProto.INT64, ())
    inner.types.has(condition, TensorProto.BOOL, ())
    begun = [chosen.tokens, *chosen.states, *caches]
    carried = [f"{inner.stem}/state {i}" for i in range(len(begun))]
    count = 1 + len(chosen.states)
    axes = [*[-1] * count, *decoder.axes]
    for name, value, axis in zip(carried, begun, axes, strict=True):
        dims = [None if i == axis else size for i, size in enumerate(call.shape(value))]
        inner.types.has(name, call.dtype(value), dims)
    logits, own = decoder.step(inner, carried[0], number, carried[count:])
    length = inner.emit("Add", number, inner.constant(decoder.length + 1, "int64"))
    after = choice.choose(inner, logits, length, carried[1:count], first=False)
    if after.rows:
        own = decoder.reordered(inner, own, after.rows)
    # What is kept has a row of each step, so that none is left out.
    going = inner.constant(True, "bool") if after.kept else after.going
    results = [going, after.tokens, *after.states, *own]
    results += [after.kept] if after.kept else []
    outputs = [inner.emit("Identity", x) for x in results]  # each has a name of its own
    body = helper.make_graph(
        inner.nodes,
        "step",
        [_info(inner, name) for name in (number, condition, *carried)],
        [_info(inner, name) for name in outputs],
    )
    ended = [f"{inner.stem}/result {i}" for i in range(len(results) - 1)]
    given = [call.constant(trips, "int64"), "" if after.kept else chosen.going, *begun]
    title = f"{call.node.name or call.node.op_type}/Loop"
    call.nodes.append(helper.make_node("Loop", given, ended, name=title, body=body))
    for name, value in zip(ended, outputs[1:], strict=True):
        shape = inner.dims(value)
        is_kept = bool(after.kept) and name == ended[-1]
        call.types.has(name, inner.dtype(value), [trips, *shape] if is_kept else shape)
    return ended[1:count], ended[-1] if after.kept else ""


def _info(inner: Spelling, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, inner.dtype(name), inner.dims(name))
