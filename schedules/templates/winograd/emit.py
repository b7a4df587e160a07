"""Winograd convolution F(m x m, k x k), stride 1: fewer multiplications than a direct method.

Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015). The image is cut into
tiles of m x m outputs. Phase one transforms every tile's (m+k-1) x (m+k-1) inputs. Phase two takes
blocks of tiles and of output channels: for each of the (m+k-1)^2 positions a matrix product over
the input channels, into scratch that stays in L2, and then the inverse transform with the epilogue.
With k = 3, m = 4 needs a quarter of the direct method's multiplications, m = 2 four ninths. Along a
side where the kernel has one tap a tile has one output, and nothing is transformed: F(4, 3) of a
line needs half of the multiplications.

Weights are transformed in float64 and packed as [panel][position][C/groups][panel width]; a
panel has channels of one group. ``target`` says how large the error is, and which accuracy allows
which m.

In one stage instead of two, the transformed inputs of a block stay in scratch as well: better where
there are many tiles and few channels.

Knobs: ``m``; ``stages``; ``tiles`` (tiles in a block), ``rows`` and ``vectors`` (register tile of
the matrix product), ``panels`` (panels of output channels in a chunk), ``channels`` (vectors of
channels that a chunk of phase one transforms), ``ahead`` (whether the weights of the next position
are brought into L2 while one is computed).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.prefetch import ask_for
from ...emit.registers import free_registers
from ...emit.steps import each_step, written_out
from ...emit.tile import LINE, RegisterTile, column_parts, vector_index
from ...ir.dtype import FLOAT32
from ...ir.kernel import Phase
from ...ir.size import Size
from ...tir.indices import Expr, Index, ceildiv, divide, extent, split_index, tail
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue
from ..shares import by_rows, place
from ..slots import phase_builder
from .form import Knobs, Winograd
from .input import Geometry, InputTransform, transform_phase
from .transform import of_products, two_sided

_MANY_CONSTANTS = 8  # inputs of a tile along a side, whose transforms have many


def kernel(form: Winograd, knobs: Knobs) -> Emitted:
    """Two phases; the first one's result is a temporary."""
    return _Winograd(Geometry(form, knobs)).build()


class _Winograd:
    def __init__(self, geometry: Geometry) -> None:
        self.g = geometry

    def build(self) -> Emitted:
        """The kernel."""
        g = self.g
        size = g.inputs.tensor.nbytes
        if g.one_stage:
            return Emitted((self._multiply(),), g.packings, scratch=g.inputs.offset + size)
        phases = (transform_phase(g), self._multiply())
        return Emitted(phases, g.packings, (size,), g.products.tensor.nbytes)

    def _multiply(self) -> Phase:
        """Chunks are (group of panels, block of tiles)."""
        own, temps = (self.g.inputs, self.g.products), 0 if self.g.one_stage else 1
        self.builder = builder = phase_builder(self.g.form, self.g.packings, own, temps)
        self.evaluator = Evaluator(epilogue(self.g.workload), builder, anchor=0)
        groups = ceildiv(self.g.panels, self.g.group)
        with builder.chunk_loop() as chunk:
            block, group = place(builder, chunk, self.g.blocks, groups, self._parts())
            block = builder.let(block)
            tiles = self.g.block
            if self.g.rest != tiles:
                tiles = builder.let(tirx.min(tiles, self.g.total - block * tiles))
            if self.g.one_stage:
                InputTransform(self.g, builder).block(block, tiles)
                with builder.loop(groups, "group") as group:
                    self._group(block, tiles, group)
            else:
                self._group(block, tiles, group)
        return builder.finish(self.g.blocks if self.g.one_stage else groups * self.g.blocks)

    def _parts(self) -> int:
        """Of the blocks, which threads share so; 1 where they share panels."""
        g, target = self.g, self.g.form.target
        if g.one_stage or g.batch != 1 or isinstance(g.total, Size):
            return 1
        inputs = FLOAT32.nbytes(g.positions * g.total * g.in_c)
        weights = FLOAT32.nbytes(g.positions * g.depth * g.panels * g.panel)
        return target.threads if by_rows(inputs, weights, target) else 1

    def _group(self, block: Index, tiles: Index, group: Index) -> None:
        """A group of panels for one block: products, then outputs."""
        builder = self.builder
        first = builder.let(group * self.g.group)
        count = extent(first, self.g.group, self.g.panels)
        with builder.loop(count, "panel") as p:
            panel = builder.let(first + p)
            if max(side.size for side in self.g.sides) >= _MANY_CONSTANTS:
                free_registers(builder, self.g.form.target)
            with builder.loop(self.g.positions, "position") as position:
                self._product(block, tiles, panel, p, position)
        with builder.loop(tiles, "tile") as tile:
            number = builder.let(block * self.g.block + tile)
            image, th, tw = split_index(number, (self.g.batch, self.g.down, self.g.across))
            at = (
                image,
                builder.let(self.g.high.first(th)),
                builder.let(self.g.wide.first(tw)),
                tile,
            )
            with builder.loop(count, "panel") as p:
                self._outputs(at, builder.let(first + p), p)

    def _product(
        self, block: Index, tiles: Index, panel: Index, place: Index, position: Index
    ) -> None:
        """[tiles, C] times [C, panel] for one position, into scratch."""
        builder, step = self.builder, self.g.knobs.rows
        outer = 0 if self.g.one_stage else block
        a0 = builder.let((outer * self.g.positions + position) * (self.g.block * self.g.in_c))
        depth = self.g.depth
        b0 = builder.let((panel * self.g.positions + position) * (depth * self.g.panel))
        c0 = builder.let(((place * self.g.positions) + position) * (self.g.block * self.g.panel))
        if self.g.groups > 1:
            group = divide(panel, self.g.panels // self.g.groups)
            a0 = builder.let(a0 + group * depth)
        rows = partial(self._rows, (a0, b0, c0))
        if isinstance(self.g.rest, Size):
            for first, count in builder.pieces(tiles, step, "rows"):
                rows(divide(first, step), first, count)
            return
        if self.g.block >= step:
            with builder.loop(divide(tiles, step), "rows") as i:
                rows(i, i * step, step)
        for size in dict.fromkeys((self.g.block, self.g.rest)):
            if size % step:
                with _unless(builder, self.g.block == self.g.rest, tiles == size):
                    rows(size // step, size // step * step, size % step)

    def _rows(
        self, start: tuple[Index, Index, Index], number: Index, first: Index, count: int
    ) -> None:
        """Register tile ``number``, of so many rows; ``start`` is where tiles, weights and products
        of the position begin."""
        builder, (a0, b0, c0), panel = self.builder, start, self.g.panel
        tiles, weights = builder["tiles"], builder[f"in{self.g.weight}"]
        first = builder.let(first)
        register = RegisterTile(builder, count, column_parts(panel, self.g.lanes))
        depth, passes = self.g.depth, ceildiv(self.g.block, self.g.knobs.rows)

        def tile_value(k: Index, row: int) -> Expr:
            return builder.load(tiles, a0 + (first + row) * self.g.in_c + k)

        def weight_vector(k: Index, column: int, lanes: int) -> Expr:
            return builder.load(weights, vector_index(b0 + k * panel + column, lanes))

        times = written_out(count * len(register.parts), depth, self.g.form.target)
        for k0, written in each_step(builder, depth, times):
            if self.g.knobs.ahead:
                self._fetch(b0 + depth * panel, number * depth + k0, times, passes)
            else:
                ask_for(builder, weights, b0 + k0 * panel, panel * times)
            for k in written:
                register.step(partial(tile_value, k), partial(weight_vector, k))

        def store(row: int, column: Index, value: Expr) -> None:
            builder.store(builder["products"], c0 + (first + row) * panel + column, value)

        register.finish(panel, store)

    def _fetch(self, begin: Index, step: Index, steps: int, passes: int) -> None:
        """Ask for the part of the next position's weights, from ``begin`` on, that falls to so many
        steps of the reduction from ``step`` on: they come from memory while ``passes`` compute.
        """
        share = ceildiv(self.g.panel, passes)
        weights = self.builder[f"in{self.g.weight}"]
        for line in range(0, share * steps, LINE):
            self.builder.prefetch(weights, begin + step * share + line, level=2)

    def _outputs(self, at: tuple[Index, Index, Index, Index], panel: Index, place: Index) -> None:
        """The inverse transform of one tile and panel, with the epilogue."""
        g, builder = self.g, self.builder
        image, oh, ow, tile = at
        base = builder.let((place * g.positions * g.block + tile) * g.panel)

        def vector(column: Index, width: int) -> None:
            self._vector((image, oh, ow), base + column, panel, (column, width))

        last = g.out_c - (g.panels - 1) * g.panel
        full, width = divmod(last, g.lanes)
        count: Index = full
        if g.panels > 1 and last != g.panel:
            count = tirx.Select(panel == g.panels - 1, full, g.panel // g.lanes)
        if g.panels > 1 or full:
            with builder.loop(count, "vector") as i:
                vector(builder.let(i * g.lanes), g.lanes)
        if width:
            with _unless(builder, g.panels == 1, panel == g.panels - 1):
                vector(full * g.lanes, width)

    def _vector(
        self, at: tuple[Index, Index, Index], base: Index, panel: Index, part: tuple[Index, int]
    ) -> None:
        """One vector of channels of a tile; ``part``: its first channel in the panel, how many."""
        g, builder = self.g, self.builder
        stride = g.block * g.panel
        image, oh, ow = at

        def read(y: int, x: Index, lane: Index) -> Expr:
            return builder.load(builder["products"], base + (y * g.wide.size + x) * stride + lane)

        row = builder.local(g.wide.m * g.lanes)

        def write(y: Index, x: int, lane: Index, value: Expr) -> None:
            builder.store(row, x * g.lanes + lane, value)

        def after(y: Index) -> None:
            down = y * g.high.apart
            with _unless(builder, g.high.has(g.high.m - 1), oh + down < g.rows.out):
                for x in range(g.wide.m):
                    right = x * g.wide.apart
                    with _unless(builder, g.wide.has(x), ow + right < g.columns.out):
                        self._store((image, oh + down, ow + right), row, x, panel, part)

        matrices = of_products(g.high), of_products(g.wide)
        two_sided(builder, matrices, g.lanes, read, write, after)

    def _store(
        self,
        pixel: tuple[Index, Index, Index],
        row: Expr,
        x: int,
        panel: Index,
        part: tuple[Index, int],
    ) -> None:
        """One pixel's channels through the epilogue, from column ``x`` of ``row``."""
        g, builder = self.g, self.builder
        column, width = part
        image, oh, ow = pixel
        for offset, lanes in tail(0, width, g.lanes):
            with builder.vector(lanes) as lane:
                channel = panel * g.panel + column + offset + lane
                flat = ((image * g.rows.out + oh) * g.columns.out + ow) * g.out_c + channel
                value = builder.load(row, x * g.lanes + offset + lane)
                point = Point(g.workload.output.shape, (*pixel, channel), flat)
                self.evaluator.store(point, value)


def _unless(builder: PhaseBuilder, always: bool, condition: Expr) -> AbstractContextManager[bool]:
    return nullcontext(True) if always else builder.when(condition)
