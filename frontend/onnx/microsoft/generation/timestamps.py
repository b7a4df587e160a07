"""Whisper's rules for tokens that stand for times (Radford et al. 2022): these come in pairs, begin
early, and never go back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.schedules import ModelError

from ..spelling import Spelling
from .scores import LOWEST, Sequences

_LATEST = 50  # after the first time, the first token


@dataclass(frozen=True)
class Timestamps:
    """``first`` is the token of the first time, and all that follow are times; ``never`` come, and
    ``early`` ones before the first time alone. ``ends`` is the token that ends a text."""

    width: int
    first: int
    ends: int
    never: tuple[int, ...]
    early: tuple[int, ...]

    @staticmethod
    def of(call: Spelling, width: int, ends: int) -> Timestamps:
        """Of a node's attributes; raises ModelError."""

        def token(name: str) -> int:
            return int(call.attr(name, -1))

        first = token("beginning_timestamp_token_id")
        if not 0 < first < width:
            raise ModelError(f"{call.label}: its beginning_timestamp_token_id is {first}")
        never = tuple(map(token, ("no_timestamps_token_id", "start_of_lm_token_id")))
        early = "decoder_start_token_id", "translate_token_id", "transcribe_token_id"
        return Timestamps(width, first, ends, never, tuple(map(token, early)))

    def applied(self, s: Spelling, scores: str, at: Sequences) -> str:
        """Scores [rows, width] of what may follow sequences."""
        words = np.arange(self.width)
        is_time = s.constant(words >= self.first, "bool")
        stamps, places = self._stamps(s, at), at.places(s)
        none = s.constant(-1, "int64")
        room = s.shape(at.tokens)[1]
        beyond = s.constant(room, "int64")
        earliest = self._over(s, "ReduceMin", s.emit("Where", stamps, places, beyond))
        latest = self._over(s, "ReduceMax", s.emit("Where", stamps, places, none))
        last, before = (self._token(s, at, back) for back in (1, 2))
        # A text is before its first time up to and with that.
        begun = s.emit("Less", s.emit("Add", earliest, s.constant(1, "int64")), at.length)
        was = self._is_time(s, last)
        paired = s.emit("Or", s.emit("Not", begun), self._is_time(s, before))
        single = s.emit("And", was, s.emit("Not", paired))

        out = s.constant(np.isin(words, self.never), "bool")
        gone = s.emit("And", begun, s.constant(np.isin(words, self.early), "bool"))
        twice = s.emit("And", s.emit("And", was, paired), is_time)
        text = s.emit("And", single, s.constant(words < self.ends, "bool"))
        place = s.emit(
            "Where", s.emit("Less", latest, s.constant(0, "int64")), self._zero(s), latest
        )
        newest = s.emit("GatherElements", at.tokens, place, axis=1)
        following = s.emit("Add", newest, s.constant(1, "int32"))
        least = s.emit("Where", single, newest, following)
        back = s.emit("And", is_time, s.emit("Less", s.constant(words, "int32"), least))
        some = s.emit("Not", s.emit("Less", latest, s.constant(0, "int64")))
        back = s.emit("And", some, back)
        late = s.constant(words > self.first + _LATEST, "bool")
        late = s.emit("And", s.emit("Not", begun), late)
        for each in (gone, twice, text, back, late):
            out = s.emit("Or", out, each)
        lowest = s.number(LOWEST, scores)
        scores = s.emit("Where", out, lowest, scores)
        text = s.constant(words < self.first, "bool")
        only_times = s.emit("And", text, self._is_time_likelier(s, scores))
        return s.emit("Where", only_times, lowest, scores)

    def _is_time_likelier(self, s: Spelling, scores: str) -> str:
        """Whether all times together are likelier than any other token, [rows, 1]."""
        others, times = s.split(scores, 1, [self.first, self.width - self.first])
        most = s.reduce("ReduceMax", times, (1,))
        sums = s.reduce("ReduceSum", s.emit("Exp", s.emit("Sub", times, most)), (1,))
        together = s.emit("Add", s.emit("Log", sums), most)
        return s.emit("Less", s.reduce("ReduceMax", others, (1,)), together)

    def _stamps(self, s: Spelling, at: Sequences) -> str:
        there = s.emit("Less", at.places(s), at.length)
        return s.emit("And", there, self._is_time(s, at.tokens))

    def _is_time(self, s: Spelling, tokens: str) -> str:
        return s.emit("Greater", tokens, s.constant(self.first - 1, "int32"))

    def _over(self, s: Spelling, op: str, places: str) -> str:
        return s.reduce(op, places, (1,))

    def _zero(self, s: Spelling) -> str:
        return s.constant(0, "int64")

    def _token(self, s: Spelling, at: Sequences, back: int) -> str:
        """The one so far from the end, [rows, 1]; the first where there is none."""
        place = s.emit("Sub", at.length, s.constant(back, "int64"))
        place = s.emit("Where", s.emit("Less", place, self._zero(s)), self._zero(s), place)
        return s.emit("Gather", at.tokens, s.reshape(place, 1), axis=1)
