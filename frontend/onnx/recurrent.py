"""ONNX's recurrent layers: LSTM, GRU and RNN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ops.activations import ACTIVATIONS
from luthier.schedules.ops.recurrent_form import CELLS, RESULTS, Use

from ..composites import recurrent
from ..composites.math import filled
from ..composites.recurrent import Layer
from .node import OnnxNode, Operator

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_ACTIVATIONS = {
    "lstm": ("sigmoid", "tanh", "tanh"),
    "gru": ("sigmoid", "tanh"),
    "rnn": ("tanh",),
}
# With a batch first: the order of the dimensions of each result that the standard wants.
_BATCH_FIRST = {"sequence": (2, 0, 1, 3), "hidden": (1, 0, 2), "cell": (1, 0, 2)}


def _recurrent(cell: str, node: OnnxNode) -> Sequence[int]:
    t, batch_first = node.t, bool(node.attr("layout", 0))
    names = RESULTS if cell == "lstm" else RESULTS[:2]
    layer = _layer(node, cell, batch_first)
    wanted = [n for n, is_read in zip(names, node.wanted, strict=False) if is_read]
    types = {name: recurrent.type_of(t, layer, name) for name in names}
    results = {name: filled(t, 0.0, tensor) for name, tensor in types.items()}
    if wanted and t.type(layer.x).size:  # of no step all is zero
        results |= recurrent.results(t, layer, wanted)
    if batch_first:
        results = {n: t.transpose(v, _BATCH_FIRST[n]) for n, v in results.items()}
    return list(results.values())


def _layer(node: OnnxNode, cell: str, batch_first: bool) -> Layer:
    """Checked: every operand has the type and shape that goes with the others."""
    t, x, (w, r) = node.t, node.x, (node.given(1), node.given(2))
    if node.rank != 3:
        raise ModelError(f"{node.label}: its input has {node.rank} dimensions, not 3")
    direction = node.attr("direction", "forward")
    if direction not in _DIRECTIONS:
        raise ModelError(f"{node.label}: there is no direction '{direction!s:.40}'")
    reverse, gates = _DIRECTIONS[direction], CELLS[cell].gates
    h, c = node.input(5), node.input(6) if cell == "lstm" else None
    if batch_first:
        x = t.transpose(x, (1, 0, 2))
        h, c = (
            v if v is None or len(t.shape(v)) != 3 else t.transpose(v, (1, 0, 2)) for v in (h, c)
        )
    (steps, batch, inputs), count = t.shape(x), len(reverse)
    hidden = t.shape(r)[-1] if t.shape(r) else 0
    p = node.input(7) if cell == "lstm" else None
    state = (count, batch, hidden)
    shapes = {
        "weights": (w, (count, gates * hidden, inputs)),
        "recurrent weights": (r, (count, gates * hidden, hidden)),
        "biases": (node.input(3), (count, 2 * gates * hidden)),
        "initial state": (h, state),
        "initial cell state": (c, state),
        "peepholes": (p, (count, 3 * hidden)),
    }
    for what, (value, shape) in shapes.items():
        if value is not None:
            _check(node, what, value, shape, t.dtype(x))
    if int(node.attr("hidden_size", hidden)) != hidden:
        said = node.attr("hidden_size", hidden)
        raise ModelError(f"{node.label}: its hidden_size is {said}, and its weights have {hidden}")
    clip = float(node.attr("clip", 0.0))
    if "clip" in node.attrs and not (0 < clip < math.inf):
        raise ModelError(f"{node.label}: its clip is {clip}, and not a number above 0")
    return Layer(
        cell,
        reverse,
        _activations(node, cell, count),
        x,
        w,
        r,
        node.input(3),
        None if _is_nothing(node, h) else h,
        None if _is_nothing(node, c) else c,
        p,
        _lengths(node, steps, batch),
        clip,
        before=cell == "gru" and bool(node.attr("linear_before_reset", 0)),
        coupled=cell == "lstm" and bool(node.attr("input_forget", 0)),
    )


def _is_nothing(node: OnnxNode, state: int | None) -> bool:
    """Whether a state is what there is where none is given."""
    known = None if state is None else node.t.known(state)
    return known is not None and not known.any() and not np.signbit(known).any()


def _check(node: OnnxNode, what: str, value: int, shape: tuple[int, ...], dtype: str) -> None:
    found = node.t.type(value)
    if found.shape != shape or found.dtype != dtype:
        raise ModelError(
            f"{node.label}: its {what} are {found}, and {dtype}{list(shape)} go with the others"
        )


def _lengths(node: OnnxNode, steps: int, batch: int) -> int | None:
    """None where all sequences have all steps."""
    value = node.input(4)
    if value is None:
        return None
    _check(node, "lengths of sequences", value, (batch,), "int32")
    node.check_lengths(value, steps)
    known = node.t.known(value)
    return None if known is not None and np.all(known == steps) else value


def _activations(node: OnnxNode, cell: str, directions: int) -> tuple[tuple[Use, ...], ...]:
    """Those of each direction; alphas and betas are for those that take one, in order."""
    defaults = _ACTIVATIONS[cell]
    given = node.attrs.get("activations", ())
    names = [_text(name).lower() for name in given] or [*defaults] * directions
    if len(names) != len(defaults) * directions:
        raise ModelError(
            f"{node.label}: it names {len(names)} activations, and needs "
            f"{len(defaults) * directions}"
        )
    alphas, betas = (node.attrs.get(f"activation_{each}", ()) for each in ("alpha", "beta"))
    uses = uses_of(names, alphas, betas, node.label)
    every = len(defaults)
    return tuple(tuple(uses[d * every : (d + 1) * every]) for d in range(directions))


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def uses_of(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], label: str
) -> list[Use]:
    """Activations by their names in lower case; alphas and betas are for those that take one.

    Raises UnsupportedOperator for a name, and ModelError for a number, that is none.
    """
    first, second = iter(alphas), iter(betas)
    found = []
    for name in names:
        if name not in ACTIVATIONS:
            raise UnsupportedOperator(f"{label}: the activation '{name:.40}' is not supported")
        known = ACTIVATIONS[name]
        alpha = 0.0 if known.alpha is None else float(next(first, known.alpha))
        beta = 0.0 if known.beta is None else float(next(second, known.beta))
        if not (math.isfinite(alpha) and math.isfinite(beta)):
            raise ModelError(f"{label}: the numbers of its activation '{name}' are not finite")
        found.append(Use(name, alpha, beta))
    return found


OPERATORS: dict[str, Operator] = {
    name: Operator(partial(_recurrent, name.lower()), in_steps=True, of_floats=True)
    for name in ("LSTM", "GRU", "RNN")
}
