"""Decoders that read what an encoder made of an input: T5's and Whisper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto

from luthier.schedules import ModelError

from ..spelling import Spelling
from .decoders import each_of, last_row, nothing, vocabulary
from .request import Request, mask
from .subgraphs import Subgraph

_SELF = 2  # caches of a layer that grow: keys and values


@dataclass(frozen=True)
class Encoded:
    """``given`` are what the decoder reads in each step between the tokens and the caches;
    ``cross`` are caches of the encoder's keys and values; all have a part for each row.

    ``first`` are the logits and the caches of the tokens with which the sequences begin, where the
    encoder's graph has them; else the decoder begins with ``narrow``, which are as ``given`` and
    ``cross``, with a part for each batch.
    """

    request: Request
    decoder: Subgraph
    tokens: str
    length: int
    vocabulary: int
    given: Sequence[str]
    cross: Sequence[str]
    first: Sequence[str]
    narrow: tuple[Sequence[str], Sequence[str]]

    @property
    def axes(self) -> Sequence[int]:
        """See ``Decoder``."""
        return [2] * len(self._own)

    @property
    def _own(self) -> range:
        """The inputs that are caches which grow."""
        begin = 1 + len(self.given)
        return range(begin, begin + len(self.decoder.graph.output) - 1)

    def begin(self, call: Spelling, *, goes_on: bool) -> tuple[str, list[str]]:
        """See ``Decoder``."""
        beams = self.request.beams
        if self.first:
            logits, *caches = self.first
            logits = last_row(call, logits, self.vocabulary)
        else:
            past = [
                nothing(call, self._cache(i, self.request.batch, 0), self._type(i))
                for i in self._own
            ]
            given, cross = self.narrow
            inputs = [self.tokens, *given, *past, *cross]
            logits, *caches = self._call(call, inputs, self.request.batch, self.length)
        return logits, [each_of(call, x, 0, beams) for x in caches] if goes_on else []

    def step(
        self, s: Spelling, tokens: str, number: str, states: Sequence[str]
    ) -> tuple[str, list[str]]:
        """See ``Decoder``."""
        rows = self.request.rows
        inputs = [s.reshape(tokens, rows, 1), *self.given, *states, *self.cross]
        logits, *present = self._call(s, inputs, rows, None)
        return logits, present

    def reordered(self, s: Spelling, states: Sequence[str], rows: str) -> list[str]:
        """See ``Decoder``."""
        return [s.emit("Gather", x, rows, axis=0) for x in states]

    def _type(self, index: int) -> int:
        return int(self.decoder.graph.input[index].type.tensor_type.elem_type)

    def _cache(self, index: int, rows: int, length: int | None) -> tuple[int | None, ...]:
        sizes = self.decoder.sizes(index)
        return rows, sizes[1] or None, length, sizes[3] or None

    def _call(self, s: Spelling, inputs: Sequence[str], rows: int, length: int | None) -> list[str]:
        caches = [self._cache(i, rows, length) for i in self._own]
        declared = self.decoder.sizes(0, output=True)[2]
        logits, *present = self.decoder.call(s, inputs, [(rows, None, declared), *caches])
        return [last_row(s, logits, self.vocabulary), *present]


def t5(call: Spelling, request: Request, masked: int) -> Encoded:
    """Of a node whose input ``masked`` says which tokens of the prompts count."""
    batch, words = _two(call, call.x, "input_ids")
    tokens = call.cast(call.x, TensorProto.INT32)
    seen = mask(call, masked, (batch, words), "attention_mask")
    if not seen:  # what pads a prompt on the left does not count
        there = call.emit("Not", call.emit("Equal", tokens, call.constant(request.pad, "int32")))
        counted = call.emit(
            "CumSum", call.cast(there, TensorProto.INT32), call.constant(1, "int64")
        )
        some = call.emit("Greater", counted, call.constant(0, "int32"))
        seen = call.cast(some, TensorProto.INT32)
    begins = _begins(call, batch)
    encoder = Subgraph.of(call, "encoder")
    names = ["encoder_input_ids", "encoder_attention_mask", "decoder_input_ids"]
    inputs = [tokens, seen, begins][: len(encoder.graph.input)]
    if not encoder.has(*names[: len(inputs)]) or len(inputs) < 2:
        raise ModelError(f"{call.label}: the inputs of its encoder are not {', '.join(names)}")
    return _encoded(call, request, encoder, inputs, begins, 1, [seen])


def whisper(call: Spelling, request: Request) -> Encoded:
    """Of a node whose input 10 has the tokens with which the sequences begin, where it has one."""
    if call.rank(call.x) != 3:
        raise ModelError(f"{call.label}: its input_features have {call.rank(call.x)} dimensions")
    length, begins = 1, call.input(10)
    if begins:
        batch, length = _two(call, begins, "decoder_input_ids")
        if batch != request.batch:
            raise ModelError(
                f"{call.label}: its decoder_input_ids are of {batch} sequences, not {request.batch}"
            )
        begins = call.cast(begins, TensorProto.INT32)
    else:
        begins = _begins(call, request.batch)
    encoder = Subgraph.of(call, "encoder")
    names = ["encoder_input_ids", "decoder_input_ids"]
    if not encoder.has(*names) or len(encoder.graph.input) != 2:
        raise ModelError(f"{call.label}: the inputs of its encoder are not {', '.join(names)}")
    return _encoded(call, request, encoder, [call.x, begins], begins, length, [])


def _encoded(
    call: Spelling,
    request: Request,
    encoder: Subgraph,
    inputs: Sequence[str],
    begins: str,
    length: int,
    given: list[str],
) -> Encoded:
    """What the encoder gives, and the decoder that reads it and what is ``given`` beside."""
    if length >= request.longest:
        raise ModelError(
            f"{call.label}: its max_length {request.longest} leaves no room for a token after "
            f"{length}"
        )
    decoder = Subgraph.of(call, "decoder")
    own = len(decoder.graph.output) - 1
    logits = decoder.sizes(0, output=True) if own >= 0 else []
    if own < _SELF or own % _SELF or len(logits) != 3 or logits[2] < 1:
        raise ModelError(
            f"{call.label}: its decoder does not declare logits [batch, 1, vocabulary], and keys "
            "and values of each layer"
        )
    if decoder.sizes(0)[1:] != [1]:
        raise call.unsupported("a decoder that takes whole sequences as its input_ids")
    count = len(encoder.graph.output)
    begun = decoder_begins(encoder)
    wanted = 2 + 2 * own if begun else own
    hidden = encoder_states(decoder)
    more = len(decoder.graph.input) - 1 - len(given) - hidden - 2 * own
    if more > 0:
        raise call.unsupported("a past that shares its buffer with the present")
    if count != wanted or more < 0 or (hidden and not begun):
        raise ModelError(
            f"{call.label}: its encoder has {count} outputs and its decoder "
            f"{len(decoder.graph.input)} inputs for {own // _SELF} layers"
        )
    shapes = [_shape(encoder, i, request.batch) for i in range(count)]
    for shape in shapes[2 : 2 + own] if begun else []:
        shape[2] = length
    results = encoder.call(call, inputs, shapes)
    cross = results[-own:]
    narrow = [*given, *results[1 : 1 + hidden]], cross
    given, cross = ([each_of(call, x, 0, request.beams) for x in each] for each in narrow)
    first = [results[0], *results[2 : 2 + own]] if begun else []
    width = vocabulary(call, logits[2])
    return Encoded(request, decoder, begins, length, width, given, cross, first, narrow)


def decoder_begins(encoder: Subgraph) -> bool:
    """Whether an encoder's graph has the decoder's first step."""
    return encoder.graph.output[0].name == "logits" if encoder.graph.output else False


def encoder_states(decoder: Subgraph) -> int:
    """How many of a decoder's inputs are what the encoder gives, beside caches: one at most."""
    return sum(i.name == "encoder_hidden_states" for i in decoder.graph.input)


def _shape(encoder: Subgraph, index: int, batch: int) -> list[int | None]:
    """As far as it is declared."""
    return [batch, *(size or None for size in encoder.sizes(index, output=True)[1:])]


def _two(call: Spelling, value: str, name: str) -> tuple[int, int]:
    shape = call.shape(value)
    if len(shape) != 2:
        raise ModelError(f"{call.label}: its {name} have the shape {list(shape)}")
    return shape[0], shape[1]


def _begins(call: Spelling, batch: int) -> str:
    """The token with which a sequence begins, of each."""
    token = call.attr("decoder_start_token_id", -1)
    if not 0 <= token < 2**31:
        raise ModelError(f"{call.label}: its decoder_start_token_id is {token}")
    return call.emit("Expand", call.constant(token, "int32"), call.sizes(batch, 1))
