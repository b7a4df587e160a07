"""Winograd convolution F(m x m, 3x3), stride 1: fewer multiplications than a direct method.

Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015). The image is cut into
tiles of m x m outputs. Phase one transforms every tile's (m+2) x (m+2) inputs. Phase two takes
blocks of tiles and of output channels: for each of the (m+2)^2 positions a matrix product over the
input channels, into scratch that stays in L2, and then the inverse transform with the epilogue.
m = 4 needs a quarter of the direct method's multiplications, m = 2 four ninths.

Weights are transformed in float64 and packed as [panel][position][C][panel width]. The error is
about 1e-5 of the output's scale for m = 4, and 1e-6 for m = 2.

In one stage instead of two, the transformed inputs of a block stay in scratch as well: better where
there are many tiles and few channels.

Knobs: ``m``; ``stages``; ``tiles`` (tiles in a block), ``rows`` and ``vectors`` (register tile of the matrix
product), ``panels`` (panels of output channels in a chunk), ``channels`` (vectors of channels that
a chunk of phase one transforms).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from tvm import tirx

from .emit import Expr, Index, PhaseBuilder, Slot, ceildiv, divide, modulo, split_index, tail
from .expr import Evaluator, Point
from .kernel import ALIGNMENT, Kernel, Packing, Phase
from .space import Schedule
from .target import Target
from .template import (
    Template,
    epilogue,
    finish_element,
    input_slots,
    loads,
    output_slot,
)
from .tile import RegisterTile, column_parts, vector_index
from .window import Axis, axes
from .winograd_space import NAME, pays, space
from .winograd_transform import MATRICES, pack_weights, two_sided
from .workload import Tensor, Workload


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """Two phases; the first one's result is a temporary."""
    return _Winograd(workload, target, schedule).build()


class _Winograd:
    def __init__(self, workload: Workload, target: Target, schedule: Schedule) -> None:
        node = workload.nodes[0]
        self.workload, self.schedule, self.lanes = workload, schedule, target.lanes
        self.source, self.weight = node.args
        self.batch, self.height, self.width, self.in_c = workload.tensor(self.source).shape
        _, self.out_h, self.out_w, self.out_c = node.out.shape
        self.rows_axis, self.columns_axis = axes(node, workload.tensor(self.source), (3, 3))
        self.m = int(schedule["m"])
        self.size = self.m + 2
        self.positions = self.size**2
        self.down, self.across = ceildiv(self.out_h, self.m), ceildiv(self.out_w, self.m)
        self.total = self.batch * self.down * self.across
        self.block = min(int(schedule["tiles"]), self.total)
        self.blocks = ceildiv(self.total, self.block)
        self.panel = int(schedule["vectors"]) * target.lanes
        self.panels = ceildiv(self.out_c, self.panel)
        self.group = min(int(schedule["panels"]), self.panels)
        self.packings = tuple(
            Packing(
                (self.panels, self.positions, self.in_c, self.panel),
                lambda w: pack_weights(w, self.m, self.panel),
            )
            if i == self.weight
            else None
            for i in range(len(workload.inputs))
        )
        self.one_stage = schedule["stages"] == 1
        block_size = self.positions * self.block
        size = block_size * self.in_c * (1 if self.one_stage else self.blocks)
        self.products = Slot(None, "products", Tensor((block_size * self.group * self.panel,)))
        behind = ceildiv(self.products.tensor.nbytes, ALIGNMENT) * ALIGNMENT
        position = None if self.one_stage else len(workload.inputs)
        self.inputs = Slot(position, "tiles", Tensor((size,)), behind if self.one_stage else 0)

    def build(self) -> Kernel:
        """The kernel."""
        size, scratch = self.inputs.tensor.nbytes, self.products.tensor.nbytes
        if self.one_stage:
            phases, temps, scratch = (self._multiply(),), (), self.inputs.offset + size
        else:
            phases, temps = (self._transform_inputs(), self._multiply()), (size,)
        return Kernel(self.workload, self.schedule, phases, self.packings, temps, scratch)

    def _transform_inputs(self) -> Phase:
        """Chunks are (image, row of tiles, group of channel vectors)."""
        source = input_slots(self.workload, self.packings)[self.source]
        builder = PhaseBuilder([source, self.inputs])
        strips = ceildiv(self.in_c, self.lanes)
        group = min(int(self.schedule["channels"]), strips)
        groups = ceildiv(strips, group)
        with builder.chunk_loop() as chunk:
            first = builder.bind(modulo(chunk, groups) * (group * self.lanes))
            row = divide(chunk, groups)
            image, th = divide(row, self.down), builder.bind(modulo(row, self.down))
            for top, condition in bands(self.rows_axis, self.m, self.size, self.down, th):
                with builder.when(condition):
                    for left, count, inside in self._column_runs():
                        with builder.loop(count, "tw", left) as tw:
                            at = (image, th, tw)
                            target = self._place(builder, at)
                            self._channels(builder, at, target, (first, group), (top, inside))
        return builder.finish(self.batch * self.down * groups)

    def _column_runs(self) -> list[tuple[int, int, tuple[bool, ...]]]:
        return runs(self.columns_axis, self.m, self.size, self.across)

    def _place(self, builder: PhaseBuilder, tile: tuple[Index, Index, Index]) -> Index:
        """Where the tile's transformed inputs start in the temporary."""
        image, th, tw = tile
        number = builder.bind((image * self.down + th) * self.across + tw)
        block, place = divide(number, self.block), modulo(number, self.block)
        return builder.bind((block * self.positions * self.block + place) * self.in_c)

    def _transform_block(self, block: Index, tiles: int) -> None:
        """The transformed inputs of one block, into scratch."""
        builder = self.builder
        strips = (0, ceildiv(self.in_c, self.lanes))
        with builder.loop(tiles, "tile") as tile:
            number = builder.bind(block * self.block + tile)
            image, th, tw = split_index(number, (self.batch, self.down, self.across))
            at = (image, builder.bind(th), builder.bind(tw))
            target = builder.bind(tile * self.in_c)
            for top, condition in bands(self.rows_axis, self.m, self.size, self.down, at[1]):
                with builder.when(condition):
                    for left, count, inside in self._column_runs():
                        with builder.when(tirx.all(at[2] >= left, at[2] < left + count)):
                            self._channels(builder, at, target, strips, (top, inside))

    def _channels(
        self,
        builder: PhaseBuilder,
        tile: tuple[Index, Index, Index],
        target: Index,
        strips: tuple[Index, int],
        inside: tuple[Sequence[bool], Sequence[bool]],
    ) -> None:
        """Channel vectors (first channel, count); the last one may be narrower."""
        image, th, tw = tile
        first, group = strips
        y0 = th * self.m - self.rows_axis.pad
        x0 = tw * self.m - self.columns_axis.pad
        origin = builder.bind(((image * self.height + y0) * self.width + x0) * self.in_c)
        full = self.in_c // self.lanes * self.lanes
        end = tirx.min(first + group * self.lanes, full)
        with (
            builder.loop(tirx.truncdiv(tirx.max(end - first, 0), self.lanes), "strip") as strip,
            builder.vector(self.lanes) as lane,
        ):
            self._tile(builder, origin, target, first + strip * self.lanes + lane, inside)
        rest = tail(full, self.in_c, self.lanes)
        if rest:
            with builder.when(first + group * self.lanes > full):
                for offset, width in rest:
                    with builder.vector(width) as lane:
                        self._tile(builder, origin, target, offset + lane, inside)

    def _tile(
        self,
        builder: PhaseBuilder,
        origin: Index,
        target: Index,
        channel: Index,
        inside: tuple[Sequence[bool], Sequence[bool]],
    ) -> None:
        rows, columns = inside
        source = builder[f"in{self.source}"]
        values: list[list[Expr | None]] = [
            [
                builder.bind(
                    builder.load(source, origin + (y * self.width + x) * self.in_c + channel)
                )
                if rows[y] and columns[x]
                else None
                for x in range(self.size)
            ]
            for y in range(self.size)
        ]
        result = two_sided(MATRICES[self.m][0], values, builder.bind)
        for position in range(self.positions):
            value = result[position // self.size][position % self.size]
            index = target + position * (self.block * self.in_c) + channel
            zero = tirx.const(0.0, "float32")
            builder.store(builder["tiles"], index, zero if value is None else value)

    def _multiply(self) -> Phase:
        """Chunks are (group of panels, block of tiles)."""
        slots = [
            *input_slots(self.workload, self.packings),
            self.inputs,
            self.products,
            output_slot(self.workload, temps=0 if self.one_stage else 1),
        ]
        self.builder = builder = PhaseBuilder(slots)
        after = epilogue(self.workload)
        self.evaluator = Evaluator(after, builder, loads(builder, after, shift=1))
        groups = ceildiv(self.panels, self.group)
        with builder.chunk_loop() as chunk:
            block = builder.bind(modulo(chunk, self.blocks))
            group = divide(chunk, self.blocks)
            rest = self.total - (self.blocks - 1) * self.block
            if rest == self.block:
                self._block(block, self.block, group)
            else:
                with builder.when(block < self.blocks - 1):
                    self._block(block, self.block, group)
                with builder.when(block == self.blocks - 1):
                    self._block(block, rest, group)
        return builder.finish(self.blocks if self.one_stage else groups * self.blocks)

    def _block(self, block: Index, tiles: int, group: Index) -> None:
        if not self.one_stage:
            self._group(block, tiles, group)
            return
        self._transform_block(block, tiles)
        with self.builder.loop(ceildiv(self.panels, self.group), "group") as each:
            self._group(block, tiles, each)

    def _group(self, block: Index, tiles: int, group: Index) -> None:
        """A group of panels for one block: products, then outputs."""
        builder = self.builder
        first = builder.bind(group * self.group)
        whole = self.panels % self.group == 0
        count = self.group if whole else tirx.min(self.group, self.panels - first)
        with builder.loop(count, "panel") as p:
            panel = builder.bind(first + p)
            with builder.loop(self.positions, "position") as position:
                self._product(0 if self.one_stage else block, tiles, panel, p, position)
        with builder.loop(tiles, "tile") as tile:
            number = builder.bind(block * self.block + tile)
            image, th, tw = split_index(number, (self.batch, self.down, self.across))
            at = (image, builder.bind(th * self.m), builder.bind(tw * self.m), tile)
            with builder.loop(count, "panel") as p:
                self._outputs(at, builder.bind(first + p), p)

    def _product(
        self, block: Index, tiles: int, panel: Index, place: Index, position: Index
    ) -> None:
        """[tiles, C] times [C, panel] for one position, into scratch."""
        builder, step = self.builder, int(self.schedule["rows"])
        a0 = builder.bind((block * self.positions + position) * (self.block * self.in_c))
        b0 = builder.bind((panel * self.positions + position) * (self.in_c * self.panel))
        c0 = builder.bind(((place * self.positions) + position) * (self.block * self.panel))
        full, rest = divmod(tiles, step)

        def rows(first: Index, count: int) -> None:
            register = RegisterTile(builder, count, column_parts(self.panel, self.lanes))
            with builder.loop(self.in_c, "k") as k:
                register.step(
                    lambda row: builder.load(builder["tiles"], a0 + (first + row) * self.in_c + k),
                    lambda column, lanes: builder.load(
                        builder[f"in{self.weight}"],
                        vector_index(b0 + k * self.panel + column, lanes),
                    ),
                )

            def store(row: int, column: Index, value: Expr) -> None:
                index = c0 + (first + row) * self.panel + column
                builder.store(builder["products"], index, value)

            register.finish(self.panel, store)

        if full:
            with builder.loop(full, "rows") as i:
                rows(builder.bind(i * step), step)
        if rest:
            rows(full * step, rest)

    def _outputs(self, at: tuple[Index, Index, Index, Index], panel: Index, place: Index) -> None:
        """The inverse transform of one tile and panel, with the epilogue."""
        builder = self.builder
        last = self.out_c - (self.panels - 1) * self.panel
        if last == self.panel:
            self._columns(at, panel, place, self.panel)
            return
        if self.panels > 1:
            with builder.when(panel < self.panels - 1):
                self._columns(at, panel, place, self.panel)
        with builder.when(panel == self.panels - 1):
            self._columns(at, panel, place, last)

    def _columns(
        self, at: tuple[Index, Index, Index, Index], panel: Index, place: Index, channels: int
    ) -> None:
        builder = self.builder
        image, oh, ow, tile = at
        base = builder.bind((place * self.positions * self.block + tile) * self.panel)
        stride = self.block * self.panel
        local = builder.local(self.m * self.m * self.lanes)
        for column in range(0, channels, self.lanes):
            width = min(self.lanes, channels - column)
            with builder.vector(self.lanes) as lane:
                values: list[list[Expr | None]] = [
                    [
                        builder.bind(
                            builder.load(
                                builder["products"],
                                base + (y * self.size + x) * stride + column + lane,
                            )
                        )
                        for x in range(self.size)
                    ]
                    for y in range(self.size)
                ]
                result = two_sided(MATRICES[self.m][2], values, builder.bind)
                for y in range(self.m):
                    for x in range(self.m):
                        builder.store(local, (y * self.m + x) * self.lanes + lane, result[y][x])
            self._store_tile((image, oh, ow), panel, column, width, local)

    def _store_tile(
        self, at: tuple[Index, Index, Index], panel: Index, column: int, width: int, local: Expr
    ) -> None:
        builder, shape = self.builder, self.workload.output.shape
        image, oh, ow = at

        def element(y: int, x: int, offset: int, lanes: int) -> None:
            with builder.vector(lanes) as lane:
                channel = panel * self.panel + column + offset + lane
                flat = ((image * self.out_h + oh + y) * self.out_w + ow + x) * self.out_c + channel
                value = builder.load(local, (y * self.m + x) * self.lanes + offset + lane)
                self.evaluator.forget()
                self.evaluator.sources[0] = lambda point: value
                point = Point(shape, (image, oh + y, ow + x, channel), flat)
                builder.store(builder["out"], flat, finish_element(self.evaluator, point))

        for y in range(self.m):
            with _unless(
                builder, self.out_h % self.m > y or not self.out_h % self.m, oh + y < self.out_h
            ):
                for x in range(self.m):
                    always = self.out_w % self.m > x or not self.out_w % self.m
                    with _unless(builder, always, ow + x < self.out_w):
                        for offset, lanes in tail(0, width, self.lanes):
                            element(y, x, offset, lanes)


def _unless(builder: PhaseBuilder, always: bool, condition: Expr) -> AbstractContextManager[None]:
    return nullcontext() if always else builder.when(condition)


def _covered(axis: Axis, m: int, size: int, tile: int) -> tuple[bool, ...]:
    """Which of a tile's inputs lie inside the image, along one axis."""
    return tuple(0 <= tile * m - axis.pad + i < axis.size for i in range(size))


def runs(axis: Axis, m: int, size: int, tiles: int) -> list[tuple[int, int, tuple[bool, ...]]]:
    """(first tile, count, inputs inside) of neighbouring tiles that are alike."""
    runs: list[tuple[int, int, tuple[bool, ...]]] = []
    for tile in range(tiles):
        inside = _covered(axis, m, size, tile)
        if runs and runs[-1][2] == inside:
            first, count, _ = runs[-1]
            runs[-1] = (first, count + 1, inside)
        else:
            runs.append((tile, 1, inside))
    return runs


def bands(
    axis: Axis, m: int, size: int, tiles: int, tile: Index
) -> list[tuple[tuple[bool, ...], Expr]]:
    """(inputs inside, condition on the tile) for each run of rows."""
    return [
        (inside, tirx.all(tile >= first, tile < first + count))
        for first, count, inside in runs(axis, m, size, tiles)
    ]


TEMPLATE = Template(NAME, space, kernel, pays)
