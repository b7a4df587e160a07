"""The likeliest token of each sequence, or one drawn by its probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from onnx import TensorProto

from ..spelling import Results, Spelling
from .decoders import Gpt
from .loop import Chosen, generated
from .request import Request
from .scores import Rules, Sequences, with_room

_GPT = 0


class Draw(Protocol):
    """Takes one token of each row of scores [rows, vocabulary], as int64 [rows], for sequences of a
    length, one int64."""

    def __call__(self, s: Spelling, scores: str, length: str) -> str:
        """The tokens."""


@dataclass(frozen=True)
class Greedy:
    """Its states are tokens [batch, the most], and which sequences have ended [batch]."""

    rules: Rules
    draw: Draw

    def begin(self, call: Spelling, tokens: str, length: int) -> list[str]:
        """See ``Choice``."""
        request = self.rules.request
        none = call.emit("Expand", call.constant(False, "bool"), call.sizes(request.batch))
        return [with_room(call, tokens, request.longest, 0), none]

    def choose(
        self, s: Spelling, logits: str, length: str, states: Sequence[str], *, first: bool
    ) -> Chosen:
        """See ``Choice``."""
        at, ended = Sequences(states[0], length), states[1]
        scores = self.rules.applied(s, logits, at, first=first)
        tokens = s.cast(self.draw(s, scores, length), TensorProto.INT32)
        request = self.rules.request
        ended = s.emit("Or", ended, s.emit("Equal", tokens, s.constant(request.ends, "int32")))
        tokens = s.emit("Where", ended, s.constant(request.pad, "int32"), tokens)
        return Chosen(tokens, [at.appended(s, tokens), ended], any_of(s, s.emit("Not", ended)))


def any_of(s: Spelling, truths: str) -> str:
    """Whether any of truths [n] is one."""
    most = s.reduce("ReduceMax", s.cast(truths, TensorProto.INT32), (0,), keepdims=0)
    return s.cast(most, TensorProto.BOOL)


def likeliest(s: Spelling, scores: str, length: str) -> str:
    """The first of the greatest scores."""
    return s.emit("ArgMax", scores, axis=1, keepdims=0)


def greedy_search(call: Spelling) -> Results:
    """``GreedySearch``."""
    check_gpt(call)
    request = Request.of(call)
    decoder = Gpt.of(call, request, masked=6)
    rules = Rules.of(call, request, decoder.vocabulary, repetition=3, shortest=2, masks=4)
    return searched(call, decoder, rules, likeliest)


def searched(call: Spelling, decoder: Gpt, rules: Rules, draw: Draw) -> str:
    """The sequences [batch, the most] that follow, a token of each at a time."""
    states, _, _ = generated(call, decoder, Greedy(rules, draw), rules.request.longest)
    return states[0]


def check_gpt(call: Spelling) -> None:
    """Raise UnsupportedOperator for other models than ONNX Runtime takes."""
    kind = call.attr("model_type", _GPT)
    if kind != _GPT:
        raise call.unsupported(f"model_type={kind}")
