"""Softmax, log-softmax, layer and RMS normalisation: a row is reduced, then its elements finished.

Softmax subtracts the row's maximum first, so it never overflows. Layer normalisation takes the mean
and then the mean squared distance from it, which is exact where the one-pass formula cancels. RMS
normalisation (Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019) needs no mean. The
row stays in the first-level cache between the passes; what leads to the operator is computed once
and kept in the output's own row.

Knobs: ``grain``, elements in a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ... import ops
from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import FLOAT32
from ...ir.kernel import Kernel
from ...ir.space import Knob, Schedule, Space
from ...ir.workload import Node, Workload
from ...target.target import Target
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, tail
from ...tir.literals import constant
from ...tvm_late import tirx
from ..reduction.emit import combine, identity, position, reduce_row
from ..template import Template, finish_element, input_slots, loads, output_slot

NAME = "normalize"
VERSION = 1
_OVER_LAST_AXES = ("layer_norm", "rms_norm")  # as many as the scale has
GRAINS = (1024, 4096, 16384, 65536)


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 softmax and log-softmax over one axis, layer_norm and rms_norm over the last."""
    where = position(workload)
    if where is None:
        return None
    node = workload.nodes[where]
    if not isinstance(ops.of(node), ops.Softmax) and node.op not in _OVER_LAST_AXES:
        return None
    if node.out.element != FLOAT32 or workload.output.element != FLOAT32:
        return None
    wanted = node.out.size // (6 * target.threads)
    default = max((g for g in GRAINS if g <= wanted), default=GRAINS[0])
    return Space(NAME, VERSION, (Knob("grain", GRAINS, "elements in a chunk"),), {"grain": default})


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase; chunks are groups of rows."""
    return _Normalize(workload, target, schedule).build()


class _Normalize:
    """The operator over [outer, extent, inner]: ``inner`` is 1 where the axis is the last one."""

    def __init__(self, workload: Workload, target: Target, schedule: Schedule) -> None:
        where = position(workload)
        assert where is not None
        self.workload, self.schedule, self.lanes = workload, schedule, target.lanes(FLOAT32)
        self.node: Node = workload.nodes[where]
        self.anchor = len(workload.inputs) + where
        shape = self.node.out.shape
        rank = len(shape)
        if self.node.op in _OVER_LAST_AXES:
            axis, end = rank - len(workload.tensor(self.node.args[1]).shape), rank
        else:
            axis = self.node.attr("axis")
            end = axis + 1
        sizes = [
            int(np.prod(s, dtype=np.int64)) for s in (shape[:axis], shape[axis:end], shape[end:])
        ]
        self.outer, self.extent, self.inner = sizes
        self.plain = self.node.args[0] < len(workload.inputs)

    def build(self) -> Kernel:
        """The kernel."""
        none = (None,) * len(self.workload.inputs)
        slots = [*input_slots(self.workload, none), output_slot(self.workload)]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(self.workload, builder, loads(builder, self.workload))
        self.out = builder["out"]
        body = self._row if self.inner == 1 else self._plane
        group = max(1, int(self.schedule["grain"]) // (self.extent * self.inner))
        with builder.chunk_loop() as chunk:
            first = builder.bind(chunk * group)
            whole = self.outer % group == 0
            extent = group if whole else tirx.min(group, self.outer - first)
            with builder.loop(extent, "row", first) as row:
                body(builder.bind(row * (self.extent * self.inner)))
        chunks = ceildiv(self.outer, group)
        return Kernel(self.workload, self.schedule, (builder.finish(chunks),), none)

    def _input(self, flat: Index) -> Expr:
        """What the operator is applied to, at a flat index."""
        self.evaluator.forget()
        return self.evaluator.at(self.node.args[0], Point(self.node.out.shape, flat=flat))

    def _again(self, flat: Index) -> Expr:
        """The same once ``_input`` was stored in the output's row."""
        return self._input(flat) if self.plain else self.builder.load(self.out, flat)

    def _finish(self, flat: Index, value: Expr) -> None:
        """Store the element, with what follows the operator applied."""
        point = Point(self.node.out.shape, flat=flat)
        self.evaluator.forget()
        self.evaluator.sources[self.anchor] = lambda _: value
        self.builder.store(self.out, flat, finish_element(self.evaluator, point))

    def _reduce(self, op: str, value: Callable[[Index], Expr]) -> Expr:
        start, join = identity(op, "float32"), combine(op)
        return reduce_row(self.builder, self.extent, self.lanes, "float32", start, join, value)

    def _first_pass(self, op: str, base: Index, term: Callable[[Expr], Expr] = lambda x: x) -> Expr:
        """Reduce terms of the input; keep it in the output's row where it took computing."""

        def value(column: Index) -> Expr:
            x = self._input(base + column)
            if not self.plain:
                x = self.builder.bind(x)
                self.builder.store(self.out, base + column, x)
            return term(x)

        return self._reduce(op, value)

    def _row(self, base: Index) -> None:
        if self.node.op == "layer_norm":
            self._layer_norm(base)
        elif self.node.op == "rms_norm":
            self._rms_norm(base)
        else:
            self._softmax(base)

    def _softmax(self, base: Index) -> None:
        builder = self.builder
        largest = self._first_pass("max", base)
        keep = self.node.op == "softmax"

        def value(column: Index) -> Expr:
            e = mathfn.exp(builder.bind(self._again(base + column) - largest), builder.bind)
            if keep:
                e = builder.bind(e)
                builder.store(self.out, base + column, e)
            return e

        total = self._reduce("sum", value)
        if keep:
            scale = builder.bind(constant(1, "float32") / total)
            for column in builder.strips(self.extent, self.lanes):
                flat = base + column
                self._finish(flat, builder.load(self.out, flat) * scale)
        else:
            scale = builder.bind(mathfn.log(total, builder.bind))
            for column in builder.strips(self.extent, self.lanes):
                self._finish(base + column, self._again(base + column) - largest - scale)

    def _layer_norm(self, base: Index) -> None:
        builder = self.builder
        share = constant(1.0 / self.extent, "float32")
        mean = builder.bind(self._first_pass("sum", base) * share)

        def distance(column: Index) -> Expr:
            d = builder.bind(self._again(base + column) - mean)
            return d * d

        variance = self._reduce("sum", distance) * share
        scale = self._inverse_root(variance)
        for column in builder.strips(self.extent, self.lanes):
            x = self._again(base + column)
            weight, bias = self._parameters(column)
            self._finish(base + column, (x - mean) * scale * weight + bias)

    def _rms_norm(self, base: Index) -> None:
        builder = self.builder

        def square(x: Expr) -> Expr:
            x = builder.bind(x)
            return x * x

        total = self._first_pass("sum", base, square)
        scale = self._inverse_root(total * constant(1.0 / self.extent, "float32"))
        for column in builder.strips(self.extent, self.lanes):
            x = self._again(base + column)
            (weight,) = self._parameters(column)
            self._finish(base + column, x * scale * weight)

    def _inverse_root(self, mean: Expr) -> Expr:
        epsilon = constant(self.node.attr("epsilon"), "float32")
        return self.builder.bind(constant(1, "float32") / tirx.sqrt(mean + epsilon))

    def _parameters(self, column: Index) -> list[Expr]:
        """Scale and shift, where there is one."""
        self.evaluator.forget()
        return [
            self.evaluator.at(a, Point(self.workload.tensor(a).shape, flat=column))
            for a in self.node.args[1:]
        ]

    def _plane(self, base: Index) -> None:
        """Softmax over an axis that is not the last: vectors run along the last one."""
        full = self.inner // self.lanes
        with self.builder.loop(full, "strip") as i:
            if full:
                self._strip(base + i * self.lanes, self.lanes)
        for offset, width in tail(full * self.lanes, self.inner, self.lanes):
            self._strip(base + offset, width)

    def _strip(self, first: Index, width: int) -> None:
        """``width`` neighbouring columns."""
        builder = self.builder
        largest, total = builder.local(width), builder.local(width)
        for lane in range(width):
            builder.store(largest, lane, identity("max", "float32"))
            builder.store(total, lane, constant(0, "float32"))
        pick = combine("max")
        with self._down(first, width) as (flat, lane):
            x = builder.bind(self._input(flat))
            builder.store(self.out, flat, x)
            builder.store(largest, lane, pick(builder.load(largest, lane), x))
        keep = self.node.op == "softmax"
        with self._down(first, width) as (flat, lane):
            shifted = builder.bind(builder.load(self.out, flat) - builder.load(largest, lane))
            e = builder.bind(mathfn.exp(shifted, builder.bind))
            builder.store(self.out, flat, e if keep else shifted)
            builder.store(total, lane, builder.load(total, lane) + e)
        with self._down(first, width) as (flat, lane):
            value = builder.load(self.out, flat)
            sums = builder.load(total, lane)
            self._finish(flat, value / sums if keep else value - mathfn.log(sums, builder.bind))

    @contextmanager
    def _down(self, first: Index, width: int) -> Iterator[tuple[Index, Index]]:
        """Down the axis, one vector at a time: (flat index, lane)."""
        with self.builder.loop(self.extent, "a") as a, self.builder.vector(width) as lane:
            yield first + a * self.inner + lane, lane


TEMPLATE = Template(NAME, space, kernel)
