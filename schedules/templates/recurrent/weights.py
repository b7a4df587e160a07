"""The order in which a step reads its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...emit.prefetch import AHEAD
from ...emit.tile import LINE, vector_index
from ...ir.kernel import Array, Packing
from ...tir.indices import Expr, Index, ceildiv, modulo
from .form import Group, RecurrentLayer
from .places import Places, Step

Load = Callable[[Index, int, int], Expr]
"""Of K, a column of the register tile and lanes: a vector of weights."""


def pack_weights(array: Array, form: RecurrentLayer, width: int, gates: int) -> Array:
    """The weights of each direction, pass by pass as [block][group][K][gate][width] in groups of
    ``gates``; zeros at the end.

    The shape tells the width, the passes and the groups: equal ones are in the same order.
    """
    layer = form.layer
    blocks = ceildiv(layer.hidden, width)
    weights = array.reshape(layer.directions, layer.hidden, layer.gates, layer.hidden)
    weights = np.pad(weights, [(0, 0)] * 3 + [(0, blocks * width - layer.hidden)])
    weights = weights.reshape(*weights.shape[:3], blocks, width)
    panels = []
    for number in range(len(form.passes)):
        groups = [
            weights[:, :, list(group.gates)].transpose(0, 3, 1, 2, 4)
            for group in form.groups(number, gates)
        ]
        rows = [each.reshape(layer.directions, blocks, -1) for each in groups]
        panels.append(np.concatenate(rows, axis=2).reshape(layer.directions, -1))
    return np.concatenate(panels, axis=1).reshape(_packed_shape(form, width, gates))


def packings(form: RecurrentLayer, width: int, gates: int) -> dict[int, Packing]:
    """By the operand's number; none where the weights are computed at run time."""
    at = form.place("weights")
    if not form.workload.constants[at]:
        return {}
    shape = _packed_shape(form, width, gates)
    return {at: Packing(shape, lambda array: pack_weights(array, form, width, gates))}


def packed(
    places: Places,
    step: Step,
    groups: Sequence[Group],
    block: Index,
    width: int,
    *,
    asks: bool,
) -> Load:
    """From what ``pack_weights`` made, of groups of as many gates; ``asks`` for what comes a little
    later."""
    form, builder, hidden = places.form, places.builder, places.form.layer.hidden
    gates = len(groups[0].gates)
    first = builder.let(_first(form, step, block, width))
    later = builder.let(AHEAD * (1 - 2 * modulo(step.step, 2)))  # as ``step`` goes through them
    weights = places.operand("weights")

    def load(k: Index, column: int, lanes: int) -> Expr:
        number, inside = divmod(column, gates * width)
        at = first + groups[number].before * hidden * width + k * (gates * width) + inside
        if asks and inside % LINE == 0:
            builder.prefetch(weights, at + later, level=2)
        return builder.load(weights, vector_index(at, lanes))

    return load


def share_of_next(
    places: Places, step: Step, block: Index, width: int, number: Index, each: int
) -> Callable[[Index], None]:
    """What asks for shares of the block that comes after ``block``, of ``each`` elements: called by
    a number, for the share that is so many after ``number``. So it comes while this one is used."""
    builder = places.builder
    onward = 1 - 2 * modulo(step.step, 2)  # as ``step`` goes through them
    next_one = _first(places.form, step, block + onward, width)
    first = builder.let(next_one + number * each)

    def ask(further: Index) -> None:
        for place in range(0, each, LINE):
            builder.prefetch(places.operand("weights"), first + further * each + place, level=2)

    return ask


def as_they_are(
    places: Places, step: Step, groups: Sequence[Group], unit: Index, width: int
) -> Load:
    """From what is [D, H, G * H]."""
    gates = [gate for group in groups for gate in group.gates]
    form, builder, hidden = places.form, places.builder, places.form.layer.hidden
    row = form.layer.gates * hidden
    first = builder.let(step.rows.direction * (hidden * row) + unit)

    def load(k: Index, column: int, lanes: int) -> Expr:
        gate, offset = divmod(column, width)
        index = vector_index(first + k * row + gates[gate] * hidden + offset, lanes)
        return builder.load(places.operand("weights"), index)

    return load


def _packed_shape(form: RecurrentLayer, width: int, gates: int) -> tuple[int, ...]:
    passes, groups = len(form.passes), form.together // gates
    vectors = _size(form, width, passes) // width
    apart = (groups,) if groups > 1 else ()
    return (form.layer.directions, *(1,) * (passes - 1), *apart, vectors // groups, width)


def _first(form: RecurrentLayer, step: Step, block: Index, width: int) -> Index:
    """Element of a block of a pass."""
    before = step.rows.direction * _size(form, width, len(form.passes))
    of_all = len(form.passes[step.number]) * width
    return before + _size(form, width, step.number) + block * (form.layer.hidden * of_all)


def _size(form: RecurrentLayer, width: int, passes: int) -> int:
    """Elements of the first passes of one direction."""
    gates = sum(map(len, form.passes[:passes]))
    return ceildiv(form.layer.hidden, width) * form.layer.hidden * gates * width
