"""Winograd convolution: its numbers, and the transform of its input tiles."""

from __future__ import annotations

from collections.abc import Callable

from ...emit.builder import PhaseBuilder, Slot
from ...ir.kernel import ALIGNMENT, Packing, Phase
from ...ir.space import Schedule
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, split_index, tail
from ...tvm_late import tirx
from ..slots import input_slots
from ..window import Axis
from .form import Winograd
from .transform import MATRICES, Read, pack_weights, two_sided


class Geometry:
    """The numbers of one convolution under one schedule."""

    def __init__(self, form: Winograd, schedule: Schedule) -> None:
        self.form, self.workload, self.schedule = form, form.workload, schedule
        self.knobs = form.typed(schedule)
        self.source, self.weight = form.workload.nodes[0].args
        self.rows, self.columns, self.lanes = form.rows, form.columns, form.lanes
        self.batch, self.in_c, self.out_c = form.batch, form.in_c, form.out_c
        self.m = self.knobs.m
        self.size = self.m + 2
        self.positions = self.size**2
        self.down, self.across = ceildiv(self.rows.out, self.m), ceildiv(self.columns.out, self.m)
        self.total = self.batch * self.down * self.across
        self.block = min(self.knobs.tiles, self.total)
        self.blocks = ceildiv(self.total, self.block)
        self.rest = self.total - (self.blocks - 1) * self.block  # tiles in the last block
        self.panel = self.knobs.vectors * self.lanes
        self.panels = ceildiv(self.out_c, self.panel)
        self.group = min(self.knobs.panels, self.panels)
        self.packings = tuple(
            Packing(
                (self.panels, self.positions, self.in_c, self.panel),
                lambda w: pack_weights(w, self.m, self.panel),
            )
            if i == self.weight
            else None
            for i in range(len(self.workload.inputs))
        )
        self.one_stage = self.knobs.stages == 1
        block_size = self.positions * self.block
        size = block_size * self.in_c * (1 if self.one_stage else self.blocks)
        self.products = Slot(None, "products", Tensor((block_size * self.group * self.panel,)))
        after = ceildiv(self.products.tensor.nbytes, ALIGNMENT) * ALIGNMENT
        position = None if self.one_stage else len(self.workload.inputs)
        self.inputs = Slot(position, "tiles", Tensor((size,)), after if self.one_stage else 0)


class InputTransform:
    """Emits B^T d B for every input tile d.

    A tile that reaches over the image's border is first copied into a zeroed patch, so there are
    only two forms of the transform's long straight-line code.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.g = geometry

    def phase(self) -> Phase:
        """Chunks are (image, row of tiles, group of channel vectors)."""
        g = self.g
        builder = PhaseBuilder([input_slots(g.form, g.packings)[g.source], g.inputs])
        strips = ceildiv(g.in_c, g.lanes)
        group = min(g.knobs.channels, strips)
        groups = ceildiv(strips, group)
        with builder.chunk_loop() as chunk:
            first = builder.let(modulo(chunk, groups) * (group * g.lanes))
            row = divide(chunk, groups)
            image, th = builder.let(divide(row, g.down)), builder.let(modulo(row, g.down))
            with builder.loop(g.across, "tw") as tw:
                number = builder.let((image * g.down + th) * g.across + tw)
                block, place = divide(number, g.block), modulo(number, g.block)
                target = builder.let((block * g.positions * g.block + place) * g.in_c)
                self._transform(builder, (image, th, tw), target, (first, group))
        return builder.finish(g.batch * g.down * groups)

    def block(self, builder: PhaseBuilder, block: Index, tiles: Index) -> None:
        """The transformed inputs of one block, into scratch."""
        g = self.g
        with builder.loop(tiles, "tile") as tile:
            number = builder.let(block * g.block + tile)
            image, th, tw = split_index(number, (g.batch, g.down, g.across))
            at = (image, builder.let(th), builder.let(tw))
            target = builder.let(tile * g.in_c)
            self._transform(builder, at, target, (0, ceildiv(g.in_c, g.lanes)))

    def _transform(
        self,
        builder: PhaseBuilder,
        tile: tuple[Index, Index, Index],
        target: Index,
        strips: tuple[Index, int],
    ) -> None:
        """One tile, channel vectors (first channel, count)."""
        g = self.g
        image, th, tw = tile
        y0 = builder.let(th * g.m - g.rows.pad)
        x0 = builder.let(tw * g.m - g.columns.pad)
        origin = builder.let(((image * g.rows.size + y0) * g.columns.size + x0) * g.in_c)
        whole = (_inside(g.rows, g.m, g.down), _inside(g.columns, g.m, g.across))
        inside = tirx.all(
            y0 >= 0, y0 + g.size <= g.rows.size, x0 >= 0, x0 + g.size <= g.columns.size
        )
        if any(whole[0]) and any(whole[1]):
            with builder.when(inside):
                self._channels(
                    builder, target, strips, lambda c, lanes: self._direct(builder, origin, c)
                )
        if not all(whole[0]) or not all(whole[1]):
            with builder.when(tirx.Not(inside)):
                self._channels(
                    builder,
                    target,
                    strips,
                    lambda c, lanes: self._patch(builder, (y0, x0, origin), c, lanes),
                )

    def _channels(
        self,
        builder: PhaseBuilder,
        target: Index,
        strips: tuple[Index, int],
        read: Callable[[Index, int], Read],
    ) -> None:
        """Full vectors of channels, then narrower ones; ``read`` prepares a vector's inputs."""
        g = self.g
        first, group = strips
        full = g.in_c // g.lanes * g.lanes
        end = tirx.min(first + group * g.lanes, full)
        count = tirx.truncdiv(tirx.max(end - first, 0), g.lanes)
        if full:
            with builder.loop(count, "strip") as strip:
                channel = builder.let(first + strip * g.lanes)
                self._tile(builder, target, channel, g.lanes, read(channel, g.lanes))
        rest = tail(full, g.in_c, g.lanes)
        if rest:
            with builder.when(first + group * g.lanes > full):
                for channel, width in rest:
                    self._tile(builder, target, channel, width, read(channel, width))

    def _direct(self, builder: PhaseBuilder, origin: Index, channel: Index) -> Read:
        g = self.g
        source = builder[f"in{g.source}"]
        return lambda y, x, lane: builder.load(
            source, origin + (y * g.columns.size + x) * g.in_c + channel + lane
        )

    def _patch(
        self,
        builder: PhaseBuilder,
        corner: tuple[Index, Index, Index],
        channel: Index,
        lanes: int,
    ) -> Read:
        """Copy what lies inside the image into a zeroed patch, and read from that."""
        g = self.g
        y0, x0, origin = corner
        source, patch = builder[f"in{g.source}"], builder.local(g.positions * lanes)
        with builder.loop(g.positions, "zero") as i, builder.vector(lanes) as lane:
            builder.store(patch, i * lanes + lane, tirx.const(0.0, "float32"))
        top, rows = _overlap(builder, y0, g.size, g.rows.size)
        left, columns = _overlap(builder, x0, g.size, g.columns.size)
        with (
            builder.loop(rows, "y", top) as y,
            builder.loop(columns, "x", left) as x,
            builder.vector(lanes) as lane,
        ):
            value = builder.load(
                source, origin + (y * g.columns.size + x) * g.in_c + channel + lane
            )
            builder.store(patch, (y * g.size + x) * lanes + lane, value)
        return lambda y, x, lane: builder.load(patch, (y * g.size + x) * lanes + lane)

    def _tile(
        self, builder: PhaseBuilder, target: Index, channel: Index, lanes: int, read: Read
    ) -> None:
        g = self.g

        def write(y: Index, x: int, lane: Index, value: Expr) -> None:
            index = target + (y * g.size + x) * (g.block * g.in_c) + channel + lane
            builder.store(builder["tiles"], index, value)

        two_sided(builder, MATRICES[g.m][0], lanes, read, write)


def _inside(axis: Axis, m: int, tiles: int) -> list[bool]:
    """Which tiles lie wholly inside the image, along one axis."""
    return [
        axis.pad <= tile * m and tile * m - axis.pad + m + 2 <= axis.size for tile in range(tiles)
    ]


def _overlap(builder: PhaseBuilder, start: Index, size: int, limit: int) -> tuple[Index, Index]:
    """First offset and count of ``start .. start + size`` within ``0 .. limit``."""
    zero = tirx.const(0, "int32")
    low = builder.let(tirx.max(zero, 0 - start))
    high = tirx.min(tirx.const(size, "int32"), limit - start)
    return low, builder.let(tirx.max(zero, high - low))
