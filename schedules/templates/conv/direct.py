"""Direct methods over grids of outputs: the knobs of their kernels and their loop nests.

The register tile is ``tile_w`` neighbouring outputs of a row of a grid by ``vectors`` vectors of
output channels; see ``nest`` for what a grid is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel
from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.size import Size, at_least, at_most
from ...ir.space import Knob
from ...tir.indices import ceildiv
from ..form import Form
from ..loops import Loops
from ..powers import ceil_power, floor_power, powers
from ..sets import CROWDED, crowd_l1
from ..window import even_widths

_LEAST_WORK = 1 << 16  # multiply-adds of a chunk: with fewer, larger chunks than the cores need
_LOAD = 1.15  # multiply-adds of vectors that a load takes as long as, where loads decide
_FROM_L2 = 4  # multiply-adds of vectors that loading one from L2 takes as long as
_ADDED_UP = 8  # multiply-adds of vectors that adding up the lanes of one takes as long as
_AROUND = 48  # multiply-adds of vectors that starting and storing a tile take as long as
_WRITTEN = 48  # steps of a kernel's row that LLVM writes out, at most
_FREE = 16  # vectors of sums beside which it has registers for all else of such a row


class Knobs(NamedTuple):
    """See ``Direct.choices``."""

    tile_w: int
    vectors: int
    rows: int
    columns: int
    panels: int
    order: Literal["rows", "panels"]


@dataclass(frozen=True)
class Direct(Form[Knobs]):
    """A float32 convolution, of either direction, as windows that slide over the input.

    A grid is every ``step``-th row and column of the outputs. ``window`` is the rows, columns and
    channels that one output reads.
    """

    step: tuple[int, int]
    window: tuple[int, int, int]

    knobs_type = Knobs
    follows = True
    dots: ClassVar[bool] = False
    """Whether the lanes of a vector are channels of the input, whose sums are added up at the end,
    and not channels of the output."""

    @property
    def micro(self) -> MicroKernel:
        """What multiplies and adds."""
        return FLOAT32_MULTIPLY_ADD

    @property
    def groups(self) -> int:
        """Of channels."""
        return int(self.node.attr("groups"))

    @property
    def per_group(self) -> int:
        """Output channels of a group."""
        return self.node.out.shape[3] // self.groups

    @property
    def suits_dots(self) -> bool:
        """Whether lanes of output channels would be idle, and those of input channels are not."""
        return self.per_group < self.lanes and self.window[2] % self.lanes == 0

    @property
    def unit(self) -> int:
        """Output channels that a vector of sums is for."""
        return 1 if self.dots else self.lanes

    @property
    def along(self) -> int:
        """Input channels that a step multiplies."""
        return self.lanes if self.dots else 1

    @cached_property
    def group_vectors(self) -> int:
        """Vectors that cover the output channels of a group."""
        return ceildiv(self.per_group, self.unit)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4, 6) if v <= self.group_vectors)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the largest grid."""
        _, out_h, out_w, _ = self.node.out.shape
        return ceildiv(out_h, self.step[0]), ceildiv(out_w, self.step[1])

    @property
    def depth(self) -> int:
        """Multiply-adds for one output."""
        high, wide, channels = self.window
        return high * wide * channels

    @property
    def steps(self) -> int:
        """Of the reduction."""
        return self.depth // self.along

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, the blocks of a chunk, their order."""
        out_h, out_w = self.grid
        widths = tuple(range(1, min(out_w, self.target.vector_registers - 2) + 1))
        return (
            Knob("tile_w", widths, "neighbouring outputs in the register tile, at most"),
            Knob("vectors", self.vectors, "vectors of output channels in the register tile"),
            Knob("rows", powers(out_h, 12), "output rows in a chunk"),
            Knob("columns", powers(out_w, 16), "outputs of a row in a chunk, in whole tiles"),
            Knob("panels", powers(self.group_vectors, 12), "weight panels in a chunk"),
            Knob("order", ("rows", "panels"), "the outer loop inside a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and blocks of panels are not twice what there is."""
        panels = ceildiv(self.group_vectors, knobs.vectors)
        tile_fits = fits_registers(knobs.tile_w, knobs.vectors, self.target)
        return tile_fits and knobs.panels < 2 * panels

    def default(self) -> Knobs:
        """Fill the registers; a chunk's weights in half of L2; six chunks a thread if possible."""
        (out_h, out_w), target = self.grid, self.target
        tile_w, count = self._register_tile
        panel_bytes = self.steps * count * target.vector_bytes
        panels, half = ceildiv(self.group_vectors, count), target.l2 // 2
        weights_fit = panel_bytes * panels <= half
        block = floor_power(panels if weights_fit else min(panels, half // panel_bytes))
        units = self.node.out.shape[0] * self.groups * ceildiv(panels, block)
        wanted = 6 * target.threads
        rows = floor_power(out_h * units // wanted)
        rows = min(rows, powers(out_h, 12)[-1])
        if self.groups > 1:
            rows = min(rows, self._rows_of_groups)
        columns = powers(out_w, 16)[-1]
        if out_h * units < wanted:
            work = self.depth * count * self.unit * min(panels, block)
            least = max(ceildiv(_LEAST_WORK, work), out_w * out_h * units // wanted)
            columns = floor_power(min(columns, max(tile_w, least)))
        if weights_fit:
            return Knobs(tile_w, count, rows, columns, ceil_power(panels), "rows")
        return Knobs(tile_w, count, rows, columns, block, "panels")

    @property
    def _rows_of_groups(self) -> int:
        """Of outputs, which half of L2 holds with what they read while all groups use both; and
        enough for all threads."""
        out_h, out_w = self.grid
        source, out = self.workload.tensor(self.node.args[0]), self.node.out
        stride = self.node.attr("strides")[0]
        line = FLOAT32.nbytes(source.shape[2] * source.shape[3]) * stride
        line += FLOAT32.nbytes(out_w * out.shape[3])
        fits = max(1, self.target.l2 // 2 // line)
        return floor_power(min(fits, ceildiv(out_h, self.target.threads)))

    @cached_property
    def _register_tile(self) -> tuple[int, int]:
        """Width, and vectors of channels, with which a row of outputs takes the least time."""
        _, out_w = self.grid
        target, borders, apart = self.target, self._borders, self._apart

        def step(width: int, count: int) -> float:
            """Of a core that starts as many loads as multiply-adds a cycle, nearly; a panel that is
            larger than L1 is loaded twice: from L2, for which few outputs wait, and from L1."""
            far = count if self.steps * count * target.vector_bytes > target.l1 else 0
            crowded = CROWDED * width if crowd_l1(width, apart, target) else 0
            loads = _LOAD * (width + count + far + crowded)
            sums = max(width * count, target.costs.sums, _FROM_L2 * far)
            return (not self._is_written) + max(sums, loads)

        def time(tile: tuple[int, int]) -> tuple[float, int]:
            widths, count = even_widths(out_w, tile[0]), tile[1]
            steps = sum(step(width, count) for width in widths)
            sums = widths[0] * count
            steps += borders * sums * max(0.0, sums / _FREE - 1)
            whole = steps * self.steps + _AROUND * len(widths)
            return whole * ceildiv(self.group_vectors, count), count if self._is_tight else -count

        tiles = []
        for count in (v for v in self.vectors if v <= 4):
            sums = target.vector_registers - 1 - count
            if self._is_written:  # LLVM then holds more of what is loaded
                sums = min(sums, target.vector_registers * 3 // 4)
            widest = min(out_w, max(1, sums // count))
            least = ceildiv(widest, 2)
            while least > 1 and crowd_l1(least, apart, target):
                least -= 1
            if self._is_tight:  # what an output reads stays in a register, too, for the next one
                widest = min(widest, (target.vector_registers - count) // (count + 1))
                least = min(least, widest)
            tiles += [(width, count) for width in range(least, widest + 1)]
        return min(tiles, key=time)

    @property
    def _apart(self) -> int:
        """Bytes from what an output reads to what the next one does."""
        channels = self.workload.tensor(self.node.args[0]).shape[3]
        return FLOAT32.nbytes(channels * (self.node.attr("strides")[1] // self.step[1]))

    @property
    def _is_written(self) -> bool:
        """Whether the steps of a kernel's row are so few that LLVM makes no loop of them; of one
        vector, which leaves more registers, they matter where there are fewer."""
        _, wide, channels = self.window
        most = _WRITTEN if self.group_vectors > 1 else _WRITTEN // 4
        return not self.dots and self.groups == 1 and wide * channels <= most

    @property
    def _is_tight(self) -> bool:
        """Whether outputs of such a row share inputs, and sums leave few registers for these."""
        _, wide, _ = self.window
        shared = self.node.attr("strides")[1] // self.step[1] < wide
        return self._is_written and shared and self.target.vector_registers <= _FREE

    @property
    def _borders(self) -> int:
        """Tiles of a row whose taps are written out one by one, where outputs share inputs. LLVM
        holds these for the next output, the more the wider the tile, and the sums lose registers.
        """
        _, wide, _ = self.window
        _, left, _, right = self.node.attr("pads")
        overlap = self._is_written and self.node.attr("strides")[1] < wide
        return int(overlap) * (int(left > 0) + int(right > 0))

    def streams(self, knobs: Knobs) -> bool:
        """Whether panels of weights do not stay in L1 from one tile to the next."""
        return 2 * self.steps * knobs.vectors * self.target.vector_bytes > self.target.l1

    def resized(self, knobs: Knobs) -> Knobs:
        """Rows of a chunk that leave six chunks a thread where possible, and no more."""
        images = self.node.out.shape[0]
        if not isinstance(images, Size):
            return knobs
        panels = ceildiv(self.group_vectors, knobs.vectors)
        units = images * self.groups * ceildiv(panels, min(panels, knobs.panels))
        wanted = self.grid[0] * units // (6 * self.target.threads)
        return knobs._replace(rows=at_least(at_most(wanted, knobs.rows), 1))

    def loops(self, knobs: Knobs) -> Loops:
        """The nests of all grids together; a step is a channel of a tap."""
        (out_h, out_w), (kh, _, in_c), depth = self.grid, self.window, self.steps
        images, height, width, _ = self.workload.tensor(self.node.args[0]).shape
        tile_w, vectors = knobs.tile_w, knobs.vectors
        panels = ceildiv(self.per_group, vectors * self.unit)
        rows, blocks = np.minimum(knobs.rows, out_h), np.minimum(knobs.panels, panels)
        units = images * self.groups * self.step[0] * self.step[1]
        panel = depth * vectors * self.target.vector_bytes  # bytes of weights
        line = FLOAT32.nbytes(width * in_c)  # of a row
        patch = line * kh * np.minimum(1, tile_w / out_w)
        by_rows = knobs.order == "rows"
        per_row, per_panel = panels * out_h * panel, ceildiv(out_h, rows) * panels * panel
        columns = np.clip(knobs.columns // tile_w * tile_w, tile_w, out_w)
        lines = line * np.minimum(height, (height / out_h) * rows + kh - 1) * (columns / out_w)
        outputs = rows * columns * blocks * vectors * self.target.vector_bytes
        return Loops(
            chunks=units * ceildiv(panels, blocks) * ceildiv(out_h, rows) * ceildiv(out_w, columns),
            sums=tile_w * vectors,
            loads=tile_w + vectors,
            depth=depth,
            steps=units * out_h * ceildiv(out_w, tile_w) * panels * depth,
            work=units * out_h * out_w * panels * vectors * depth,
            inner=panel + patch,
            kept=np.where(by_rows, line * kh, panel),
            streamed=units * (np.where(by_rows, per_row, per_panel) + panels * out_h * line * kh),
            chunk=lines + blocks * panel + outputs,
        )

    @property
    def inside(self) -> float:
        """Of the taps of all outputs, those that are computed."""
        return 1.0

    def estimate(self) -> float:
        """The multiply-adds, idle lanes among them, and adding up lanes; or fetching the weights
        where that takes longer."""
        weights = self.workload.tensor(self.node.args[1])
        fetched = weights.nbytes * self.target.costs.fetched_byte
        computed = self.group_vectors * self.unit / self.per_group
        work = self.depth * self.inside + _ADDED_UP * self.lanes * self.dots
        return max(2.0 * self.node.out.size * computed * work, fetched)
