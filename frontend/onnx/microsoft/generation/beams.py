"""Beam search: the likeliest of all sequences that follow some of each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from luthier.schedules import ModelError

from ..spelling import Results, Spelling
from .decoders import Decoder, Gpt, each_of
from .encoded import t5, whisper
from .greedy import any_of
from .loop import Chosen, generated
from .request import Request, known, number
from .scores import Rules, Sequences, with_room
from .timestamps import Timestamps

_GPT, _T5, _WHISPER = 0, 1, 2  # ``model_type``
_UNLIKELY = -1e9  # of beams that begin like the first one


@dataclass(frozen=True)
class Found:
    """The best sequences that have ended, best first: their ``scores`` [batch, beams], -inf for
    those that are not there yet, ``tokens`` [batch, beams, the most], and how many there are."""

    scores: str
    tokens: str
    count: str


@dataclass(frozen=True)
class Beams:
    """Its states are the beams' scores [batch, beams], their tokens [rows, the most], what is
    ``Found`` in three, and which batches are done.

    ``penalty`` is the power of a length by which a score is divided. Ties are as in ONNX Runtime:
    what came first stays first.
    """

    rules: Rules
    penalty: str
    early: bool
    keeps: bool

    @property
    def request(self) -> Request:
        """What is asked for."""
        return self.rules.request

    def begin(self, call: Spelling, tokens: str, length: int) -> list[str]:
        """See ``Choice``."""
        batch, beams, longest = self.request.batch, self.request.beams, self.request.longest
        first = call.constant([[0.0, *[_UNLIKELY] * (beams - 1)]], "float32")

        def filled(value: float, dtype: str, *shape: int) -> str:
            return call.emit("Expand", call.constant(value, dtype), call.sizes(*shape))

        whole = with_room(call, each_of(call, tokens, 0, beams), longest, self.request.pad)
        return [
            call.emit("Expand", first, call.sizes(batch, beams)),
            whole,
            filled(-np.inf, "float32", batch, beams),
            filled(self.request.pad, "int32", batch, beams, longest),
            filled(0, "int64", batch),
            filled(False, "bool", batch),
        ]

    def choose(
        self, s: Spelling, logits: str, length: str, states: Sequence[str], *, first: bool
    ) -> Chosen:
        """See ``Choice``."""
        batch, beams, width = self.request.batch, self.request.beams, self.rules.vocabulary
        sums, tokens, *found, done = states
        at = Sequences(tokens, length)
        if first:
            logits = each_of(s, logits, 0, beams)
        scores = self.rules.applied(s, s.emit("LogSoftmax", logits, axis=1), at, first=first)
        scores = s.emit("Add", s.reshape(scores, batch, beams, width), s.unsqueeze(sums, 2))
        flat = s.reshape(scores, batch, beams * width)
        best, places = s.several("TopK", [flat, s.sizes(2 * beams)], 2, axis=1)
        words = s.constant(width, "int64")
        beam = s.emit("Div", places, words)
        word = s.emit("Sub", places, s.emit("Mul", beam, words))
        rows = s.emit("Add", beam, self._firsts(s))
        ends = s.emit("Equal", word, s.constant(self.request.ends, "int64"))

        ended = s.emit("And", ends, s.unsqueeze(s.emit("Not", done), 1))
        sought = [s.slice(x, 1, 0, beams) for x in (best, rows, ended)]
        after = self._add(s, Found(*found), at, *sought)
        over = s.emit("Or", done, self._is_done(s, after, best, length))

        order = s.constant(np.arange(2 * beams), "int64")
        late = s.emit("Mul", s.cast(ends, TensorProto.INT64), s.constant(2 * beams, "int64"))
        count = s.sizes(beams)
        keys = s.emit("Add", late, order)
        _, chosen = s.several("TopK", [keys, count], 2, axis=1, largest=0)
        taken = [s.emit("GatherElements", x, chosen, axis=1) for x in (best, word, rows)]
        idle = s.unsqueeze(done, 1)
        rest = (0.0, "float32"), (self.request.pad, "int64"), (0, "int64")
        sums, word, rows = (
            s.emit("Where", idle, s.constant(value, dtype), x)
            for (value, dtype), x in zip(rest, taken, strict=True)
        )
        rows, word = (s.reshape(x, -1) for x in (rows, word))
        word = s.cast(word, TensorProto.INT32)
        whole = Sequences(s.emit("Gather", tokens, rows, axis=0), length).appended(s, word)
        kept = ""
        if self.keeps:  # once all is over there is nothing
            kept = s.emit("Where", any_of(s, s.emit("Not", done)), scores, s.number(0, scores))
        next_states = [sums, whole, after.scores, after.tokens, after.count, over]
        return Chosen(word, next_states, any_of(s, s.emit("Not", over)), rows, kept)

    def ended(self, call: Spelling, states: Sequence[str], count: int) -> tuple[str, str]:
        """So many sequences of each batch [batch, count, the most], and their scores."""
        batch, beams, longest = self.request.batch, self.request.beams, self.request.longest
        sums, tokens, *found, done = states
        length = call.constant(longest, "int64")
        open_ = call.unsqueeze(call.emit("Not", done), 1)
        open_ = call.emit("Expand", open_, call.sizes(batch, beams))
        rows = call.emit("Add", call.constant([np.arange(beams)], "int64"), self._firsts(call))
        best = self._add(call, Found(*found), Sequences(tokens, length), sums, rows, open_)
        return call.slice(best.tokens, 1, 0, count), call.slice(best.scores, 1, 0, count)

    def _firsts(self, s: Spelling) -> str:
        """The first row of each batch, [batch, 1]."""
        batch, beams = self.request.batch, self.request.beams
        return s.constant(np.arange(batch).reshape(-1, 1) * beams, "int64")

    def _add(
        self, s: Spelling, found: Found, at: Sequences, sums: str, rows: str, ended: str
    ) -> Found:
        """With the sequences of ``rows`` [batch, beams] that have ``ended``, where they are among
        the best."""
        batch, beams = self.request.batch, self.request.beams
        own = s.emit("Div", sums, self._power(s, at.length))
        own = s.emit("Where", ended, own, s.number(-np.inf, own))
        both = s.emit("Concat", found.scores, own, axis=1)
        best, places = s.several("TopK", [both, s.sizes(beams)], 2, axis=1)
        longest = self.request.longest
        new = s.emit("Gather", at.tokens, s.reshape(rows, -1), axis=0)
        tokens = s.emit("Concat", found.tokens, s.reshape(new, batch, beams, longest), axis=1)
        tokens = s.reshape(tokens, batch * 2 * beams, longest)
        firsts = s.emit("Mul", self._firsts(s), s.constant(2, "int64"))
        wanted = s.reshape(s.emit("Add", places, firsts), -1)
        tokens = s.reshape(s.emit("Gather", tokens, wanted, axis=0), batch, beams, longest)
        count = s.reduce("ReduceSum", s.cast(ended, TensorProto.INT64), (1,), keepdims=0)
        return Found(best, tokens, s.emit("Add", found.count, count))

    def _is_done(self, s: Spelling, found: Found, best: str, length: str) -> str:
        """Whether as many sequences are found as there are beams, and none can become better."""
        batch, beams = self.request.batch, self.request.beams
        few = s.emit("Less", found.count, s.constant(beams, "int64"))
        if self.early:
            return s.emit("Not", few)
        # ONNX Runtime looks at as many scores as it should, from the place of the batch's beams.
        places = np.arange(batch).reshape(-1, 1) * beams + np.arange(2 * beams)
        seen = s.emit("Gather", s.reshape(best, -1), s.constant(places, "int64"), axis=0)
        most = s.reduce("ReduceMax", seen, (1,), keepdims=0)
        hope = s.emit("Div", most, self._power(s, length))
        worst = s.reshape(s.slice(found.scores, 1, beams - 1, beams), -1)
        return s.emit("Not", s.emit("Or", few, s.emit("Less", worst, hope)))

    def _power(self, s: Spelling, length: str) -> str:
        return s.emit("Pow", s.cast(length, TensorProto.FLOAT), self.penalty)


def searched(call: Spelling, decoder: Decoder, rules: Rules) -> Sequence[str]:
    """The sequences, their scores, and the scores of all tokens in each step; then, where it is
    wanted, nothing, and how likely a first token is that says that there is no speech."""
    count = known(call, 4, "num_return_sequences")
    if not 1 <= count <= rules.request.beams:
        raise ModelError(
            f"{call.label}: its num_return_sequences is {count}, not 1 to its "
            f"{rules.request.beams} beams"
        )
    if rules.vocabulary < 2:
        raise ModelError(f"{call.label}: its vocabulary has {rules.vocabulary} tokens")
    early = call.attr("early_stopping", 0) == 1
    one = call.constant(1, "float32")
    penalty = number(call, 5, TensorProto.FLOAT, 1) or one
    choice = Beams(rules, penalty, early, call.wants(2))
    states, kept, logits = generated(call, decoder, choice, rules.request.longest)
    found = [*choice.ended(call, states, count), kept]
    return [*found, "", _silence(call, logits, rules.vocabulary)] if call.wants(4) else found


def _silence(call: Spelling, logits: str, width: int) -> str:
    """The probability [batch] of a token; raises ModelError."""
    token = call.attr("no_speech_token_id", -1)
    if not 0 <= token < width:
        raise ModelError(f"{call.label}: its no_speech_token_id {token} is none of {width}")
    shares = call.emit("Softmax", logits, axis=1)
    return call.reshape(call.slice(shares, 1, token, token + 1), -1)


def beam_search(call: Spelling) -> Results:
    """``BeamSearch``."""
    kind = call.attr("model_type", _GPT)
    if kind not in (_GPT, _T5, _WHISPER):
        raise call.unsupported(f"model_type={kind}")
    if call.input(11) and known(call, 11, "logits_processor"):
        raise call.unsupported("a logits_processor")
    if call.input(10) and kind != _WHISPER:
        raise call.unsupported("decoder_input_ids")
    request = Request.of(call, known(call, 3, "num_beams"))
    decoder: Decoder
    if kind == _WHISPER:
        decoder = whisper(call, request)
    else:
        decoder = (Gpt.of if kind == _GPT else t5)(call, request, 9)
    rules = Rules.of(call, request, decoder.vocabulary, repetition=6, shortest=2, masks=7)
    return searched(call, decoder, rules)


def whisper_beam_search(call: Spelling) -> Results:
    """``WhisperBeamSearch``."""
    if call.attr("model_type", _WHISPER) != _WHISPER:
        raise call.unsupported(f"model_type={call.attr('model_type', _WHISPER)}")
    # Its extra_decoding_ids say for which tokens there is to be a cross_qk, and nothing else.
    if call.input(12):
        raise call.unsupported("its cross_qk_layer_head")
    request = Request.of(call, known(call, 3, "num_beams"))
    decoder = whisper(call, request)
    timed = call.input(11) and known(call, 11, "logits_processor") == 1
    rules = Rules.of(
        call, request, decoder.vocabulary, repetition=6, shortest=2, masks=7,
        temperature=_temperature(call),
        last=Timestamps.of(call, decoder.vocabulary, request.ends).applied if timed else None,
    )  # fmt: skip
    return searched(call, decoder, rules)


def _temperature(call: Spelling) -> str | None:
    """What scores are divided by, if it is above 0."""
    given = number(call, 14, TensorProto.FLOAT, 1)
    if given is None:
        return None
    above = call.emit("Greater", given, call.constant(0, "float32"))
    return call.emit("Where", above, given, call.constant(1, "float32"))
