"""The places of the first elements of each row, in order; of equals the lower place comes first.

A chunk is some rows, each of which is sorted by itself in the scratch, in linear time: a list that
is kept in order is a good choice where few are wanted. Elements are compared by their keys
(``tir.order``).

Knobs: ``method`` "insert" keeps a list of the best so far in order, into which few elements of a
row come; "lanes" has such lists of several rows in registers, through which all elements go;
"reservoir" holds some more than are wanted, and chooses of them now and then; "digits" finds the
key of the last that is wanted, by binary digits from the highest, lists what comes before it, and
puts the list in order.
``grain``: input elements in a chunk.
"""

from __future__ import annotations

from ...ir.size import at_least
from ...tir.indices import ceildiv, extent
from ...tir.order import key_dtype
from ..form import Emitted
from ..radix import Digits, Scratch
from ..slots import phase_builder
from . import by_digits, by_insertion, by_lanes, by_reservoir
from .form import Knobs, Sort
from .row import Row


def kernel(form: Sort, knobs: Knobs) -> Emitted:
    """One phase."""
    outer, length, inner = form.sizes
    rows, wanted = outer * inner, form.wanted
    keys = key_dtype(form.workload.inputs[0].dtype)
    if knobs.method == "lanes":
        return _by_lanes(form, knobs)
    group = at_least(knobs.grain // at_least(length, 1), 1)
    scratch, digits = Scratch(), Digits(keys)
    if knobs.method == "insert":
        scratch.add_entries("best", wanted, keys)
    elif knobs.method == "reservoir":
        by_reservoir.reserve(scratch, digits, wanted)
    else:
        by_digits.reserve(scratch, digits, length, wanted)
    builder = phase_builder(form, {}, scratch.slots)
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * group)
        with builder.loop(extent(first, group, rows), "row", first) as number:
            row = Row(builder, form, number)
            if knobs.method == "insert":
                by_insertion.by_insertion(row)
            elif knobs.method == "reservoir":
                by_reservoir.by_reservoir(row, digits)
            else:
                by_digits.by_digits(row, digits)
    return Emitted((builder.finish(ceildiv(rows, group)),), scratch=scratch.size)


def _by_lanes(form: Sort, knobs: Knobs) -> Emitted:
    outer, length, inner = form.sizes
    blocks = ceildiv(inner, form.together)
    number = ceildiv(outer * inner, form.together) if form.goes_on else outer * blocks
    group = at_least(knobs.grain // at_least(length * form.together, 1), 1)
    scratch = Scratch()
    by_lanes.reserve(scratch, form)
    builder = phase_builder(form, {}, scratch.slots)
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * group)
        with builder.loop(extent(first, group, number), "block", first) as block:
            by_lanes.by_lanes(builder, form, block, blocks)
    return Emitted((builder.finish(ceildiv(number, group)),), scratch=scratch.size)
