"""Transposition with what is elementwise around it, where the last axis moves.

Read along the output the source would be gathered one element at a time. So a tile is evaluated in
vectors along the axis that is contiguous in the source, kept in registers, and stored along the
last axis of the output.

Knobs: ``lanes`` (width of the vectors that are read), ``columns`` (how many of them make a tile),
``grain`` (output elements in a chunk).
"""

from __future__ import annotations

import math

from ... import ops
from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import FLOAT32
from ...ir.kernel import Kernel
from ...ir.space import Knob, Schedule, Space
from ...ir.workload import Node, Workload
from ...target.target import Target
from ...tir.indices import Index, ceildiv, divide, modulo, split_index, tail
from ...tir.literals import storage
from ...tvm_late import tirx
from ..template import Template, finish_element, input_slots, loads, output_slot

NAME = "transpose"
VERSION = 1
GRAINS = (1024, 4096, 16384, 65536)


def space(workload: Workload, target: Target) -> Space | None:
    """Fits one transposition that moves the last axis, and elementwise nodes."""
    moved = _moved_axis(workload)
    if moved is None:
        return None
    shape = workload.output.shape
    lanes = tuple(n for n in (4, 8, 16) if n <= min(shape[moved], target.lanes(FLOAT32))) or (1,)
    columns = tuple(n for n in (1, 2, 4, 8, 16) if n < 2 * shape[-1])
    wanted = workload.output.size // (6 * target.threads)
    knobs = (
        Knob("lanes", lanes, "elements read at once, along the source's last axis"),
        Knob("columns", columns, "reads in a tile, along the output's last axis"),
        Knob("grain", GRAINS, "output elements in a chunk"),
    )
    default = {
        "lanes": lanes[-1],
        "columns": max(c for c in columns if c <= 4),
        "grain": max((g for g in GRAINS if g <= wanted), default=GRAINS[0]),
    }
    return Space(NAME, VERSION, knobs, default)


def _moved_axis(workload: Workload) -> int | None:
    """The output's axis that is the transposition's last one, if it is not the last there too."""
    moves = [node for node in workload.nodes if not ops.of(node).is_elementwise]
    if len(moves) != 1 or moves[0].op != "transpose":
        return None
    node = moves[0]
    shape = workload.output.shape
    if node.out.shape != shape or shape[-1] == 1 or not _is_full(workload, node):
        return None
    moved = node.attr("axes").index(len(shape) - 1)
    return moved if moved != len(shape) - 1 and shape[moved] > 1 else None


def _is_full(workload: Workload, node: Node) -> bool:
    """Whether what is transposed is a whole input, or elementwise nodes of that shape."""
    return workload.tensor(node.args[0]).size == node.out.size


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase; chunks are groups of rows, which run over all axes but the two of the tile."""
    return _Transpose(workload, schedule).build()


class _Transpose:
    def __init__(self, workload: Workload, schedule: Schedule) -> None:
        moved = _moved_axis(workload)
        assert moved is not None
        self.workload, self.schedule, self.moved = workload, schedule, moved
        self.shape = workload.output.shape
        self.last = len(self.shape) - 1
        self.lanes, self.columns = int(schedule["lanes"]), int(schedule["columns"])
        self.others = [d for d in range(self.last) if d != moved]

    def build(self) -> Kernel:
        """The kernel."""
        none = (None,) * len(self.workload.inputs)
        slots = [*input_slots(self.workload, none), output_slot(self.workload)]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(self.workload, builder, loads(builder, self.workload))
        extents = [self.shape[d] for d in self.others]
        strips = ceildiv(self.shape[self.moved], self.lanes)
        rows = math.prod(extents) * strips
        group = max(1, int(self.schedule["grain"]) // (self.lanes * self.shape[-1]))
        with builder.chunk_loop() as chunk:
            first = builder.bind(chunk * group)
            extent = group if rows % group == 0 else tirx.min(group, rows - first)
            with builder.loop(extent, "row", first) as row:
                coords: list[Index] = [0] * len(self.shape)
                split = split_index(divide(row, strips), extents)
                for d, c in zip(self.others, split, strict=True):
                    coords[d] = builder.bind(c)
                self._strip(coords, builder.bind(modulo(row, strips)))
        return Kernel(self.workload, self.schedule, (builder.finish(ceildiv(rows, group)),), none)

    def _strip(self, coords: list[Index], strip: Index) -> None:
        """``lanes`` neighbours along the moved axis; the last strip may have fewer."""
        full, rest = divmod(self.shape[self.moved], self.lanes)
        if not rest:
            self._tiles(coords, strip * self.lanes, self.lanes)
            return
        with self.builder.when(strip < full):
            self._tiles(coords, strip * self.lanes, self.lanes)
        with self.builder.when(strip == full):
            for offset, width in tail(0, rest, self.lanes):
                self._tiles(coords, full * self.lanes + offset, width)

    def _tiles(self, coords: list[Index], first: Index, lanes: int) -> None:
        """Tiles side by side along the last axis."""
        full, rest = divmod(self.shape[-1], self.columns)
        if full:
            with self.builder.loop(full, "tile") as tile:
                self._tile(coords, first, lanes, tile * self.columns, self.columns)
        for offset, width in tail(full * self.columns, full * self.columns + rest, self.columns):
            self._tile(coords, first, lanes, offset, width)

    def _tile(
        self, coords: list[Index], first: Index, lanes: int, column: Index, columns: int
    ) -> None:
        builder = self.builder
        local = builder.local(columns * lanes, storage(self.workload.output.dtype))
        for c in range(columns):
            with builder.vector(lanes) as lane:
                at = list(coords)
                at[self.moved], at[self.last] = first + lane, column + c
                self.evaluator.forget()
                point = Point(self.shape, tuple(at))
                builder.store(local, c * lanes + lane, finish_element(self.evaluator, point))
        for lane in range(lanes):
            with builder.vector(columns) as c:
                at = list(coords)
                at[self.moved], at[self.last] = first + lane, column + c
                value = builder.load(local, c * lanes + lane)
                place = Point(self.shape, tuple(at)).position(self.workload.output.pitch)
                builder.store(builder["out"], place, value)


TEMPLATE = Template(NAME, space, kernel)
