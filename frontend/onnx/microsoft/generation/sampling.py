"""Tokens drawn by their probabilities, of which the least likely ones are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from luthier.schedules import ModelError

from ..spelling import Results, Spelling
from .decoders import Gpt
from .greedy import check_gpt, searched
from .request import Request, mask, number
from .scores import Rules

_WEYL = 0x9E3779B97F4A7C15  # the golden ratio's part of 2^64
_BITS = 24  # of a random number, as many as float32 has


@dataclass(frozen=True)
class Nucleus:
    """Draws of the likeliest tokens that have a ``share`` together (Holtzman et al. 2020).

    The others get the score ``instead``. ``least`` tokens stay at least. ``beyond``: of the tokens
    in the order of their scores, those after the share is exceeded are left out; else those whose
    sum, from the least likely on, is no more than the rest. Random numbers are those of a ``seed``.
    """

    rows: int
    width: int
    share: float
    least: int
    instead: float
    beyond: bool
    seed: str

    def __call__(self, s: Spelling, scores: str, length: str) -> str:
        """See ``Draw``."""
        scores = self._filtered(s, scores)
        sums = s.emit("CumSum", s.emit("Softmax", scores, axis=1), s.constant(1, "int64"))
        total = s.slice(sums, 1, self.width - 1, self.width)
        drawn = s.emit("Mul", s.unsqueeze(self._uniform(s, length), 1), total)
        passed = self._count(s, s.emit("Not", s.emit("Less", drawn, sums)))
        # A product that is rounded to the total is of the last token that is possible.
        last = self._count(s, s.emit("Less", sums, total))
        return s.emit("Where", s.emit("Less", passed, last), passed, last)

    def _count(self, s: Spelling, truths: str) -> str:
        return s.reduce("ReduceSum", s.cast(truths, TensorProto.INT64), (1,), keepdims=0)

    def _filtered(self, s: Spelling, scores: str) -> str:
        count, places = s.sizes(self.width), s.constant([np.arange(self.width)], "int64")
        order, tokens = s.several("TopK", [scores, count], 2, axis=1, largest=int(self.beyond))
        shares = s.emit("Softmax", order, axis=1)
        sums = s.emit("CumSum", shares, s.constant(1, "int64"), exclusive=int(self.beyond))
        if self.beyond:
            out = s.emit("Greater", sums, s.constant(self.share, "float32"))
            some = s.emit("Less", s.constant(0, "int64"), places)
        else:
            out = s.emit("Not", s.emit("Greater", sums, s.constant(1 - self.share, "float32")))
            some = s.emit("Less", places, s.constant(max(self.width - self.least, 1), "int64"))
        marks = s.cast(s.emit("And", out, some), TensorProto.INT32)
        marks = s.emit("ScatterElements", marks, tokens, marks, axis=1)
        out = s.cast(marks, TensorProto.BOOL)
        return s.emit("Where", out, s.number(self.instead, scores), scores)

    def _uniform(self, s: Spelling, length: str) -> str:
        """A number of each row, from 0 up to but without 1: four rounds of squaring a counter
        (Widynski 2020, "Squares: A Fast Counter-Based RNG")."""
        rows = s.constant(np.arange(self.rows), "int64")
        first = s.emit("Mul", length, s.constant(self.rows, "int64"))
        counter = s.cast(s.emit("Add", first, rows), TensorProto.UINT64)
        half = s.constant(32, "uint64")
        y = s.emit("Mul", counter, self.seed)
        z, x = s.emit("Add", y, self.seed), y
        for add in (y, z, y):
            x = s.emit("Add", s.emit("Mul", x, x), add)
            high, low = (s.emit("BitShift", x, half, direction=d) for d in ("RIGHT", "LEFT"))
            x = s.emit("Add", high, low)
        x = s.emit("Add", s.emit("Mul", x, x), z)
        top = s.emit("BitShift", x, s.constant(64 - _BITS, "uint64"), direction="RIGHT")
        return s.emit("Mul", s.cast(top, TensorProto.FLOAT), s.constant(2.0**-_BITS, "float32"))


def sampling(call: Spelling) -> Results:
    """``Sampling``."""
    check_gpt(call)
    request = Request.of(call)
    decoder = Gpt.of(call, request, masked=6)
    width = decoder.vocabulary
    rules = Rules.of(
        call, request, width, repetition=3, shortest=2, masks=4,
        temperature=_temperature(call), presence=_presence(call, request.batch, width),
    )  # fmt: skip
    draw = Nucleus(
        request.batch, width, call.attr("top_p", 0.0), call.attr("min_tokens_to_keep", 0),
        _instead(call), call.attr("custom", 0) != 0, _seed(call),
    )  # fmt: skip
    return searched(call, decoder, rules, draw)


def _temperature(call: Spelling) -> str | None:
    value = call.attr("temperature", 1.0)
    return call.constant(value, "float32") if value > 0 and value != 1 else None


def _presence(call: Spelling, batch: int, width: int) -> str:
    given = mask(call, 7, (batch, width), "presence_mask")
    penalty = call.attr("presence_penalty", 0.0)
    if not given or not penalty:
        return ""
    counts = call.cast(given, TensorProto.FLOAT)
    return call.emit("Mul", counts, call.constant(penalty, "float32"))


def _instead(call: Spelling) -> float:
    """The score of what is left out, -inf by default; raises ModelError."""
    found = [a for a in call.node.attribute if a.name == "filter_value"]
    value = helper.get_attribute_value(found[0]) if found else -np.inf
    if not isinstance(value, float) or np.isnan(value) or value == np.inf:
        raise ModelError(f"{call.label}: its attribute 'filter_value' is {value}")
    return value


def _seed(call: Spelling) -> str:
    """An odd multiplier."""
    seed = number(call, 8, TensorProto.INT64, 0) or call.constant(0, "int64")
    twice = call.emit("Add", call.emit("Add", seed, seed), call.constant(1, "int64"))
    return call.emit("Mul", call.cast(twice, TensorProto.UINT64), call.constant(_WEYL, "uint64"))
