"""The order in which a step reads its weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...emit.tile import vector_index
from ...ir.kernel import Array, Packing
from ...tir.indices import Expr, Index, ceildiv
from .form import RecurrentLayer
from .places import Places, Step

Load = Callable[[Index, int, int], Expr]
"""Of K, a column of the register tile and lanes: a vector of weights."""


def pack_weights(array: Array, form: RecurrentLayer, width: int) -> Array:
    """The weights of each direction, pass by pass as [block][K][gate][width]; zeros at the end.

    The shape tells the width and the passes: equal ones are in the same order.
    """
    layer = form.layer
    blocks = ceildiv(layer.hidden, width)
    weights = array.reshape(layer.directions, layer.hidden, layer.gates, layer.hidden)
    weights = np.pad(weights, [(0, 0)] * 3 + [(0, blocks * width - layer.hidden)])
    weights = weights.reshape(*weights.shape[:3], blocks, width)
    panels = (weights[:, :, list(gates)].transpose(0, 3, 1, 2, 4) for gates in form.passes)
    flat = np.concatenate([each.reshape(layer.directions, -1) for each in panels], axis=1)
    return flat.reshape(_packed_shape(form, width))


def packings(form: RecurrentLayer, width: int) -> dict[int, Packing]:
    """By the operand's number; none where the weights are computed at run time."""
    at = form.place("weights")
    if not form.workload.constants[at]:
        return {}
    return {at: Packing(_packed_shape(form, width), lambda array: pack_weights(array, form, width))}


def packed(places: Places, step: Step, block: Index, width: int) -> Load:
    """From what ``pack_weights`` made."""
    form, builder = places.form, places.builder
    wide = len(form.passes[step.number]) * width
    before = step.rows.direction * _size(form, width, len(form.passes))
    before = before + _size(form, width, step.number)
    first = builder.let(before + block * (form.layer.hidden * wide))

    def load(k: Index, column: int, lanes: int) -> Expr:
        index = vector_index(first + k * wide + column, lanes)
        return builder.load(places.operand("weights"), index)

    return load


def as_they_are(places: Places, step: Step, unit: Index, width: int) -> Load:
    """From what is [D, H, G * H]."""
    form, builder = places.form, places.builder
    gates, hidden = form.passes[step.number], form.layer.hidden
    row = form.layer.gates * hidden
    first = builder.let(step.rows.direction * (hidden * row) + unit)

    def load(k: Index, column: int, lanes: int) -> Expr:
        gate, offset = divmod(column, width)
        index = vector_index(first + k * row + gates[gate] * hidden + offset, lanes)
        return builder.load(places.operand("weights"), index)

    return load


def _packed_shape(form: RecurrentLayer, width: int) -> tuple[int, ...]:
    passes = len(form.passes)
    vectors = _size(form, width, passes) // width
    return (form.layer.directions, *(1,) * (passes - 1), vectors, width)


def _size(form: RecurrentLayer, width: int, passes: int) -> int:
    """Elements of the first passes of one direction."""
    gates = sum(map(len, form.passes[:passes]))
    return ceildiv(form.layer.hidden, width) * form.layer.hidden * gates * width
