"""What is done to the scores of tokens before one is chosen, in ONNX Runtime's order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from onnx import TensorProto

from luthier.schedules import ModelError

from ..spelling import Spelling
from ..words import LONGEST
from .request import Request, mask, number

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Sequences:
    """Tokens [rows, the most], of which there are ``length`` so far, one int64."""

    tokens: str
    length: str

    def appended(self, s: Spelling, tokens: str) -> str:
        """With ``tokens`` [rows] at the end."""
        here = s.emit("Equal", self.places(s), self.length)
        return s.emit("Where", here, s.unsqueeze(tokens, 1), self.tokens)

    def places(self, s: Spelling) -> str:
        """Those of all tokens there is room for."""
        return s.constant(np.arange(s.shape(self.tokens)[1]), "int64")


def with_room(call: Spelling, tokens: str, longest: int, pad: int) -> str:
    """Tokens [rows, as many as there are] as the beginning of [rows, ``longest``]."""
    rows = call.shape(tokens)[0]
    # Of one size whatever the number of tokens is, so that it may be open.
    room = call.emit("Expand", call.constant(pad, "int32"), call.sizes(rows, longest))
    return call.slice(call.emit("Concat", tokens, room, axis=1), 1, 0, longest)


class Rule(Protocol):
    """Scores [rows, vocabulary] of what may follow sequences."""

    def __call__(self, s: Spelling, scores: str, at: Sequences) -> str:
        """The scores after it."""


@dataclass(frozen=True)
class Rules:
    """Names of values: "" or None is a rule that is not there.

    ``prefix`` counts for the first token alone; by ``presence`` tokens are less likely. ``last`` is
    a rule that comes after all others.
    """

    request: Request
    vocabulary: int
    ngram: int
    repetition: str | None = None
    allowed: str = ""
    prefix: str = ""
    shortest: str | None = None
    temperature: str | None = None
    presence: str = ""
    last: Rule | None = None

    @staticmethod
    def of(
        call: Spelling,
        request: Request,
        vocabulary: int,
        *,
        repetition: int,
        shortest: int,
        masks: int,
        temperature: str | None = None,
        presence: str = "",
        last: Rule | None = None,
    ) -> Rules:
        """Of a node with these inputs; raises ModelError and UnsupportedOperator."""
        for token in (request.ends, request.pad):
            if token >= vocabulary:
                raise ModelError(f"{call.label}: its token {token} is none of {vocabulary}")
        ngram = call.attr("no_repeat_ngram_size", 0)
        if ngram > LONGEST:
            raise call.unsupported(f"no_repeat_ngram_size={ngram} (more than {LONGEST})")
        each = (request.batch, vocabulary)
        prefix = mask(call, masks + 1, each, "prefix_vocab_mask")
        return Rules(
            request,
            vocabulary,
            ngram,
            number(call, repetition, TensorProto.FLOAT, 1),
            mask(call, masks, (vocabulary,), "vocab_mask"),
            prefix,
            number(call, shortest, TensorProto.INT64, 0),
            temperature,
            presence,
            last,
        )

    def applied(self, s: Spelling, scores: str, at: Sequences, *, first: bool) -> str:
        """Scores [rows, vocabulary] of what may follow sequences."""
        if self.repetition:
            seen = self._marked(s, at, s.emit("Less", at.places(s), at.length), at.tokens)
            by = self.repetition
            below = s.emit("Less", scores, s.number(0, scores))
            product, ratio = s.emit("Mul", scores, by), s.emit("Div", scores, by)
            scores = s.emit("Where", seen, s.emit("Where", below, product, ratio), scores)
        if 0 < self.ngram <= self.request.longest:
            scores = self._lowest(s, self._repeats(s, at), scores)
        if self.allowed:
            scores = self._lowest(s, self._is_zero(s, self.allowed), scores)
        if self.prefix and first:
            mask = self._is_zero(s, self.prefix)
            if self.request.beams > 1:
                batch, beams = self.request.batch, self.request.beams
                wide = s.sizes(batch, beams, self.vocabulary)
                mask = s.reshape(s.emit("Expand", s.unsqueeze(mask, 1), wide), -1, self.vocabulary)
            scores = self._lowest(s, mask, scores)
        if self.shortest:
            tokens = s.constant(np.arange(self.vocabulary) == self.request.ends, "bool")
            short = s.emit("Less", at.length, self.shortest)
            scores = self._lowest(s, s.emit("And", tokens, short), scores)
        if self.temperature:
            scores = s.emit("Div", scores, self.temperature)
        if self.presence:
            scores = s.emit("Sub", scores, self.presence)
        return self.last(s, scores, at) if self.last else scores

    def _repeats(self, s: Spelling, at: Sequences) -> str:
        """Whether a token would end a sequence of ``ngram`` tokens that was there before."""
        size, longest = self.ngram, self.request.longest
        count = longest - size + 1
        begins = s.constant(np.arange(size, longest + 1), "int64")
        found = [s.emit("Not", s.emit("Less", at.length, begins))]
        for i in range(size - 1):
            back = s.emit("Sub", at.length, s.constant(size - 1 - i, "int64"))
            zero = s.constant(0, "int64")
            place = s.emit("Where", s.emit("Less", back, zero), zero, back)
            word = s.emit("Gather", at.tokens, s.reshape(place, 1), axis=1)
            found.append(s.emit("Equal", s.slice(at.tokens, 1, i, i + count), word))
        same = reduce(lambda a, b: s.emit("And", a, b), found)
        return self._marked(s, at, same, s.slice(at.tokens, 1, size - 1, longest))

    def _marked(self, s: Spelling, at: Sequences, there: str, tokens: str) -> str:
        """Which tokens of the vocabulary [rows, vocabulary] are among those that are ``there``."""
        rows, width = self.request.rows, self.vocabulary
        # All others are scattered to a token that there is not.
        where = s.emit("Where", there, tokens, s.constant(width, "int32"))
        none = s.emit("Expand", s.constant(0, "int32"), s.sizes(rows, width + 1))
        ones = s.emit("Expand", s.constant(1, "int32"), s.sizes(*s.shape(tokens)))
        marks = s.emit("ScatterElements", none, where, ones, axis=1)
        return s.cast(s.slice(marks, 1, 0, width), TensorProto.BOOL)

    def _is_zero(self, s: Spelling, mask: str) -> str:
        return s.emit("Equal", mask, s.constant(0, "int32"))

    def _lowest(self, s: Spelling, where: str, scores: str) -> str:
        return s.emit("Where", where, s.number(LOWEST, scores), scores)
