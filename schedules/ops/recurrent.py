"""Recurrent layers: a whole sequence is one operator; see ``recurrent_form``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .activations import ACTIVATIONS
from .operator import Anchor, Array, Attrs
from .recurrent_form import Recurrent, parse

_State = tuple[Array, Array]


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    return parse(attrs, args).output


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return parse(dict(node.attrs), args).operations


def _recurrent(node: Node, *arrays: Array) -> Array:
    layer = parse(dict(node.attrs), [Tensor(a.shape, str(a.dtype)) for a in arrays])
    given = dict(zip(layer.operands, arrays, strict=True))
    steps, batch, hidden = layer.steps, layer.batch, layer.hidden
    x = given["gates"].reshape(steps, batch, layer.directions, layer.gates, hidden)
    lengths = given.get("lengths", np.full(batch, steps))
    result = np.zeros(layer.output.shape, x.dtype)
    nothing = np.zeros((layer.directions, batch, hidden), x.dtype)
    for d, reverse in enumerate(layer.reverse):
        own = {n: a[d] for n, a in given.items() if n not in ("gates", "lengths")}
        state = given.get("hidden", nothing)[d], given.get("cell", nothing)[d]
        for t in reversed(range(steps)) if reverse else range(steps):
            runs = (t < lengths)[:, None]
            after = _CELLS[layer.cell](layer, x[t, :, d], state, own)
            state = np.where(runs, after[0], state[0]), np.where(runs, after[1], state[1])
            if "sequence" in layer.gives:
                result[t, d] = np.where(runs, after[0], 0)
        for name, array in zip(("hidden", "cell"), state, strict=True):
            if name in layer.gives:
                result[layer.row(name), d] = np.where((lengths > 0)[:, None], array, 0)
    return result


def _activate(layer: Recurrent, which: int, x: Array, *, clips: bool = True) -> Array:
    name, alpha, beta = layer.activations[which]
    if clips and layer.clip:
        x = np.clip(x, -layer.clip, layer.clip)
    return ACTIVATIONS[name].compute(x, alpha, beta)


def _products(x: Array, h: Array, weights: Array) -> list[Array]:
    """``x + h R``, gate by gate."""
    return list(np.moveaxis(x + (h @ weights).reshape(x.shape), 1, 0))


def _lstm(layer: Recurrent, x: Array, state: _State, own: Mapping[str, Array]) -> _State:
    h, c = state
    i, o, f, g = _products(x, h, own["weights"])

    def gate(x: Array, number: int, c: Array) -> Array:
        if "peepholes" in own:
            x = x + own["peepholes"].reshape(3, layer.hidden)[number] * c
        return _activate(layer, 0, x)

    i = gate(i, 0, c)
    f = 1 - i if layer.coupled else gate(f, 2, c)
    c = f * c + i * _activate(layer, 1, g)
    o = gate(o, 1, c)
    return o * _activate(layer, 2, c, clips=False), c


def _gru(layer: Recurrent, x: Array, state: _State, own: Mapping[str, Array]) -> _State:
    h, _ = state
    z, r, _ = (_activate(layer, 0, each) for each in _products(x, h, own["weights"]))
    weights, bias = own["weights"][:, 2 * layer.hidden :], own.get("bias", x.dtype.type(0))
    product = r * (h @ weights + bias) if layer.before else (r * h) @ weights
    new = _activate(layer, 1, x[:, 2] + product)
    return (1 - z) * new + z * h, h


def _rnn(layer: Recurrent, x: Array, state: _State, own: Mapping[str, Array]) -> _State:
    (new,) = _products(x, state[0], own["weights"])
    h = _activate(layer, 0, new)
    return h, h


_CELLS: Mapping[str, Callable[[Recurrent, Array, _State, Mapping[str, Array]], _State]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn": _rnn,
}

OPERATORS = (
    # gates, weights, and what ``operands`` names; cell, reverse, activations, clip, before,
    # coupled, gives: see ``recurrent_form``.
    Anchor("recurrent", None, _recurrent, _infer, count=_count),
)
