"""LSTM layers whose products are quantised as they run (ONNX Runtime's domain)."""

from __future__ import annotations

from dataclasses import dataclass

from .lstm_steps import ATTRIBUTES, biased, layers, over_steps, part, places_of, together
from .quantized import single
from .spelling import Operators, Results, Spelled, Spelling

_FLOAT, _INT64 = 1, 7


@dataclass(frozen=True)
class _Quantized:
    """A matrix [columns, results], and its scale and zero point, or one of each result."""

    matrix: str
    scale: str
    zero: str


def _lstm(call: Spelling) -> Results:
    """What is after the longest sequence does not count for the range of what is quantised.

    How many steps there are need not be known.
    """
    batch, width = call.shape(call.x, 1)
    lengths = call.input(4)
    x = _without_rest(call, call.x, lengths) if lengths else call.x
    flat, made = call.reshape(x, -1, width), []
    for i, layer in enumerate(layers(call, batch, states=(5, 6), peepholes=7)):
        own, recurrent = (_of_direction(call, index, i) for index in ((1, 8, 9), (2, 10, 11)))
        for each, columns in ((own, width), (recurrent, layer.hidden)):
            if call.shape(each.matrix) != (columns, 4 * layer.hidden):
                raise call.unsupported(f"a matrix of the shape {list(call.shape(each.matrix))}")
        gates = biased(call, _product(call, flat, own), call.input(3), i)

        def sums(
            s: Spelling, h: str, at: str, _: list[str], recurrent: _Quantized = recurrent
        ) -> str:
            return s.emit("Add", at, _product(s, h, recurrent))

        each_row = call.reshape(gates, -1, batch, 4 * layer.hidden)
        made.append(over_steps(call, layer, each_row, lengths, sums))
    return together(call, made)


def _without_rest(call: Spelling, x: str, lengths: str) -> str:
    longest = call.cast(call.reduce("ReduceMax", lengths, [0]), _INT64)
    there = call.emit("Less", places_of(call, x), longest)
    return call.emit("Where", there, x, call.number(0, x))


def _of_direction(call: Spelling, inputs: tuple[int, int, int], direction: int) -> _Quantized:
    """A scale is one number, or one of each result."""
    return _Quantized(*(part(call, call.given(i), direction) for i in inputs))


def _product(call: Spelling, x: str, by: _Quantized) -> str:
    """Of floats, which are quantised by their own range."""
    numbers, scale, zero = call.several("DynamicQuantizeLinear", [x], 3)
    right = by.zero if call.shape(by.zero) not in ((), (1,)) else single(call, by.zero)
    total = call.cast(call.emit("MatMulInteger", numbers, by.matrix, zero, right), _FLOAT)
    return call.emit("Mul", total, call.emit("Mul", scale, by.scale))


OPERATORS: Operators = {
    "DynamicQuantizeLSTM": Spelled(_lstm, 12, ATTRIBUTES, since=11, cuts=True),
}
