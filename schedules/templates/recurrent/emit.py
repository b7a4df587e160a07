"""Recurrent layers: one kernel runs a whole sequence.

The products of the input are another kernel's, for all steps at once. What is left of a step is a
product of h with weights that are packed as [block of units][group of gates][K][gate][units]: the
cell's arithmetic follows while the sums of a block are in registers, or near. Rows of the batch
share each vector of weights: where these come from beyond L1, more rows in a register tile are
worth more than all gates, and the sums of other gates wait in memory. h lies in two places in
turns, since a step reads all of it. Every other step goes through the weights backwards: then a
cache that does not hold all of them still serves those that it holds.

A chunk is some rows of the batch in one direction, with all their steps; or one of several that
share the units of each step (``meeting``), where the weights are too many for one thread's cache.

Knobs: ``rows``, ``vectors``, ``gates`` (the register tile), ``unroll`` (steps of K written out),
``batch`` (rows in a chunk), ``parts`` (chunks that share a step).
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder, Slot
from ...emit.tile import splat, vector_index
from ...ir.kernel import Phase
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tvm_late import tirx
from ..form import Emitted
from ..slots import phase_builder
from .form import Knobs, RecurrentLayer
from .meeting import Meeting, counters
from .places import Places, Rows, Step
from .step import Steps
from .weights import packings


def kernel(form: RecurrentLayer, knobs: Knobs) -> Emitted:
    """One phase, after one that prepares the state where chunks share it."""
    return _Layer(form, knobs).build()


class _Layer:
    def __init__(self, form: RecurrentLayer, knobs: Knobs) -> None:
        self.form, self.knobs, self.layer = form, knobs, form.layer
        layer, self.width = form.layer, knobs.vectors * form.lanes
        self.packings = packings(form, self.width, knobs.gates)
        self.blocks = ceildiv(layer.hidden, self.width)
        self.each = ceildiv(self.blocks, knobs.parts)  # blocks of a part
        self.chunks_of_rows = ceildiv(layer.batch, knobs.batch)
        self.groups = layer.directions * self.chunks_of_rows

    def build(self) -> Emitted:
        """The kernel."""
        phases = [self._prepared()] if self.knobs.parts > 1 else []
        phases.append(self._sequences())
        return Emitted(tuple(phases), self.packings, tuple(s.tensor.nbytes for s in self.slots))

    def _begin(self) -> PhaseBuilder:
        first, parts = len(self.form.workload.inputs), self.knobs.parts
        state = Tensor((self.form.state_size,), self.layer.dtype)
        self.slots = [Slot(first, "state", state)]
        if parts > 1:
            turns = Tensor((self.groups * counters(parts),), "int32")
            self.slots.append(Slot(first + 1, "turns", turns))
        self.builder = phase_builder(self.form, self.packings, self.slots, temps=len(self.slots))
        self.places = Places(self.builder, self.form)
        self.steps = Steps(self.places, self.form, self.knobs, bool(self.packings))
        return self.builder

    def _prepared(self) -> Phase:
        """The state before the first step, and nobody's turn."""
        builder = self._begin()
        with builder.chunk_loop() as group:
            self._load_state(self._rows(group))
            size = counters(self.knobs.parts)
            with builder.loop(size, "counter") as i:
                builder.store(builder["turns"], group * size + i, tirx.const(0, "int32"))
        return builder.finish(self.groups)

    def _sequences(self) -> Phase:
        builder, parts = self._begin(), self.knobs.parts
        with builder.chunk_loop() as chunk:
            group = builder.let(divide(chunk, parts))
            rows = self._rows(group)
            if parts == 1:
                self._load_state(rows)
                with builder.loop(self.layer.steps, "step") as step:
                    for each in self._passes(rows, step):
                        self.steps.blocks(each, 0, self.blocks)
                self._store_state(rows, 0, self.blocks)
            else:
                part, first = builder.let(modulo(chunk, parts)), group * counters(parts)
                first = builder.let(first)
                self._shared(rows, Meeting(builder, builder["turns"], first, part, parts))
                self._store_state(rows, *self._own(part))
        return builder.finish(self.groups * parts)

    def _shared(self, rows: Rows, meeting: Meeting) -> None:
        """From the step on where the others are."""
        builder, passes = self.builder, len(self.form.passes)
        meeting.begin()
        done = builder.let(divide(meeting.rounds_done(), passes))
        with builder.loop(self.layer.steps - done, "step", done) as step:
            for each in self._passes(rows, step):
                with meeting.round(step * passes + each.number) as part:
                    self.steps.blocks(each, *self._own(part))

    def _rows(self, group: Index) -> Rows:
        builder, batch, both = self.builder, self.knobs.batch, self.layer.directions == 2
        if self.chunks_of_rows == 1:
            return Rows(group if both else 0, 0, self.layer.batch)
        first = builder.let(modulo(group, self.chunks_of_rows) * batch)
        direction = builder.let(divide(group, self.chunks_of_rows)) if both else 0
        return Rows(direction, first, builder.let(extent(first, batch, self.layer.batch)))

    def _own(self, part: Index) -> tuple[Index, Index]:
        """First block and number of blocks of a part; none where there are fewer."""
        first = self.builder.let(part * self.each)
        if self.blocks == self.each * self.knobs.parts:
            return first, self.each
        left = tirx.max(tirx.min(self.each, self.blocks - first), 0)
        return first, self.builder.let(left)

    def _passes(self, rows: Rows, step: Index) -> list[Step]:
        """Of one step, whose time is counted from the end in the reverse direction."""
        last, time, onward = self.layer.steps - 1, step, 1
        if self.layer.reverse == (True,):
            time, onward = self.builder.let(last - step), -1
        elif len(self.layer.reverse) == 2:
            time = self.builder.let(step + rows.direction * (last - 2 * step))
            onward = 1 - 2 * rows.direction
        passes = range(len(self.form.passes))
        return [Step(rows, number, step, time, onward) for number in passes]

    def _load_state(self, rows: Rows) -> None:
        """What is given, or zeros."""
        builder, layer, planes = self.builder, self.layer, self.form.planes
        to = {"hidden": 0, **{name: plane for name, plane in planes.items() if name == "cell"}}
        with builder.loop(rows.count, "row") as row:
            initial = builder.let(self.places.initial(rows, row))
            for name, plane in to.items():
                at = builder.let(self.places.state(rows, row, plane))
                for unit in builder.strips(layer.hidden, self.form.lanes):
                    value = tirx.const(0.0, layer.dtype)
                    if name in layer.operands:
                        value = builder.load(self.places.operand(name), initial + unit)
                    builder.store(builder["state"], at + unit, value)

    def _store_state(self, rows: Rows, first: Index, count: Index) -> None:
        """What is given of the state after the last step, of some blocks of units."""
        builder, layer, places = self.builder, self.layer, self.places
        planes = {"hidden": modulo(layer.steps, 2), **self.form.planes}
        given = [name for name in layer.gives if name != "sequence"]
        if not given:
            return
        with builder.loop(rows.count, "row") as row, builder.loop(count, "block", first) as block:
            ran: Expr = None
            if "lengths" in layer.operands:
                length = builder.load(places.operand("lengths"), rows.first + row)
                ran = builder.let(length) > 0
            for unit, units in builder.block(block, self.width, layer.hidden):
                for name in given:
                    at = builder.let(places.state(rows, row, planes[name]) + unit)
                    to = builder.let(places.out(rows, row, layer.row(name)) + unit)
                    for offset, wide in tail(0, units, self.form.lanes):
                        value = builder.load(builder["state"], vector_index(at + offset, wide))
                        if ran is not None:
                            nothing = splat(tirx.const(0.0, layer.dtype), wide)
                            value = tirx.Select(splat(ran, wide), value, nothing)
                        builder.store(builder["out"], vector_index(to + offset, wide), value)
