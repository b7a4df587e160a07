"""Decoders over caches of keys and values, which are one token longer after each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from onnx import TensorProto, helper

from luthier.schedules import ModelError

from ..spelling import Spelling
from .request import Request, mask
from .subgraphs import Subgraph


class Decoder(Protocol):
    """What tells the logits of the next token, over states that grow by one token in each step."""

    @property
    def tokens(self) -> str:
        """Those with which the sequences begin, [batch, ``length``]."""

    @property
    def length(self) -> int:
        """How many of them there are."""

    @property
    def vocabulary(self) -> int:
        """How many tokens there are at all."""

    @property
    def axes(self) -> Sequence[int]:
        """Along which each state grows."""

    def begin(self, call: Spelling, *, goes_on: bool) -> tuple[str, list[str]]:
        """Logits [batch, vocabulary] of what follows ``tokens``, and the states of all rows, if it
        ``goes_on``."""

    def step(
        self, s: Spelling, tokens: str, number: str, states: Sequence[str]
    ) -> tuple[str, list[str]]:
        """Logits [rows, vocabulary] of what follows one more of the ``tokens`` [rows], and the next
        states; the ``number`` of earlier steps is one int64."""

    def reordered(self, s: Spelling, states: Sequence[str], rows: str) -> list[str]:
        """The states of other ``rows``."""


@dataclass(frozen=True)
class Gpt:
    """A decoder alone. ``counts`` are how many tokens the prompts have, [rows, 1]."""

    request: Request
    first: Subgraph
    decoder: Subgraph
    tokens: str
    length: int
    mask: str
    positions: str
    counts: str
    vocabulary: int

    @staticmethod
    def of(call: Spelling, request: Request, masked: int) -> Gpt:
        """Of a node whose input ``masked`` says which tokens of the prompts count; raises
        ModelError and UnsupportedOperator."""
        shape = call.shape(call.x)
        if len(shape) != 2:
            raise ModelError(f"{call.label}: its input_ids have the shape {list(shape)}")
        decoder = Subgraph.of(call, "decoder")
        begins = any(each.name == "init_decoder" for each in call.node.attribute)
        first = Subgraph.of(call, "init_decoder") if begins else decoder
        for graph in (first, decoder):
            _check(call, graph)
        if shape[1] >= request.longest:
            raise ModelError(
                f"{call.label}: its max_length {request.longest} leaves no room for a token after "
                f"{shape[1]} of input_ids"
            )
        tokens = call.cast(call.x, TensorProto.INT32)
        given = mask(call, masked, (shape[0], shape[1]), "attention_mask")
        # Places are counted by the tokens, whatever the mask is.
        there = call.emit("Not", call.emit("Equal", tokens, call.constant(request.pad, "int32")))
        ones = call.cast(there, TensorProto.INT32)
        counted = call.emit("CumSum", ones, call.constant(1, "int64"))
        places = call.emit("Sub", counted, call.constant(1, "int32"))
        counts = call.slice(counted, 1, shape[1] - 1, shape[1])
        return Gpt(
            request, first, decoder, tokens, shape[1], given or ones,
            call.emit("Mul", places, ones), each_of(call, counts, 0, request.beams),
            vocabulary(call, decoder.sizes(0, output=True)[2]),
        )  # fmt: skip

    @property
    def axes(self) -> Sequence[int]:
        """See ``Decoder``."""
        return 1, *(3 for _ in range(self._layers))

    def begin(self, call: Spelling, *, goes_on: bool) -> tuple[str, list[str]]:
        """See ``Decoder``."""
        batch, beams = self.request.batch, self.request.beams
        inputs = [self.tokens, self.positions, self.mask]
        past = [nothing(call, self._cache(i, batch, 0), self._type) for i in range(self._layers)]
        logits, *present = self._call(call, self.first, [*inputs, *past], batch, self.length)
        caches = [each_of(call, x, 1, beams) for x in present] if goes_on else []
        return logits, [each_of(call, self.mask, 0, beams), *caches]

    def step(
        self, s: Spelling, tokens: str, number: str, states: Sequence[str]
    ) -> tuple[str, list[str]]:
        """See ``Decoder``."""
        rows = self.request.rows
        mask, *past = states
        mask = s.emit("Concat", mask, s.constant([[1]] * rows, "int32"), axis=1)
        places = s.emit("Add", self.counts, s.cast(number, TensorProto.INT32))
        inputs = [s.reshape(tokens, rows, 1), places, mask, *past]
        logits, *present = self._call(s, self.decoder, inputs, rows, None)
        return logits, [mask, *present]

    def reordered(self, s: Spelling, states: Sequence[str], rows: str) -> list[str]:
        """See ``Decoder``."""
        mask, *caches = states
        return [mask, *(s.emit("Gather", x, rows, axis=1) for x in caches)]

    @property
    def _type(self) -> int:
        """Of the caches."""
        return int(self.first.graph.input[3].type.tensor_type.elem_type)

    @property
    def _layers(self) -> int:
        return len(self.decoder.graph.input) - 3

    def _cache(self, layer: int, rows: int, length: int | None) -> tuple[int | None, ...]:
        sizes = self.decoder.sizes(3 + layer)
        return 2, rows, sizes[2], length, sizes[4]

    def _call(
        self, s: Spelling, graph: Subgraph, inputs: Sequence[str], rows: int, length: int | None
    ) -> list[str]:
        caches = [self._cache(i, rows, length) for i in range(self._layers)]
        shapes = [(rows, None, graph.sizes(0, output=True)[2]), *caches]
        logits, *present = graph.call(s, inputs, shapes)
        return [last_row(s, logits, self.vocabulary), *present]


def _check(call: Spelling, graph: Subgraph) -> None:
    """That a graph is a decoder as GPT-2's is; raises ModelError and UnsupportedOperator."""
    inputs, outputs = len(graph.graph.input), len(graph.graph.output)
    if not graph.has("input_ids", "position_ids", "attention_mask", "past_0"):
        raise ModelError(
            f"{call.label}: its {graph.title} does not begin with the inputs input_ids, "
            "position_ids, attention_mask and past_0"
        )
    if inputs > outputs + 2:
        raise call.unsupported(f"a past that shares its buffer with the present (in {graph.title})")
    pasts = [graph.sizes(i) for i in range(3, inputs)]
    logits = graph.sizes(0, output=True) if outputs else []
    whole = all(len(p) == 5 and p[2] > 0 and p[4] > 0 for p in pasts) and inputs == outputs + 2
    if not whole or len(logits) != 3 or logits[2] < 1:
        raise ModelError(
            f"{call.label}: its {graph.title} does not declare past [2, batch, heads, past, "
            "columns] of each layer, and logits [batch, tokens, vocabulary]"
        )


def nothing(call: Spelling, shape: Sequence[int | None], elem_type: int) -> str:
    """A cache of a shape that has a 0."""
    zero = helper.make_tensor("zero", elem_type, [1], [0])
    return call.emit("ConstantOfShape", call.constant(shape, "int64"), value=zero)


def each_of(call: Spelling, x: str, axis: int, times: int) -> str:
    """Each part along an axis so many times, one after the other."""
    if times == 1:
        return x
    dims = call.dims(x)
    spread = call.emit(
        "Expand",
        call.unsqueeze(x, axis + 1),
        call.sizes(*(times if i == axis + 1 else 1 for i in range(len(dims) + 1))),
    )
    shape = call.emit("Shape", x)
    parts = [call.slice(shape, 0, 0, axis)] if axis else []
    parts += [call.sizes(-1), call.slice(shape, 0, axis + 1, len(dims))]
    made = call.emit("Reshape", spread, call.emit("Concat", *parts, axis=0))
    before = dims[axis]
    dims[axis] = None if before is None else before * times
    call.types.has(made, call.dtype(x), dims)
    return made


def last_row(s: Spelling, logits: str, width: int) -> str:
    """Logits [rows, tokens, ...] of the last token and the first ``width`` words, in float32."""
    last = s.emit("Gather", logits, s.constant(-1, "int64"), axis=1)
    if s.shape(last)[1] > width:
        last = s.slice(last, 1, 0, width)
    return s.cast(last, TensorProto.FLOAT)


def vocabulary(call: Spelling, declared: int) -> int:
    """How many words there are: as a node says, or else its graph; raises ModelError."""
    said: int = call.attr("vocab_size", -1)
    if said > declared:
        raise ModelError(f"{call.label}: its vocab_size {said} is more than its logits' {declared}")
    return said if said > 0 else declared
