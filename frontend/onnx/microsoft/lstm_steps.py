"""Steps of LSTM layers (Hochreiter and Schmidhuber 1997) that are spelled one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schedules.ops.recurrent_form import Use

from ..recurrent import uses_of
from .spelling import Spelling, attributes
from .steps import in_steps

ATTRIBUTES = attributes(
    "activation_alpha activation_beta activations clip direction hidden_size input_forget"
)
_INT64 = 7
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_DEFAULTS = ("sigmoid", "tanh", "tanh")
_PLAIN = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign",
          "softplus": "Softplus"}  # fmt: skip
_OF_ALPHA = {"leakyrelu": "LeakyRelu", "thresholdedrelu": "ThresholdedRelu", "elu": "Elu"}

Gates = Callable[[Spelling, str, str, list[str]], str]
"""Of the last result, what is given of a step, and states of one's own the gates' sums
[batch, 4 * hidden]: input, output, forget, cell."""
After = Callable[[Spelling, str], list[str]]
"""Of a step's result the next states of one's own."""


@dataclass(frozen=True)
class Layer:
    """One direction: ``peepholes`` [3 * hidden] or "", ``clip`` infinite where there is none."""

    hidden: int
    backward: bool
    uses: tuple[Use, ...]
    clip: float
    coupled: bool
    peepholes: str
    state: tuple[str, str]


def layers(call: Spelling, batch: int, *, states: tuple[int, int], peepholes: int) -> list[Layer]:
    """Those of a node's directions, by its attributes and the inputs that are named by number."""
    direction, hidden = call.attr("direction", "forward"), call.count("hidden_size")
    if direction not in _DIRECTIONS:
        raise call.unsupported(f"direction='{direction}'")
    ways = _DIRECTIONS[direction]
    given = [a.decode(errors="replace") for a in call.attr("activations", ())]
    names = [name.lower() for name in given] or [*_DEFAULTS] * len(ways)
    if len(names) != 3 * len(ways):
        raise call.unsupported(f"{len(names)} activations of {len(ways)} directions")
    alphas, betas = (call.attr(f"activation_{each}", ()) for each in ("alpha", "beta"))
    uses = uses_of(names, alphas, betas, call.label)
    clip = call.attr("clip", math.inf) if _has(call, "clip") else math.inf
    if not clip > 0:
        raise call.unsupported(f"clip={clip}")
    nothing = call.emit("Expand", call.constant(0, "float32"), call.sizes(batch, hidden))
    made = []
    for i, backward in enumerate(ways):
        first, second = (part(call, call.input(s), i) if call.input(s) else nothing for s in states)
        held = part(call, call.input(peepholes), i) if call.input(peepholes) else ""
        use = tuple(uses[3 * i : 3 * i + 3])
        coupled = bool(call.attr("input_forget", 0))
        made.append(Layer(hidden, backward, use, clip, coupled, held, (first, second)))
    return made


def _has(call: Spelling, name: str) -> bool:
    return any(each.name == name for each in call.node.attribute)


def part(call: Spelling, x: str, direction: int) -> str:
    """One direction's, without the first dimension."""
    return call.reshape(call.slice(x, 0, direction, direction + 1), *call.shape(x)[1:])


def biased(call: Spelling, gates: str, bias: str, direction: int) -> str:
    """With both halves of a direction's biases [directions, 8 * hidden]."""
    if not bias:
        return gates
    own = part(call, bias, direction)
    half = call.shape(own)[0] // 2
    for first in (0, half):
        gates = call.emit("Add", gates, call.slice(own, 0, first, first + half))
    return gates


def over_steps(
    call: Spelling,
    layer: Layer,
    rows: str,
    lengths: str,
    gates: Gates,
    own: Sequence[str] = (),
    after: After | None = None,
) -> tuple[str, str, str]:
    """All results [rows, batch, hidden] and the last two states; ``lengths`` [batch] or "".

    After a sequence's length its results are 0. ``own`` are further states, which ``after`` gives.
    """
    (batch, _), given = call.shape(rows, 1), [rows]
    turned = bool(lengths) and layer.backward
    if lengths:
        lengths = call.cast(lengths, _INT64)
        if turned:
            given = [_turned(call, rows, lengths)]
        given.append(call.emit("Less", places_of(call, rows), call.reshape(lengths, batch, 1)))

    def step(s: Spelling, before: list[str], at: list[str]) -> tuple[list[str], list[str]]:
        h, c, _, *others = before
        new, cell = _cell(s, layer, gates(s, h, at[0], others), c)
        h, last = new, new
        if lengths:
            h = s.emit("Where", at[1], new, s.constant(0, "float32"))
            cell, last = (s.emit("Where", at[1], *p) for p in ((cell, c), (new, before[2])))
        return [h, cell, last, *(after(s, h) if after else [])], [h]

    h, c = layer.state
    zero = call.constant(0, "float32")
    none = call.emit("Expand", zero, call.sizes(batch, layer.hidden)) if lengths else h
    states, (y,) = in_steps(
        call, [h, c, none, *own], given, step, reverse=layer.backward and not turned
    )
    _, c, last, *_ = states
    if lengths:
        some = call.emit("Less", call.constant(0, "int64"), call.reshape(lengths, batch, 1))
        c = call.emit("Where", some, c, call.constant(0, "float32"))
        y = _turned(call, y, lengths) if turned else y
    return y, last, c


def places_of(call: Spelling, x: str) -> str:
    """Of each step its place, [steps, 1, 1]; how many there are need not be known."""
    known = call.dims(x)[0]
    if known is not None:
        return call.constant(np.arange(known).reshape(-1, 1, 1), "int64")
    zero, one = (call.constant(n, "int64") for n in (0, 1))
    count = call.emit("Gather", call.emit("Shape", x), zero)
    return call.reshape(call.emit("Range", zero, count, one), -1, 1, 1)


def _turned(call: Spelling, x: str, lengths: str) -> str:
    return call.emit("ReverseSequence", x, lengths, time_axis=0, batch_axis=1)


def together(call: Spelling, made: Sequence[tuple[str, str, str]]) -> tuple[str, str, str]:
    """Of each direction's results those of the layer."""
    y = call.emit("Concat", *(call.unsqueeze(each[0], 1) for each in made), axis=1)
    h, c = (
        call.emit("Concat", *(call.unsqueeze(each[i], 0) for each in made), axis=0) for i in (1, 2)
    )
    return y, h, c


def _cell(s: Spelling, layer: Layer, total: str, c: str) -> tuple[str, str]:
    i, o, f, new = s.split(total, 1, [layer.hidden] * 4)
    looks = s.split(layer.peepholes, 0, [layer.hidden] * 3) if layer.peepholes else []
    of_gates, of_cell, of_result = layer.uses

    def gate(x: str, use: Use, look: int | None = None, at: str = "") -> str:
        if looks and look is not None:
            x = s.emit("Add", x, s.emit("Mul", at, looks[look]))
        if math.isfinite(layer.clip):
            x = s.emit("Min", s.emit("Max", x, s.number(-layer.clip, x)), s.number(layer.clip, x))
        return bent(s, x, use)

    i = gate(i, of_gates, 0, c)
    f = s.emit("Sub", s.number(1, i), i) if layer.coupled else gate(f, of_gates, 2, c)
    kept = s.emit("Mul", f, c)
    c = s.emit("Add", kept, s.emit("Mul", i, gate(new, of_cell)))
    o = gate(o, of_gates, 1, c)
    return s.emit("Mul", o, bent(s, c, of_result)), c


def bent(s: Spelling, x: str, use: Use) -> str:
    """By an activation of a recurrent layer."""
    if use.name in _PLAIN:
        return s.emit(_PLAIN[use.name], x)
    if use.name in _OF_ALPHA:
        return s.emit(_OF_ALPHA[use.name], x, alpha=use.alpha)
    if use.name == "hardsigmoid":
        return s.emit("HardSigmoid", x, alpha=use.alpha, beta=use.beta)
    if use.name == "scaledtanh":
        y = s.emit("Tanh", s.emit("Mul", x, s.number(use.beta, x)))
        return s.emit("Mul", y, s.number(use.alpha, y))
    if use.name == "affine":
        y = s.emit("Mul", x, s.number(use.alpha, x))
        return s.emit("Add", y, s.number(use.beta, y))
    raise s.unsupported(f"the activation '{use.name}'")
