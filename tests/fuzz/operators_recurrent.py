"""Rules of recurrent layers."""

from __future__ import annotations

from typing import Any

from .draft import Draft, Growth, Rule, attributes

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_OUTPUTS = {"LSTM": 3, "GRU": 2, "RNN": 2}
_ACTIVATIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
_BOUNDED = ("Tanh", "Sigmoid", "HardSigmoid", "Softsign")  # others may grow from step to step


def _recurrent(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        attributes(op, g.opset)
        x = g.any(("float32",), 3, 3)
        steps, batch, inputs = g.shape(x)
        hidden, gates = g.pick((1, 3, 4, 16, 17)), _GATES[op]
        direction = g.pick(("forward", "reverse", "bidirectional"))
        count = 2 if direction == "bidirectional" else 1
        attrs: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
        if g.chance(0.3):
            attrs["activations"] = [g.pick(_BOUNDED) for _ in range(count * _ACTIVATIONS[op])]
        if g.chance(0.2):
            attrs["clip"] = g.pick((0.5, 2.0))
        if op == "GRU" and g.chance(0.5):
            attrs["linear_before_reset"] = g.pick((0, 1))
        if op == "LSTM" and g.chance(0.2):
            attrs["input_forget"] = 1

        def weights(*shape: int) -> str:
            most = shape[-1] ** -0.5
            return g.known(g.numbers.uniform(-most, most, shape), "float32")

        def perhaps(name: str) -> str:
            return name if g.chance(0.5) else ""

        state = (count, batch, hidden)
        given = [
            x,
            weights(count, gates * hidden, inputs),
            weights(count, gates * hidden, hidden),
            perhaps(weights(count, 2 * gates * hidden)),
            perhaps(g.known(g.numbers.integers(1, steps + 1, batch), "int32")),
            g.new("float32", state, "normal") if g.chance(0.5) else "",
        ]
        if op == "LSTM":
            given += [g.new("float32", state, "normal") if g.chance(0.5) else ""]
            given += [perhaps(weights(count, 3 * hidden))]
        while not given[-1]:
            given.pop()
        return Draft(op, given, attrs, outputs=_OUTPUTS[op])

    return rule


RULES: dict[str, Rule] = {op: _recurrent(op) for op in _GATES}
