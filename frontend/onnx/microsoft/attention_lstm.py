"""LSTM layers that attend to a memory after each step (Bahdanau et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .attention import LOWEST
from .lstm_steps import ATTRIBUTES, biased, layers, over_steps, part, together
from .spelling import Operators, Results, Spelled, Spelling

_QUERY, _KEY, _VECTOR, _MEMORY, _LENGTHS, _AFTER = range(8, 14)


@dataclass(frozen=True)
class _Memory:
    """One direction's: ``rows`` [batch, steps, depth] and their ``keys`` [batch, steps, columns],
    of which ``mask`` [batch, steps] hides some; matrices of queries and of what comes after."""

    rows: str
    keys: str
    mask: str
    query: str
    vector: str
    after: str

    def read(self, s: Spelling, h: str) -> str:
        """What a result [batch, hidden] finds in it, [batch, depth or the columns after]."""
        query = s.unsqueeze(s.emit("MatMul", h, self.query), 1)
        bent = s.emit("Tanh", s.emit("Add", self.keys, query))
        found = s.reduce("ReduceSum", s.emit("Mul", bent, self.vector), [2], keepdims=0)
        found = s.emit("Add", found, self.mask) if self.mask else found
        shares = s.unsqueeze(s.emit("Softmax", found, axis=-1), 1)
        batch, _, depth = s.shape(self.rows)
        context = s.reshape(s.emit("MatMul", shares, self.rows), batch, depth)
        if not self.after:
            return context
        return s.emit("MatMul", s.emit("Concat", h, context, axis=1), self.after)


def _lstm(call: Spelling) -> Results:
    """What was found at a step is more columns of the next one's input."""
    rows, batch, width = call.shape(call.x)
    made = []
    for i, layer in enumerate(layers(call, batch, states=(5, 6), peepholes=7)):
        memory = _memory(call, i)
        weights = part(call, call.given(1), i)
        columns = call.shape(weights)[1] - width
        wanted = call.shape(memory.after or memory.rows)[-1]
        if columns != wanted:
            raise call.unsupported(f"{columns} columns for {wanted} of attention")
        own, found = (call.transpose(x, 1, 0) for x in call.split(weights, 1, [width, columns]))
        recurrent = call.transpose(part(call, call.given(2), i), 1, 0)
        flat = call.emit("MatMul", call.reshape(call.x, rows * batch, width), own)
        flat = biased(call, flat, call.input(3), i)

        def gates(
            s: Spelling,
            h: str,
            at: str,
            others: list[str],
            found: str = found,
            recurrent: str = recurrent,
        ) -> str:
            total = s.emit("Add", at, s.emit("MatMul", others[0], found))
            return s.emit("Add", total, s.emit("MatMul", h, recurrent))

        def after(s: Spelling, h: str, memory: _Memory = memory) -> list[str]:
            return [memory.read(s, h)]

        nothing = call.emit("Expand", call.constant(0, "float32"), call.sizes(batch, columns))
        each = call.reshape(flat, rows, batch, 4 * layer.hidden)
        made.append(over_steps(call, layer, each, call.input(4), gates, [nothing], after))
    return together(call, made)


def _memory(call: Spelling, direction: int) -> _Memory:
    rows, lengths = call.given(_MEMORY), call.input(_LENGTHS)
    batch, steps, _ = call.shape(rows)
    mask = ""
    if lengths:
        places = call.constant(np.arange(steps).reshape(1, -1), "int32")
        there = call.emit("Less", places, call.reshape(lengths, batch, 1))
        numbers = (call.constant(n, "float32") for n in (0, LOWEST))
        mask = call.emit("Where", there, *numbers)
    keys = call.emit("MatMul", rows, part(call, call.given(_KEY), direction))
    query, vector = (part(call, call.given(i), direction) for i in (_QUERY, _VECTOR))
    after = part(call, call.input(_AFTER), direction) if call.input(_AFTER) else ""
    return _Memory(rows, keys, mask, query, vector, after)


OPERATORS: Operators = {"AttnLSTM": Spelled(_lstm, 14, ATTRIBUTES, since=10, cuts=True)}
