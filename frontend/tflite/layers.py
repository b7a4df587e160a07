"""Steps and sequences of steps of TensorFlow Lite's recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnx import TensorProto, helper

from luthier.schedules import ModelError

from .call import Call, activation
from .windows import weights

_TANH = 4
NAMES = {1: "Relu", _TANH: "Tanh"}  # of activations that ONNX's layers have
_GATES = "ifco"  # input, forget, cell, output
_ONNX_GATES = "iofc"
_PEEPHOLES = "ifo"
_SPREAD = 1e-8  # what normalisation adds to a variance

Cell = Callable[[str, Sequence[str]], "list[str]"]
"""The next states of an input's row and the states; the first is also the result."""


@dataclass(frozen=True)
class Lstm:
    """The values of a layer's weights by gate. Of an input's they are [elements, units]; ``scales``
    are those of normalised gates. What the layer does not have is not there, or "".

    Clipping at 0 is none.
    """

    inputs: dict[str, str]
    recurrent: dict[str, str]
    peepholes: dict[str, str]
    biases: dict[str, str]
    scales: dict[str, str]
    projection: str
    projection_bias: str
    units: int | None
    activation: int
    clip: float
    projection_clip: float

    @staticmethod
    def of(call: Call, base: int, clips: tuple[float, float], scales: int | None = None) -> Lstm:
        """From the inputs after the place ``base``, and from ``scales`` on."""

        def matrices(first: int) -> dict[str, str]:
            places = dict(zip(_GATES, range(base + first, base + first + 4), strict=True))
            return {g: weights(call, p, (1, 0)) for g, p in places.items() if call.has(p)}

        def vectors(first: int, gates: str) -> dict[str, str]:
            places = dict(zip(gates, range(first, first + len(gates)), strict=True))
            return {g: call.input(p) for g, p in places.items() if call.has(p)}

        projection = weights(call, base + 16, (1, 0)) if call.has(base + 16) else ""
        made = Lstm(
            matrices(1),
            matrices(5),
            vectors(base + 9, _PEEPHOLES),
            vectors(base + 12, _GATES),
            {} if scales is None else vectors(scales, _GATES),
            projection,
            call.input(base + 17) if call.has(base + 17) else "",
            call.tensor(base + 6).shape[0],
            call.option(0, "<b"),
            *clips,
        )
        if made.inputs.keys() != made.recurrent.keys() or {*"fco"} - made.inputs.keys():
            raise ModelError(f"{call.where}: the weights of a gate are missing")
        return made

    @property
    def is_plain(self) -> bool:
        """Whether ONNX's layer does the same."""
        is_bare = not (self.scales or self.projection or self.clip or self.projection_clip)
        whole = len(self.inputs) == len(_GATES) and len(self.peepholes) in (0, len(_PEEPHOLES))
        return is_bare and whole and self.activation in NAMES

    def cell(self, call: Call) -> Cell:
        """What computes a step."""

        def step(x: str, states: Sequence[str]) -> list[str]:
            h, c = states
            forget = call.add("Sigmoid", self._gate(call, "f", x, h, c))
            if "i" in self.inputs:
                enter = call.add("Sigmoid", self._gate(call, "i", x, h, c))
            else:
                enter = call.add("Sub", call.graph.constant(1, "float32"), forget)
            new = activation(call, self._gate(call, "c", x, h, ""), self.activation)
            c = call.add("Add", call.add("Mul", forget, c), call.add("Mul", enter, new))
            c = _clipped(call, c, self.clip)
            leave = call.add("Sigmoid", self._gate(call, "o", x, h, c))
            h = call.add("Mul", leave, activation(call, c, self.activation))
            if self.projection:
                h = call.add("MatMul", h, self.projection)
                h = call.add("Add", h, self.projection_bias) if self.projection_bias else h
                h = _clipped(call, h, self.projection_clip)
            return [h, c]

        return step

    def _gate(self, call: Call, gate: str, x: str, h: str, c: str) -> str:
        """Before its activation."""
        y = call.add("MatMul", x, self.inputs[gate])
        y = call.add("Add", y, call.add("MatMul", h, self.recurrent[gate]))
        if gate in self.peepholes:
            y = call.add("Add", y, call.add("Mul", c, self.peepholes[gate]))
        if gate in self.scales:
            y = call.add("Mul", _normalised(call, y), self.scales[gate])
        return call.add("Add", y, self.biases[gate]) if gate in self.biases else y

    def sequence(self, call: Call, x: str, states: Sequence[str], reverse: bool) -> list[str]:
        """The results of all steps of [steps, batch, elements], and the states after them."""
        if not self.is_plain:
            return scanned(call, self.cell(call), x, states, reverse)
        terms = [self.biases.get(gate, "") for gate in _ONNX_GATES]
        bias = ""
        if all(terms):
            joined = call.add("Concat", *terms, axis=0)
            none = call.add("Mul", joined, call.graph.constant(0, "float32"))
            bias = with_direction(call, call.add("Concat", joined, none, axis=0))
        elif any(terms):
            return scanned(call, self.cell(call), x, states, reverse)
        peepholes = [self.peepholes[gate] for gate in "iof" if self.peepholes]
        name = NAMES[self.activation]
        results = call.graph.add_several(
            "LSTM",
            [
                x,
                stacked(call, [self.inputs[gate] for gate in _ONNX_GATES]),
                stacked(call, [self.recurrent[gate] for gate in _ONNX_GATES]),
                bias,
                "",
                *(with_direction(call, state) for state in states),
                with_direction(call, call.add("Concat", *peepholes, axis=0)) if peepholes else "",
            ],
            3,
            activations=["Sigmoid", name, name],
            direction="reverse" if reverse else "forward",
            hidden_size=self.units,
        )
        return without_direction(call, results)


def _clipped(call: Call, x: str, limit: float) -> str:
    """Within a limit, where there is one."""
    if limit <= 0:
        return x
    ends = (call.graph.constant(each, "float32") for each in (-limit, limit))
    return call.add("Clip", x, *ends)


def _normalised(call: Call, x: str) -> str:
    axis = call.ints(-1)
    x = call.add("Sub", x, call.add("ReduceMean", x, axis, keepdims=1))
    variance = call.add("ReduceMean", call.add("Mul", x, x), axis, keepdims=1)
    spread = call.add("Add", variance, call.graph.constant(_SPREAD, "float32"))
    return call.add("Div", x, call.add("Sqrt", spread))


def with_direction(call: Call, x: str) -> str:
    """With a dimension of one direction in front."""
    return call.add("Unsqueeze", x, call.ints(0))


def stacked(call: Call, matrices: Sequence[str]) -> str:
    """Of [elements, units] each, as ONNX's layers have them."""
    whole = call.add("Concat", *matrices, axis=1)
    return with_direction(call, call.add("Transpose", whole, perm=[1, 0]))


def without_direction(call: Call, results: Sequence[str]) -> list[str]:
    """Results of all steps, and states, without the dimension of directions."""
    rows, *states = results
    return [
        call.add("Squeeze", rows, call.ints(1)),
        *(call.add("Squeeze", state, call.ints(0)) for state in states),
    ]


def scanned(call: Call, cell: Cell, x: str, states: Sequence[str], reverse: bool) -> list[str]:
    """The same with a loop over the steps."""
    fresh = call.graph.writing.fresh
    own, row = [fresh() for _ in states], fresh()
    with call.graph.apart() as nodes:
        made = cell(row, own)
        after = [call.add("Identity", each) for each in (*made, made[0])]
    kind, way = TensorProto.FLOAT, [int(reverse)]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, kind, None) for name in names]
        for names in ((*own, row), after)
    )
    body = helper.make_graph(nodes, "step", inputs, outputs)
    found = call.graph.add_several(
        "Scan", [*states, x], len(after), body=body, num_scan_inputs=1,
        scan_input_directions=way, scan_output_directions=way,
    )  # fmt: skip
    return [found[-1], *found[:-1]]
