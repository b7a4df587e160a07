"""Which workloads are convolutions of whole numbers of 8 or 16 bits, and their kernels' knobs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ...emit.dot_product import DotProduct
from ...emit.dot_products import (
    Layout,
    instruction,
    layouts,
    multiplies,
    packing,
)
from ...emit.whole_tiles import tile_layouts, tile_product
from ...ir.dtype import INT32, DType
from ...ir.size import Size, at_least, at_most
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import OF_WHOLE, around
from ..form import Form
from ..fused import leads
from ..loops import Loops, chosen
from ..powers import powers
from ..window import Axis, axes, balanced_width

# Beside a multiply-add of as many numbers: to bring them into scratch, and from beyond L2.
_STAGED, _FETCHED = 1.2, 2.0
_FOUR, _OF_FOURS = 4, 0.5  # a multiply-add where an instruction adds up so many, not two
_FROM_MEMORY = 10.0  # a byte of weights, of which a multiply-add is two
_TAIL = 0.2  # of a chunk, by which a thread ends later than another


class Knobs(NamedTuple):
    """See ``IntegerConv.choices``."""

    tile_w: int
    vectors: int
    rows: int
    panels: int
    order: Literal["rows", "panels"]
    weights: Layout


@dataclass(frozen=True)
class IntegerConv(Form[Knobs]):
    """A convolution of narrow whole numbers with sums in int32, and an elementwise epilogue.

    The reduction is cut into ``runs`` of neighbours in memory.
    """

    rows: Axis
    columns: Axis

    name = "conv_integer"
    version = 4
    knobs_type = Knobs
    follows = True
    anchors = around(conv2d_integer=OF_WHOLE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerConv | None:
        """Any kernel, stride, dilation and groups; weights are constant."""
        if not leads(workload, "conv2d_integer"):
            return None
        source, weights = workload.nodes[0].args
        types = [workload.tensor(x).element for x in (source, weights)]
        if not workload.constants[weights] or not multiplies(*types):
            return None
        _, high, wide, _ = workload.tensor(weights).shape
        window = axes(workload.nodes[0], workload.tensor(source), (high, wide))
        return cls(workload, target, *window)

    @cached_property
    def types(self) -> tuple[DType, DType]:
        """Of images and weights."""
        a, b = (self.workload.tensor(x).element for x in self.node.args)
        return a, b

    @cached_property
    def lanes(self) -> int:
        """Sums in a vector."""
        return self.target.lanes(INT32)

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """How weights may lie."""
        found = layouts(*self.types, self.target)
        return *tile_layouts(*self.types, self.target), *found

    def micro(self, layout: Layout) -> DotProduct:
        """What multiplies where weights lie so."""
        if layout == "tiles":
            return self.packing(layout)
        return instruction(*self.types, self.target, layout)

    def packing(self, layout: Layout) -> DotProduct:
        """The same of what is packed."""
        if layout == "tiles":
            return tile_product(*self.types, self.runs[1])
        return packing(*self.types, self.target, layout)

    @property
    def groups(self) -> int:
        """Of channels."""
        return int(self.node.attr("groups"))

    @property
    def per_group(self) -> int:
        """Output channels of a group."""
        return self.node.out.shape[3] // self.groups

    @property
    def channels(self) -> int:
        """Of the images, in all groups."""
        return self.workload.tensor(self.node.args[0]).shape[3]

    @property
    def runs(self) -> tuple[int, int]:
        """How many runs a row of the window is, and elements of each: neighbouring columns are one
        where nothing lies between them."""
        per = self.channels // self.groups
        if self.groups == 1 and self.columns.dilation == 1:
            return 1, self.columns.kernel * per
        return self.columns.kernel, per

    def depth(self, layout: Layout) -> int:
        """Steps of the reduction."""
        (count, run), micro = self.runs, self.micro(layout)
        return self.rows.kernel * count * micro.blocks(run) // micro.groups

    def multiplied(self, layout: Layout) -> int:
        """Numbers that are multiplied for an output, those included that fill the last steps."""
        micro = self.micro(layout)
        return self.depth(layout) * micro.groups * micro.steps

    @cached_property
    def group_vectors(self) -> int:
        """Vectors that cover the output channels of a group."""
        return ceildiv(self.per_group, self.lanes)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4, 6) if v <= self.group_vectors)

    def in_line(self, layout: Layout) -> bool:
        """Whether tiles take windows of one row of outputs after those of another: all of them lie
        one pixel apart."""
        rows, columns = self.rows, self.columns
        down, across = 1 in (rows.stride, rows.kernel), columns.stride == 1 or columns.picks
        return layout == "tiles" and down and across

    def widest(self, layout: Layout) -> int:
        """Neighbouring outputs of a tile at most."""
        micro, out = self.micro(layout), self.columns.out
        if self.in_line(layout):
            out *= self.rows.out
        return min(out, max(micro.most_rows(1, self.target), self.target.vector_registers - 3))

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, the blocks of a chunk, their order, how packed numbers lie."""
        most = max(map(self.widest, self.layouts))
        panels = powers(self.groups * self.group_vectors, 12)
        return (
            Knob("tile_w", tuple(range(1, most + 1)), "neighbouring outputs in the register tile"),
            Knob("vectors", self.vectors, "vectors of output channels in the register tile"),
            Knob("rows", powers(self.rows.out, 12), "output rows in a chunk"),
            Knob("panels", panels, "weight panels in a chunk, of all groups"),
            Knob("order", ("rows", "panels"), "the outer loop inside a chunk"),
            Knob("weights", self.layouts, "how packed numbers lie"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and blocks of panels are not twice what there is."""
        panels = self.groups * ceildiv(self.group_vectors, knobs.vectors)
        return (
            self.micro(knobs.weights).fits(knobs.tile_w, knobs.vectors, self.target)
            and knobs.tile_w <= self.widest(knobs.weights)
            and knobs.panels < 2 * panels
            and (knobs.weights != "widened" or knobs.order == "panels")
        )

    def default(self) -> Knobs:
        """What takes fewest cycles; images and weights are not brought near too often, and all
        threads have enough chunks."""
        layout, tile_w, count = self._chosen()
        micro, threads, half = self.micro(layout), self.target.threads, self.target.l2 // 2
        panels = self.groups * ceildiv(self.group_vectors, count)
        panel, width = self._panel_bytes(count, layout), count * self.lanes
        again = micro.pace * (_STAGED * (layout == "widened") + _FETCHED * (panel * panels > half))
        out_h, out_w, images = self.rows.out, self.columns.out, self.node.out.shape[0]

        def cost(blocks: tuple[int, int]) -> tuple[bool, float]:
            rows, some = min(blocks[0], out_h), min(blocks[1], panels)
            chunks = images * ceildiv(out_h, rows) * ceildiv(panels, some)
            uneven = ceildiv(chunks, threads) * threads / chunks
            multiplied = rows * out_w * some * width * self.multiplied(layout)
            brought = self.lines(rows) * self.line_bytes(layout) // micro.a.bytes
            near = (self.of_rows(layout, tile_w, rows, float) + again) / (rows * out_w)
            near += (micro.pace * _STAGED * brought + micro.ended) / multiplied
            large = rows > 1 and self.lines(rows) * self.line_bytes(layout) > half
            return large, uneven * near + _TAIL * threads / chunks

        blocks = itertools.product(powers(out_h, 12), powers(panels, 12))
        rows, some = min(blocks, key=cost)
        return Knobs(tile_w, count, rows, some, "panels", layout)

    def _chosen(self) -> tuple[Layout, int, int]:
        """How weights lie, outputs and vectors of the register tile."""
        usual = self.layouts[: 1 + (self.layouts[0] == "tiles")]
        named: list[Layout] = ["widened" if layout == "bytes" else layout for layout in usual]
        found = [(layout, *self._tile(layout)) for layout in named]
        return min(found, key=lambda each: self._taken(*each))

    def _tile(self, layout: Layout) -> tuple[int, int]:
        """Outputs and vectors of the register tile."""
        micro = self.micro(layout)

        def width(count: int) -> int:
            most = micro.most_rows(count, self.target)
            if self.in_line(layout):
                return balanced_width(self._begun(self.rows.out), min(most, self.widest(layout)))
            return balanced_width(self.columns.out, most)

        def cost(count: int) -> tuple[float, int]:
            return self._taken(layout, width(count), count), -count

        count = min((v for v in self.vectors if micro.fits(1, v, self.target)), key=cost)
        return width(count), count

    def _taken(self, layout: Layout, tile_w: int, count: int) -> float:
        """Cycles of a row of outputs and all channels of a group."""
        micro, depth = self.micro(layout), self.depth(layout)

        def tile(width: int) -> float:
            taken = depth * micro.cycles(width, count, self.target)
            return max(taken + micro.around, micro.stored * width * count + micro.kept)

        return ceildiv(self.group_vectors, count) * self.of_row(layout, tile_w, tile)

    def of_row(self, layout: Layout, tile_w: int, tile: Callable[[int], float]) -> float:
        """What a row of outputs takes, where a tile of so many outputs takes ``tile`` of them."""
        if self.in_line(layout):
            return tile(tile_w) * self._wide / tile_w
        full, rest = divmod(self.columns.out, tile_w)
        return full * tile(tile_w) + (tile(rest) if rest else 0)

    def of_rows(
        self, layout: Layout, tile_w: int, rows: int, tile: Callable[[int], float]
    ) -> float:
        """The same of so many rows in a chunk, whose last tile may reach beyond them."""
        if self.in_line(layout):
            return ceildiv(self._begun(rows), tile_w) * tile(tile_w)
        return rows * self.of_row(layout, tile_w, tile)

    def _begun(self, rows: int) -> int:
        """Windows that begin in so many rows, up to the last output."""
        return (rows - 1) * self._wide + self.columns.out

    @property
    def _wide(self) -> int:
        """Windows that begin in a row, those included that end in the next one."""
        across = self.columns
        return across.out + (across.kernel - 1) * across.dilation

    def lines(self, rows: int) -> int:
        """Rows of an image that so many rows of outputs read."""
        down = self.rows
        if down.kernel == 1:
            return rows
        return (rows - 1) * down.stride + (down.kernel - 1) * down.dilation + 1

    def line_bytes(self, layout: Layout) -> int:
        """Of a row of an image as it lies in scratch."""
        across = self.columns
        wide = (across.out - 1) * across.stride + (across.kernel - 1) * across.dilation + 1
        return self.micro(layout).a.nbytes(wide * self.channels)

    def _panel_bytes(self, vectors: int, layout: Layout) -> int:
        """Of weights."""
        return self.packing(layout).b.nbytes(self.multiplied(layout) * vectors * self.lanes)

    def resized(self, knobs: Knobs) -> Knobs:
        """Rows of a chunk that leave six chunks a thread where possible, and no more."""
        images = self.node.out.shape[0]
        if not isinstance(images, Size):
            return knobs
        panels = self.groups * ceildiv(self.group_vectors, knobs.vectors)
        units = images * ceildiv(panels, min(panels, knobs.panels))
        wanted = self.rows.out * units // (6 * self.target.threads)
        return knobs._replace(rows=at_least(at_most(wanted, knobs.rows), 1))

    def loops(self, knobs: Knobs) -> Loops:
        """A step is a group of channels of a tap."""
        out_h, out_w, some = self.rows.out, self.columns.out, self.layouts
        images = self.node.out.shape[0]
        depth = chosen(knobs.weights, {x: self.depth(x) for x in some})
        groups = chosen(knobs.weights, {x: self.micro(x).groups for x in some})
        column = chosen(
            knobs.weights, {x: self.packing(x).b.nbytes(self.multiplied(x)) for x in some}
        )
        tile_w, vectors = knobs.tile_w, knobs.vectors
        panels = self.groups * ceildiv(self.per_group, vectors * self.lanes)
        rows, blocks = np.minimum(knobs.rows, out_h), np.minimum(knobs.panels, panels)
        panel = column * vectors * self.lanes
        line, high = self.line_bytes(some[-1]), self.rows.kernel
        patch = line * high * np.minimum(1, tile_w / out_w)
        lines = line * (rows * self.rows.stride + high - 1)
        per_row, per_panel = panels * out_h * panel, ceildiv(out_h, rows) * panels * panel
        by_rows = knobs.order == "rows"
        outputs = rows * out_w * blocks * vectors * self.target.vector_bytes
        streamed = np.where(by_rows, per_row, per_panel) + panels * out_h * line * high
        chunks = images * ceildiv(panels, blocks) * ceildiv(out_h, rows)
        return Loops(
            chunks=chunks,
            sums=tile_w * vectors,
            loads=tile_w + vectors * groups,
            depth=depth,
            steps=images * out_h * ceildiv(out_w, tile_w) * panels * depth,
            work=images * out_h * out_w * panels * vectors * depth,
            inner=panel + patch,
            kept=np.where(by_rows, line * high, panel),
            streamed=images * streamed,
            chunk=lines + blocks * panel + outputs,
            other=chunks * lines / self.target.vector_bytes,
        )

    def estimate(self) -> float:
        """The multiply-adds, or fetching the weights where that takes longer; more than that of a
        product, which reads each pixel once."""
        out, lanes = self.node.out, self.lanes
        columns = self.groups * self.group_vectors * lanes
        layout, _, _ = self._chosen()
        weights = self.multiplied(layout) * columns
        pixels = out.shape[0] * self.rows.out * self.columns.out
        micro = self.micro(layout)
        each = _OF_FOURS / micro.pace if micro.steps == _FOUR else 2.0
        return max(each * weights * pixels, weights * _FROM_MEMORY)
