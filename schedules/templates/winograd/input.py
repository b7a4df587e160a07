"""Winograd convolution: its numbers, and the transform of its input tiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...emit.builder import PhaseBuilder, Slot
from ...ir.kernel import ALIGNMENT, Packing, Phase
from ...ir.size import Size
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, split_index, tail
from ...tvm_late import tirx
from ..slots import input_slots
from .form import Knobs, Winograd
from .side import Side
from .transform import Read, of_inputs, pack_weights, two_sided


class Geometry:
    """The numbers of one convolution under one schedule."""

    def __init__(self, form: Winograd, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.source, self.weight = form.node.args
        self.rows, self.columns, self.lanes = form.rows, form.columns, form.lanes
        self.batch, self.in_c, self.out_c = form.batch, form.in_c, form.out_c
        self.groups, self.depth = form.groups, form.depth
        self.sides = self.high, self.wide = form.sides(knobs.m)
        self.positions = self.high.size * self.wide.size
        self.down, self.across = self.high.tiles, self.wide.tiles
        self.total = self.batch * self.down * self.across
        self.block = self.knobs.tiles
        if not (form.is_line and isinstance(self.total, Size)):
            self.block = min(self.block, self.total)
        self.blocks = ceildiv(self.total, self.block)
        self.rest = self.total - (self.blocks - 1) * self.block  # tiles in the last block
        self.panel = self.knobs.vectors * self.lanes
        self.panels = ceildiv(self.out_c, self.panel)
        self.group = min(self.knobs.panels, self.panels)
        shape = (self.panels, self.positions, self.depth, self.panel)
        packing = Packing(shape, lambda w: pack_weights(w, self.sides, self.panel))
        self.packings = {self.weight: packing}
        self.one_stage = self.knobs.stages == 1
        block_size = self.positions * self.block
        size = block_size * self.in_c * (1 if self.one_stage else self.blocks)
        self.products = Slot(None, "products", Tensor((block_size * self.group * self.panel,)))
        after = ceildiv(self.products.tensor.nbytes, ALIGNMENT) * ALIGNMENT
        position = None if self.one_stage else len(self.workload.inputs)
        self.inputs = Slot(position, "tiles", Tensor((size,)), after if self.one_stage else 0)


def transform_phase(g: Geometry) -> Phase:
    """Every tile's inputs; chunks are (image, row of tiles, group of channel vectors)."""
    slots = [input_slots(g.form, g.packings)[g.source], g.inputs]
    builder = PhaseBuilder(slots, sizes_at=len(g.workload.inputs) + 2)  # temporary and output
    transform = InputTransform(g, builder)
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
            transform.tile((image, th, tw), target, (first, group))
    return builder.finish(g.batch * g.down * groups)


class InputTransform:
    """Emits B^T d B for input tiles d.

    A tile that reaches over the image's border is first copied into a zeroed patch, so there are
    only two forms of the transform's long straight-line code.
    """

    def __init__(self, geometry: Geometry, builder: PhaseBuilder) -> None:
        self.g, self.builder = geometry, builder
        self.source = builder[f"in{geometry.source}"]

    def block(self, block: Index, tiles: Index) -> None:
        """The transformed inputs of one block, into scratch."""
        g, builder = self.g, self.builder
        with builder.loop(tiles, "tile") as tile:
            number = builder.let(block * g.block + tile)
            image, th, tw = split_index(number, (g.batch, g.down, g.across))
            at = (image, builder.let(th), builder.let(tw))
            target = builder.let(tile * g.in_c)
            self.tile(at, target, (0, ceildiv(g.in_c, g.lanes)))

    def tile(
        self, tile: tuple[Index, Index, Index], target: Index, strips: tuple[Index, int]
    ) -> None:
        """One tile, channel vectors (first channel, count)."""
        g, builder = self.g, self.builder
        image, th, tw = tile
        y0 = builder.let(g.high.first(th) - g.rows.pad)
        x0 = builder.let(g.wide.first(tw) - g.columns.pad)
        origin = builder.let(((image * g.rows.size + y0) * g.columns.size + x0) * g.in_c)
        sides = g.high.inside(), g.wide.inside()
        y1, x1 = y0 + (g.high.reach + 1), x0 + (g.wide.reach + 1)
        inside = tirx.all(y0 >= 0, y1 <= g.rows.size, x0 >= 0, x1 <= g.columns.size)
        if all(some for some, _ in sides):
            with builder.when(inside):
                self._channels(target, strips, partial(self._direct, origin))
        if not all(every for _, every in sides):
            with builder.when(tirx.Not(inside)):
                self._channels(target, strips, partial(self._patch, (y0, x0, origin)))

    def _channels(
        self, target: Index, strips: tuple[Index, int], read: Callable[[Index, int], Read]
    ) -> None:
        """Full vectors of channels, then narrower ones; ``read`` prepares a vector's inputs."""
        g, builder = self.g, self.builder
        first, group = strips
        full = g.in_c // g.lanes * g.lanes
        end = tirx.min(first + group * g.lanes, full)
        count = tirx.truncdiv(tirx.max(end - first, 0), g.lanes)
        if full:
            with builder.loop(count, "strip") as strip:
                channel = builder.let(first + strip * g.lanes)
                self._vector(target, channel, g.lanes, read(channel, g.lanes))
        rest = tail(full, g.in_c, g.lanes)
        if rest:
            with builder.when(first + group * g.lanes > full):
                for channel, width in rest:
                    self._vector(target, channel, width, read(channel, width))

    def _load(self, origin: Index, y: Index, x: Index, channel: Index, lane: Index) -> Expr:
        g = self.g
        place = y * g.high.apart * g.columns.size + x * g.wide.apart
        index = origin + place * g.in_c + channel + lane
        return self.builder.load(self.source, index)

    def _direct(self, origin: Index, channel: Index, lanes: int) -> Read:
        return lambda y, x, lane: self._load(origin, y, x, channel, lane)

    def _patch(self, corner: tuple[Index, Index, Index], channel: Index, lanes: int) -> Read:
        """Copy what lies inside the image into a zeroed patch, and read from that."""
        g, builder = self.g, self.builder
        y0, x0, origin = corner
        patch = builder.local(g.positions * lanes)
        with builder.loop(g.positions, "zero") as i, builder.vector(lanes) as lane:
            builder.store(patch, i * lanes + lane, tirx.const(0.0, "float32"))
        top, rows = _overlap(builder, y0, g.high)
        left, columns = _overlap(builder, x0, g.wide)
        with (
            builder.loop(rows, "y", top) as y,
            builder.loop(columns, "x", left) as x,
            builder.vector(lanes) as lane,
        ):
            value = self._load(origin, y, x, channel, lane)
            builder.store(patch, (y * g.wide.size + x) * lanes + lane, value)
        return lambda y, x, lane: builder.load(patch, (y * g.wide.size + x) * lanes + lane)

    def _vector(self, target: Index, channel: Index, lanes: int, read: Read) -> None:
        g, builder = self.g, self.builder

        def write(y: Index, x: int, lane: Index, value: Expr) -> None:
            index = target + (y * g.wide.size + x) * (g.block * g.in_c) + channel + lane
            builder.store(builder["tiles"], index, value)

        matrices = of_inputs(g.high), of_inputs(g.wide)
        two_sided(builder, matrices, lanes, read, write)


def _overlap(builder: PhaseBuilder, start: Index, side: Side) -> tuple[Index, Index]:
    """First and number of a tile's inputs from ``start`` on that lie inside the image."""
    zero, size = tirx.const(0, "int32"), tirx.const(side.size, "int32")
    before, after = tirx.max(zero, 0 - start), side.axis.size - start
    if side.apart == 1:
        low = builder.let(before)
        return low, builder.let(tirx.max(zero, tirx.min(size, after) - low))
    # Kept from TVM's simplifier, whose differences of two quotients are wrong for negative numbers.
    low, high = (
        builder.keep(tirx.truncdiv(distance + (side.apart - 1), side.apart))
        for distance in (before, tirx.max(zero, after))
    )
    return low, builder.let(tirx.max(zero, tirx.min(size, high) - low))
