"""LSTM layers whose products are quantised as they run (ONNX Runtime's domain)."""

from __future__ import annotations

from dataclasses import dataclass

from .quantized import single
from .spelling import Operators, Results, Spelled, Spelling, attributes
from .steps import in_steps

_FLOAT = 1
_DEFAULTS = ["Sigmoid", "Tanh", "Tanh"]


@dataclass(frozen=True)
class _Quantized:
    """A matrix [columns, results], and its scale and zero point, or one of each result."""

    matrix: str
    scale: str
    zero: str


def _lstm(call: Spelling) -> Results:
    direction, hidden = call.attr("direction", "forward"), call.count("hidden_size")
    count = 2 if direction == "bidirectional" else 1
    _check(call, direction, count)
    rows, batch, width = call.shape(call.x)
    weights = [_of_directions(call, index, count) for index in ((1, 8, 9), (2, 10, 11))]
    for each, columns in zip(weights, (width, hidden), strict=True):
        if call.shape(each[0].matrix) != (columns, 4 * hidden):
            raise call.unsupported(f"a matrix of the shape {list(call.shape(each[0].matrix))}")
    flat = call.reshape(call.x, rows * batch, width)
    made = []
    for i in range(count):
        gates = _product(call, flat, weights[0][i])
        if call.input(3):
            bias = _part(call, call.input(3), i)
            for first in (0, 4 * hidden):
                gates = call.emit("Add", gates, call.slice(bias, 0, first, first + 4 * hidden))
        gates = call.reshape(gates, rows, batch, 4 * hidden)
        backward = direction == "reverse" or i == 1
        made.append(_layer(call, gates, weights[1][i], i, hidden, backward))
    y = call.emit("Concat", *(call.unsqueeze(y, 1) for y, _, _ in made), axis=1)
    ends = [
        call.emit("Concat", *(call.unsqueeze(each[i], 0) for each in made), axis=0) for i in (1, 2)
    ]
    return y, *ends


def _check(call: Spelling, direction: str, count: int) -> None:
    if direction not in ("forward", "reverse", "bidirectional"):
        raise call.unsupported(f"direction='{direction}'")
    if [
        str(a, "utf8") if isinstance(a, bytes) else a for a in call.attr("activations", ())
    ] not in (
        [],
        _DEFAULTS * count,
    ):
        raise call.unsupported("other activations than the defaults")
    for name in ("clip", "input_forget"):
        if any(a.name == name for a in call.node.attribute):
            raise call.unsupported(f"its attribute '{name}'")
    for index, what in ((4, "lengths of sequences"), (7, "peepholes")):
        if call.input(index):
            raise call.unsupported(what)


def _part(call: Spelling, x: str, direction: int) -> str:
    """One direction's, without the first dimension."""
    return call.reshape(call.slice(x, 0, direction, direction + 1), *call.shape(x)[1:])


def _of_directions(call: Spelling, inputs: tuple[int, int, int], count: int) -> list[_Quantized]:
    """Each direction's matrix; a scale is one number, or one of each result."""
    matrix, scale, zero = (call.given(i) for i in inputs)
    return [_Quantized(*(_part(call, x, i) for x in (matrix, scale, zero))) for i in range(count)]


def _product(call: Spelling, x: str, by: _Quantized) -> str:
    """Of floats, which are quantised by their own range."""
    numbers, scale, zero = call.several("DynamicQuantizeLinear", [x], 3)
    right = by.zero if call.shape(by.zero) not in ((), (1,)) else single(call, by.zero)
    total = call.cast(call.emit("MatMulInteger", numbers, by.matrix, zero, right), _FLOAT)
    return call.emit("Mul", total, call.emit("Mul", scale, by.scale))


def _layer(
    call: Spelling, gates: str, weights: _Quantized, direction: int, hidden: int, backward: bool
) -> tuple[str, str, str]:
    """All rows' results [rows, batch, hidden], and the last two states."""
    _, batch, _ = call.shape(gates)
    states = []
    for index in (5, 6):
        if call.input(index):
            states.append(_part(call, call.input(index), direction))
        else:
            zero = call.constant(0, "float32")
            states.append(call.emit("Expand", zero, call.sizes(batch, hidden)))

    def step(s: Spelling, before: list[str], rows: list[str]) -> tuple[list[str], list[str]]:
        h, c = before
        total = s.emit("Add", rows[0], _product(s, h, weights))
        i, o, f, new = s.split(total, 1, [hidden] * 4)
        i, o, f = (s.emit("Sigmoid", x) for x in (i, o, f))
        kept = s.emit("Mul", f, c)
        c = s.emit("Add", kept, s.emit("Mul", i, s.emit("Tanh", new)))
        h = s.emit("Mul", o, s.emit("Tanh", c))
        return [h, c], [h]

    (h, c), (y,) = in_steps(call, states, [gates], step, reverse=backward)
    return y, h, c


OPERATORS: Operators = {
    "DynamicQuantizeLSTM": Spelled(
        _lstm,
        12,
        attributes(
            "activation_alpha activation_beta activations clip direction hidden_size input_forget"
        ),
        since=11,
        cuts=True,
    ),
}
