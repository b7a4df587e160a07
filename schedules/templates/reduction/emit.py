"""Reductions over any axes: sum, mean, product, maximum, minimum.

Where the last axis is kept, its vectors are the accumulators and the reduced axes are loops. Where
it is reduced, each row is summed in four vectors side by side, which are added up at its end.

Knobs: ``grain``, input elements in a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np

from ... import ops
from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import DTYPES, FLOAT32
from ...ir.kernel import Kernel
from ...ir.space import Knob, Schedule, Space
from ...ir.workload import Node, Tensor, Workload
from ...target.target import Target
from ...tir.compare import extreme
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, split_index, tail
from ...tir.literals import constant, storage
from ...tvm_late import tirx
from ..template import Template, input_slots, loads, output_slot, store_element

NAME = "reduction"
VERSION = 1
GRAINS = (4096, 16384, 65536, 262144)
Combine = Callable[[Expr, Expr], Expr]


def combine(op: str) -> Combine:
    """How two values are reduced to one; NaN wins in maximum and minimum, as in NumPy."""
    if op == "prod":
        return lambda a, b: a * b
    if op in ("sum", "mean"):
        return lambda a, b: a + b
    return partial(extreme, op)


def identity(op: str, dtype: str) -> Expr:
    """The value that changes nothing."""
    if op == "prod":
        return constant(1, dtype)
    if op in ("sum", "mean"):
        return constant(0, dtype)
    if DTYPES[dtype].is_float:
        return constant(-np.inf if op == "max" else np.inf, dtype)
    limits = np.iinfo(storage(dtype))
    return constant(int(limits.min if op == "max" else limits.max), dtype)


def reduce_row(
    builder: PhaseBuilder,
    extent: int,
    lanes: int,
    dtype: str,
    start: Expr,
    join: Combine,
    value: Callable[[Index], Expr],
    loops: Callable[[], ExitStack] = ExitStack,
) -> Expr:
    """``value(0) .. value(extent - 1)`` reduced to one scalar; ``loops`` repeats it, joined."""
    vectors = 4 if extent >= 4 * lanes else max(1, min(2, extent // lanes))
    width = min(lanes, 2 ** (extent.bit_length() - 1))
    sums = builder.local(vectors * width, storage(dtype))
    for i in range(vectors * width):
        builder.store(sums, i, start)
    step = vectors * width

    def add(slot: Index, term: Expr) -> None:
        builder.store(sums, slot, join(builder.load(sums, slot), builder.bind(term)))

    with loops():
        with builder.loop(extent // step, "block") as block:
            for v in range(vectors):
                with builder.vector(width) as lane:
                    add(v * width + lane, value(block * step + v * width + lane))
        for offset, narrow in tail(extent // step * step, extent, width):
            with builder.vector(narrow) as lane:
                add(lane, value(offset + lane))
    half = vectors * width // 2
    while half:
        for first in range(0, half, width):
            with builder.vector(min(half, width)) as lane:
                add(first + lane, builder.load(sums, first + half + lane))
        half //= 2
    return builder.bind(builder.load(sums, 0))


def position(workload: Workload) -> int | None:
    """Which node is the reduction, if what leads to it and follows it can be fused."""
    found = [i for i, n in enumerate(workload.nodes) if not ops.of(n).is_fusible]
    if len(found) != 1:
        return None
    out = workload.nodes[found[0]].out
    return found[0] if workload.output.shape == out.shape else None


def space(workload: Workload, target: Target) -> Space | None:
    """Fits one reduction with fusible nodes before and elementwise ones after."""
    where = position(workload)
    if where is None or not isinstance(ops.of(workload.nodes[where]), ops.Reduction):
        return None
    work = workload.tensor(workload.nodes[where].args[0]).size
    wanted = work // (6 * target.threads)
    default = max((g for g in GRAINS if g <= wanted), default=GRAINS[0])
    return Space(
        NAME, VERSION, (Knob("grain", GRAINS, "input elements in a chunk"),), {"grain": default}
    )


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase."""
    return _Reduction(workload, target, schedule).build()


class _Reduction:
    def __init__(self, workload: Workload, target: Target, schedule: Schedule) -> None:
        where = position(workload)
        assert where is not None
        self.workload, self.schedule, self.lanes = workload, schedule, target.lanes(FLOAT32)
        self.node: Node = workload.nodes[where]
        self.anchor = len(workload.inputs) + where
        self.source: Tensor = workload.tensor(self.node.args[0])
        self.axes: tuple[int, ...] = self.node.attr("axes")
        self.keepdims = bool(self.node.attr("keepdims"))
        self.dtype = self.node.out.dtype
        self.join = combine(self.node.op)
        self.start = identity(self.node.op, self.dtype)

    def build(self) -> Kernel:
        """The kernel."""
        none = (None,) * len(self.workload.inputs)
        slots = [*input_slots(self.workload, none), output_slot(self.workload)]
        self.builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(self.workload, self.builder, loads(self.builder, self.workload))
        last = len(self.source.shape) - 1
        chunks = self._rows() if last in self.axes or last < 0 else self._columns()
        return Kernel(self.workload, self.schedule, (self.builder.finish(chunks),), none)

    def _kept(self) -> list[int]:
        return [d for d in range(len(self.source.shape)) if d not in self.axes]

    def _count(self, dims: list[int] | tuple[int, ...]) -> int:
        return int(np.prod([self.source.shape[d] for d in dims], dtype=np.int64))

    def _reduced_loops(self, dims: list[int], coords: list[Index]) -> ExitStack:
        """Loops over the reduced dimensions, which set their coordinates."""
        stack = ExitStack()
        for d in dims:
            coords[d] = stack.enter_context(self.builder.loop(self.source.shape[d], f"r{d}"))
        self.evaluator.forget()
        return stack

    def _columns(self) -> int:
        """The last axis is kept: accumulators are vectors of it."""
        builder, shape = self.builder, self.source.shape
        outer = self._kept()[:-1]
        columns, per_column = shape[-1], self._count(self.axes)
        block = min(columns, max(self.lanes, _round(int(self.schedule["grain"]) // per_column, 64)))
        blocks = ceildiv(columns, block)
        with builder.chunk_loop() as chunk:
            coords: list[Index] = [0] * len(shape)
            outer_shape = [shape[d] for d in outer]
            row = divide(chunk, blocks)
            for d, c in zip(outer, split_index(row, outer_shape), strict=True):
                coords[d] = builder.bind(c)
            first = builder.bind(modulo(chunk, blocks) * block)
            full, rest = divmod(columns, block)
            if full and rest:
                with builder.when(first < full * block):
                    self._column_block(coords, first, block)
                with builder.when(first == full * block):
                    self._column_block(coords, full * block, rest)
            else:
                self._column_block(coords, first, block)
        return self._count(outer) * blocks

    def _column_block(self, coords: list[Index], first: Index, width: int) -> None:
        """Strips of up to four vectors."""
        step = 4 * self.lanes
        if width >= step:
            with self.builder.loop(width // step, "strip") as i:
                self._strip(
                    list(coords), first + i * step, [(v * self.lanes, self.lanes) for v in range(4)]
                )
        rest = tail(width // step * step, width, self.lanes)
        for begin in range(0, len(rest), 4):
            base = rest[begin][0]
            parts = [(offset - base, lanes) for offset, lanes in rest[begin : begin + 4]]
            self._strip(list(coords), first + base, parts)

    def _strip(self, coords: list[Index], first: Index, parts: list[tuple[int, int]]) -> None:
        builder, shape = self.builder, self.source.shape
        sums = builder.local(sum(w for _, w in parts), storage(self.dtype))
        for offset, width in parts:
            with builder.vector(width) as lane:
                builder.store(sums, offset + lane, self.start)
        with self._reduced_loops(list(self.axes), coords):
            for offset, width in parts:
                with builder.vector(width) as lane:
                    self.evaluator.forget()
                    point = Point(shape, (*coords[:-1], first + offset + lane))
                    value = self.evaluator.at(self.node.args[0], point)
                    old = builder.load(sums, offset + lane)
                    builder.store(sums, offset + lane, self.join(old, value))
        for offset, width in parts:
            with builder.vector(width) as lane:
                kept = [c for d, c in enumerate(coords[:-1]) if d not in self.axes]
                self._store((*kept, first + offset + lane), builder.load(sums, offset + lane))

    def _rows(self) -> int:
        """The last axis is reduced: every output is one row's total."""
        builder, shape = self.builder, self.source.shape
        kept = self._kept()
        rows, per_row = self._count(kept), self._count(self.axes)
        group = max(1, min(rows, int(self.schedule["grain"]) // max(1, per_row)))
        with builder.chunk_loop() as chunk:
            first = builder.bind(chunk * group)
            extent = group if rows % group == 0 else tirx.min(group, rows - first)
            with builder.loop(extent, "row", first) as row:
                coords: list[Index] = [0] * len(shape)
                for d, c in zip(kept, split_index(row, [shape[d] for d in kept]), strict=True):
                    coords[d] = builder.bind(c)
                total = self._row_total(coords)
                self._store(tuple(coords[d] for d in kept), total)
        return ceildiv(rows, group)

    def _row_total(self, coords: list[Index]) -> Expr:
        shape = self.source.shape

        def value(column: Index) -> Expr:
            self.evaluator.forget()
            point = Point(shape, (*coords[:-1], column) if shape else ())
            return self.evaluator.at(self.node.args[0], point)

        others = [d for d in self.axes if d != len(shape) - 1]
        return reduce_row(
            self.builder,
            shape[-1] if shape else 1,
            self.lanes,
            self.dtype,
            self.start,
            self.join,
            value,
            lambda: self._reduced_loops(others, coords),
        )

    def _store(self, kept: tuple[Index, ...], total: Expr) -> None:
        out = self.node.out.shape
        if self.keepdims:
            remaining = iter(kept)
            at = tuple(0 if d in self.axes else next(remaining) for d in range(len(out)))
        else:
            at = kept
        if self.node.op == "mean":
            total = self._share(total)
        point = Point(out, at)
        self.evaluator.forget()
        self.evaluator.sources[self.anchor] = lambda _: total
        store_element(self.evaluator, point)

    def _share(self, total: Expr) -> Expr:
        """The total divided by how many there were."""
        count = self._count(self.axes)
        if DTYPES[self.dtype].is_float:
            return total * constant(1.0 / count, self.dtype)
        return tirx.truncdiv(total, constant(count, self.dtype))


def _round(value: int, multiple: int) -> int:
    return max(multiple, value // multiple * multiple)


TEMPLATE = Template(NAME, space, kernel)
