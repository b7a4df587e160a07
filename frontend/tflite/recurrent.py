"""TensorFlow Lite's recurrent layers. Each leaves its state in variables, for the next run."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.schedules import ModelError

from .call import Call, Operator, activation
from .layers import NAMES, Cell, Lstm, scanned, stacked, with_direction, without_direction
from .windows import weights

_BASIC = 1  # the kernel of an LSTM that has its weights in one matrix


def _turned(call: Call, x: str, time_major: bool) -> str:
    """[steps, batch, elements] of the other order, and back."""
    return x if time_major else call.add("Transpose", x, perm=[1, 0, 2])


def _keep(call: Call, places: Sequence[int], states: Sequence[str]) -> None:
    for place, state in zip(places, states, strict=True):
        call.graph.keep(call.number(place), state)


def _clips(call: Call) -> tuple[float, float]:
    return call.option(1, "<f", 0.0), call.option(2, "<f", 0.0)


def _sequence_lstm(call: Call) -> str:
    if call.flag(5):
        raise call.unsupported("a diagonal of recurrent weights")
    layer, time_major = Lstm.of(call, 0, _clips(call), 20), call.flag(3)
    states = [call.input(place) for place in (18, 19)]
    x = _turned(call, call.input(0), time_major)
    y, *after = layer.sequence(call, x, states, False)
    _keep(call, (18, 19), after)
    return _turned(call, y, time_major)


def _lstm(call: Call) -> list[str]:
    """One step."""
    if call.option(3, "<b") == _BASIC:
        return _basic_lstm(call)
    layer = Lstm.of(call, 0, _clips(call), 20)
    after = layer.cell(call)(call.input(0), [call.input(place) for place in (18, 19)])
    _keep(call, (18, 19), after)
    return [after[0]]


def _basic_lstm(call: Call) -> list[str]:
    """Its states are inputs and results; the last two of these are what it computes on the way."""
    both = call.add("Concat", call.input(0), call.input(1), axis=-1)
    gates = call.add("MatMul", both, weights(call, 2, (1, 0)))
    gates = call.add("Add", gates, call.input(3))
    enter, new, forget, leave = call.graph.add_several("Split", [gates], 4, axis=-1, num_outputs=4)
    enter, forget, leave = (call.add("Sigmoid", each) for each in (enter, forget, leave))
    old = call.add("Mul", call.input(4), forget)
    state = call.add("Add", call.add("Mul", enter, call.add("Tanh", new)), old)
    return [call.add("Mul", leave, call.add("Tanh", state)), state, both, gates]


def _bidirectional_lstm(call: Call) -> list[str]:
    if call.has(39):
        raise call.unsupported("an auxiliary input")
    time_major = call.option(4, "<B", 1)
    x = _turned(call, call.input(0), time_major)
    results = list[str]()
    for base, places in ((0, (35, 36)), (17, (37, 38))):
        layer = Lstm.of(call, base, _clips(call))
        states = [call.input(place) for place in places]
        y, *after = layer.sequence(call, x, states, base > 0)
        _keep(call, places, after)
        results.append(_turned(call, y, time_major))
    return [call.add("Concat", *results, axis=-1)] if call.flag(3) else results


def _rnn_sequence(call: Call, x: str, base: int, state: int, code: int, reverse: bool) -> str:
    """Of [steps, batch, elements], with the weights after the place ``base``."""
    own, recurrent = (weights(call, base + i, (1, 0)) for i in (1, 2))
    bias, first = call.input(base + 3), call.input(state)
    if code not in NAMES:
        cell = _rnn_cell(call, own, recurrent, bias, code)
        y, after = scanned(call, cell, x, [first], reverse)
    else:
        none = call.add("Mul", bias, call.graph.constant(0, "float32"))
        results = call.graph.add_several(
            "RNN",
            [
                x,
                *(stacked(call, [each]) for each in (own, recurrent)),
                with_direction(call, call.add("Concat", bias, none, axis=0)),
                "",
                with_direction(call, first),
            ],
            2,
            activations=[NAMES[code]],
            direction="reverse" if reverse else "forward",
            hidden_size=call.tensor(base + 1).shape[0],
        )
        y, after = without_direction(call, results)
    _keep(call, [state], [after])
    return y


def _rnn_cell(call: Call, own: str, recurrent: str, bias: str, code: int) -> Cell:
    def step(x: str, states: Sequence[str]) -> list[str]:
        y = call.add("Add", call.add("MatMul", x, own), call.add("MatMul", states[0], recurrent))
        return [activation(call, call.add("Add", y, bias), code)]

    return step


def _sequence_rnn(call: Call) -> str:
    time_major = call.flag(0)
    x = _turned(call, call.input(0), time_major)
    y = _rnn_sequence(call, x, 0, 4, call.option(1, "<b"), False)
    return _turned(call, y, time_major)


def _bidirectional_rnn(call: Call) -> list[str]:
    if call.has(9):
        raise call.unsupported("an auxiliary input")
    time_major, code = call.flag(0), call.option(1, "<b")
    x = _turned(call, call.input(0), time_major)
    pairs = ((0, 4, False), (4, 8, True))
    results = [
        _turned(call, _rnn_sequence(call, x, base, state, code, reverse), time_major)
        for base, state, reverse in pairs
    ]
    return [call.add("Concat", *results, axis=-1)] if call.flag(2) else results


def _rnn(call: Call) -> str:
    """One step."""
    own, recurrent = (weights(call, place, (1, 0)) for place in (1, 2))
    cell = _rnn_cell(call, own, recurrent, call.input(3), call.option(0, "<b"))
    (y,) = cell(call.input(0), [call.input(4)])
    _keep(call, [4], [y])
    return y


def _svdf(call: Call) -> str:
    """Products with a filter are kept of some steps, and summed up over these."""
    filters, steps = call.sizes(2, (0, 1))
    rank = call.option(0)
    if rank < 1 or filters % rank:
        raise ModelError(f"{call.where}: {filters} filters of rank {rank}")
    state = call.add("Reshape", call.input(4), call.ints(-1, filters, steps))
    new = call.add("MatMul", call.input(0), weights(call, 1, (1, 0)))
    new = call.add("Unsqueeze", new, call.ints(2))
    late = call.add("Slice", state, call.ints(1), call.ints(steps), call.ints(2))
    state = call.add("Concat", late, new, axis=2)
    y = call.add("ReduceSum", call.add("Mul", state, call.input(2)), call.ints(2), keepdims=0)
    y = call.add("Reshape", y, call.ints(-1, filters // rank, rank))
    y = call.add("ReduceSum", y, call.ints(2), keepdims=0)
    if call.has(3):
        y = call.add("Add", y, call.input(3))
    _keep(call, [4], [call.add("Reshape", state, call.ints(-1, filters * steps))])
    return call.activated(y, 1)


OPERATORS: dict[str, Operator] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": Operator(_bidirectional_lstm),
    "BIDIRECTIONAL_SEQUENCE_RNN": Operator(_bidirectional_rnn),
    "LSTM": Operator(_lstm),
    "RNN": Operator(_rnn),
    "SVDF": Operator(_svdf),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Operator(_sequence_lstm),
    "UNIDIRECTIONAL_SEQUENCE_RNN": Operator(_sequence_rnn),
}
