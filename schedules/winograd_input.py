"""Winograd convolution: its numbers, and the transform of its input tiles."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import tirx

from .emit import Expr, Index, PhaseBuilder, Slot, ceildiv, divide, modulo, split_index, tail
from .kernel import ALIGNMENT, Packing, Phase
from .space import Schedule
from .target import Target
from .template import input_slots
from .window import Axis, axes
from .winograd_transform import MATRICES, pack_weights, two_sided
from .workload import Tensor, Workload


class Geometry:
    """The numbers of one convolution under one schedule."""

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


class InputTransform:
    """Emits B^T d B for every input tile d."""

    def __init__(self, geometry: Geometry) -> None:
        self.g = geometry

    def phase(self) -> Phase:
        """Chunks are (image, row of tiles, group of channel vectors)."""
        source = input_slots(self.g.workload, self.g.packings)[self.g.source]
        builder = PhaseBuilder([source, self.g.inputs])
        strips = ceildiv(self.g.in_c, self.g.lanes)
        group = min(int(self.g.schedule["channels"]), strips)
        groups = ceildiv(strips, group)
        with builder.chunk_loop() as chunk:
            first = builder.bind(modulo(chunk, groups) * (group * self.g.lanes))
            row = divide(chunk, groups)
            image, th = divide(row, self.g.down), builder.bind(modulo(row, self.g.down))
            for top, condition in bands(self.g.rows_axis, self.g.m, self.g.size, self.g.down, th):
                with builder.when(condition):
                    for left, count, inside in self._column_runs():
                        with builder.loop(count, "tw", left) as tw:
                            at = (image, th, tw)
                            target = self._place(builder, at)
                            self._channels(builder, at, target, (first, group), (top, inside))
        return builder.finish(self.g.batch * self.g.down * groups)

    def _column_runs(self) -> list[tuple[int, int, tuple[bool, ...]]]:
        return runs(self.g.columns_axis, self.g.m, self.g.size, self.g.across)

    def _place(self, builder: PhaseBuilder, tile: tuple[Index, Index, Index]) -> Index:
        """Where the tile's transformed inputs start in the temporary."""
        image, th, tw = tile
        number = builder.bind((image * self.g.down + th) * self.g.across + tw)
        block, place = divide(number, self.g.block), modulo(number, self.g.block)
        return builder.bind((block * self.g.positions * self.g.block + place) * self.g.in_c)

    def block(self, builder: PhaseBuilder, block: Index, tiles: int) -> None:
        """The transformed inputs of one block, into scratch."""
        strips = (0, ceildiv(self.g.in_c, self.g.lanes))
        with builder.loop(tiles, "tile") as tile:
            number = builder.bind(block * self.g.block + tile)
            image, th, tw = split_index(number, (self.g.batch, self.g.down, self.g.across))
            at = (image, builder.bind(th), builder.bind(tw))
            target = builder.bind(tile * self.g.in_c)
            for top, condition in bands(
                self.g.rows_axis, self.g.m, self.g.size, self.g.down, at[1]
            ):
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
        y0 = th * self.g.m - self.g.rows_axis.pad
        x0 = tw * self.g.m - self.g.columns_axis.pad
        origin = builder.bind(((image * self.g.height + y0) * self.g.width + x0) * self.g.in_c)
        full = self.g.in_c // self.g.lanes * self.g.lanes
        end = tirx.min(first + group * self.g.lanes, full)
        with (
            builder.loop(tirx.truncdiv(tirx.max(end - first, 0), self.g.lanes), "strip") as strip,
            builder.vector(self.g.lanes) as lane,
        ):
            self._tile(builder, origin, target, first + strip * self.g.lanes + lane, inside)
        rest = tail(full, self.g.in_c, self.g.lanes)
        if rest:
            with builder.when(first + group * self.g.lanes > full):
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
        source = builder[f"in{self.g.source}"]
        values: list[list[Expr | None]] = [
            [
                builder.bind(
                    builder.load(source, origin + (y * self.g.width + x) * self.g.in_c + channel)
                )
                if rows[y] and columns[x]
                else None
                for x in range(self.g.size)
            ]
            for y in range(self.g.size)
        ]
        result = two_sided(MATRICES[self.g.m][0], values, builder.bind)
        for position in range(self.g.positions):
            value = result[position // self.g.size][position % self.g.size]
            index = target + position * (self.g.block * self.g.in_c) + channel
            zero = tirx.const(0.0, "float32")
            builder.store(builder["tiles"], index, zero if value is None else value)


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
