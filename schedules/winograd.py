"""Winograd convolution F(m x m, 3x3), stride 1: fewer multiplications than a direct method.

Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015). The image is cut into
tiles of m x m outputs. Phase one transforms every tile's (m+2) x (m+2) inputs. Phase two takes
blocks of tiles and of output channels: for each of the (m+2)^2 positions a matrix product over the
input channels, into scratch that stays in L2, and then the inverse transform with the epilogue.
m = 4 needs a quarter of the direct method's multiplications, m = 2 four ninths.

Weights are transformed in float64 and packed as [panel][position][C][panel width]. ``target`` says
how large the error is, and which accuracy allows which m.

In one stage instead of two, the transformed inputs of a block stay in scratch as well: better where
there are many tiles and few channels.

Knobs: ``m``; ``stages``; ``tiles`` (tiles in a block), ``rows`` and ``vectors`` (register tile of
the matrix product), ``panels`` (panels of output channels in a chunk), ``channels`` (vectors of
channels that a chunk of phase one transforms), ``ahead`` (whether the weights of the next position
are brought into L2 while one is computed).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from tvm import tirx

from .emit import Expr, Index, PhaseBuilder, ceildiv, divide, modulo, split_index, tail
from .expr import Evaluator, Point
from .kernel import Kernel, Phase
from .space import Schedule
from .target import Target
from .template import (
    Template,
    epilogue,
    input_slots,
    loads,
    output_slot,
    store_element,
)
from .tile import LINE, RegisterTile, column_parts, vector_index
from .winograd_input import Geometry, InputTransform
from .winograd_space import NAME, loops, pays, space
from .winograd_transform import MATRICES, two_sided
from .workload import Workload


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """Two phases; the first one's result is a temporary."""
    return _Winograd(Geometry(workload, target, schedule)).build()


class _Winograd:
    def __init__(self, geometry: Geometry) -> None:
        self.g = geometry
        self.transform = InputTransform(geometry)

    def build(self) -> Kernel:
        """The kernel."""
        g = self.g
        size, scratch = g.inputs.tensor.nbytes, g.products.tensor.nbytes
        if g.one_stage:
            phases: tuple[Phase, ...] = (self._multiply(),)
            temps: tuple[int, ...] = ()
            scratch = g.inputs.offset + size
        else:
            phases, temps = (self.transform.phase(), self._multiply()), (size,)
        return Kernel(g.workload, g.schedule, phases, g.packings, temps, scratch)

    def _multiply(self) -> Phase:
        """Chunks are (group of panels, block of tiles)."""
        slots = [
            *input_slots(self.g.workload, self.g.packings),
            self.g.inputs,
            self.g.products,
            output_slot(self.g.workload, temps=0 if self.g.one_stage else 1),
        ]
        self.builder = builder = PhaseBuilder(slots)
        after = epilogue(self.g.workload)
        self.evaluator = Evaluator(after, builder, loads(builder, after, shift=1))
        groups = ceildiv(self.g.panels, self.g.group)
        with builder.chunk_loop() as chunk:
            block = builder.bind(modulo(chunk, self.g.blocks))
            group = divide(chunk, self.g.blocks)
            rest = self.g.total - (self.g.blocks - 1) * self.g.block
            if rest == self.g.block:
                self._block(block, self.g.block, group)
            else:
                with builder.when(block < self.g.blocks - 1):
                    self._block(block, self.g.block, group)
                with builder.when(block == self.g.blocks - 1):
                    self._block(block, rest, group)
        return builder.finish(self.g.blocks if self.g.one_stage else groups * self.g.blocks)

    def _block(self, block: Index, tiles: int, group: Index) -> None:
        if not self.g.one_stage:
            self._group(block, tiles, group)
            return
        self.transform.block(self.builder, block, tiles)
        with self.builder.loop(ceildiv(self.g.panels, self.g.group), "group") as each:
            self._group(block, tiles, each)

    def _group(self, block: Index, tiles: int, group: Index) -> None:
        """A group of panels for one block: products, then outputs."""
        builder = self.builder
        first = builder.bind(group * self.g.group)
        whole = self.g.panels % self.g.group == 0
        count = self.g.group if whole else tirx.min(self.g.group, self.g.panels - first)
        with builder.loop(count, "panel") as p:
            panel = builder.bind(first + p)
            with builder.loop(self.g.positions, "position") as position:
                self._product(0 if self.g.one_stage else block, tiles, panel, p, position)
        with builder.loop(tiles, "tile") as tile:
            number = builder.bind(block * self.g.block + tile)
            image, th, tw = split_index(number, (self.g.batch, self.g.down, self.g.across))
            at = (image, builder.bind(th * self.g.m), builder.bind(tw * self.g.m), tile)
            with builder.loop(count, "panel") as p:
                self._outputs(at, builder.bind(first + p), p)

    def _product(
        self, block: Index, tiles: int, panel: Index, place: Index, position: Index
    ) -> None:
        """[tiles, C] times [C, panel] for one position, into scratch."""
        builder, step = self.builder, int(self.g.schedule["rows"])
        a0 = builder.bind((block * self.g.positions + position) * (self.g.block * self.g.in_c))
        b0 = builder.bind((panel * self.g.positions + position) * (self.g.in_c * self.g.panel))
        c0 = builder.bind(((place * self.g.positions) + position) * (self.g.block * self.g.panel))
        full, rest = divmod(tiles, step)
        passes = full + (1 if rest else 0)

        def rows(number: Index, count: int) -> None:
            first = builder.bind(number * step)
            register = RegisterTile(builder, count, column_parts(self.g.panel, self.g.lanes))
            with builder.loop(self.g.in_c, "k") as k:
                if self.g.schedule["ahead"]:
                    self._fetch(b0 + self.g.in_c * self.g.panel, number * self.g.in_c + k, passes)
                register.step(
                    lambda row: builder.load(
                        builder["tiles"], a0 + (first + row) * self.g.in_c + k
                    ),
                    lambda column, lanes: builder.load(
                        builder[f"in{self.g.weight}"],
                        vector_index(b0 + k * self.g.panel + column, lanes),
                    ),
                )

            def store(row: int, column: Index, value: Expr) -> None:
                index = c0 + (first + row) * self.g.panel + column
                builder.store(builder["products"], index, value)

            register.finish(self.g.panel, store)

        if full:
            with builder.loop(full, "rows") as i:
                rows(i, step)
        if rest:
            rows(full, rest)

    def _fetch(self, begin: Index, step: Index, passes: int) -> None:
        """Ask for the part of the next position's weights, from ``begin`` on, that falls to this
        ``step`` of the reduction: so that they come from memory while ``passes`` compute.
        """
        share = ceildiv(self.g.panel, passes)
        weights = self.builder[f"in{self.g.weight}"]
        for line in range(0, share, LINE):
            self.builder.prefetch(weights, begin + step * share + line, level=2)

    def _outputs(self, at: tuple[Index, Index, Index, Index], panel: Index, place: Index) -> None:
        """The inverse transform of one tile and panel, with the epilogue."""
        builder = self.builder
        last = self.g.out_c - (self.g.panels - 1) * self.g.panel
        if last == self.g.panel:
            self._columns(at, panel, place, self.g.panel)
            return
        if self.g.panels > 1:
            with builder.when(panel < self.g.panels - 1):
                self._columns(at, panel, place, self.g.panel)
        with builder.when(panel == self.g.panels - 1):
            self._columns(at, panel, place, last)

    def _columns(
        self, at: tuple[Index, Index, Index, Index], panel: Index, place: Index, channels: int
    ) -> None:
        builder = self.builder
        image, oh, ow, tile = at
        base = builder.bind((place * self.g.positions * self.g.block + tile) * self.g.panel)
        stride = self.g.block * self.g.panel
        local = builder.local(self.g.m * self.g.m * self.g.lanes)
        for column in range(0, channels, self.g.lanes):
            width = min(self.g.lanes, channels - column)
            with builder.vector(self.g.lanes) as lane:
                values: list[list[Expr | None]] = [
                    [
                        builder.bind(
                            builder.load(
                                builder["products"],
                                base + (y * self.g.size + x) * stride + column + lane,
                            )
                        )
                        for x in range(self.g.size)
                    ]
                    for y in range(self.g.size)
                ]
                result = two_sided(MATRICES[self.g.m][2], values, builder.bind)
                for y in range(self.g.m):
                    for x in range(self.g.m):
                        builder.store(local, (y * self.g.m + x) * self.g.lanes + lane, result[y][x])
            self._store_tile((image, oh, ow), panel, column, width, local)

    def _store_tile(
        self, at: tuple[Index, Index, Index], panel: Index, column: int, width: int, local: Expr
    ) -> None:
        builder, shape = self.builder, self.g.workload.output.shape
        image, oh, ow = at

        def element(y: int, x: int, offset: int, lanes: int) -> None:
            with builder.vector(lanes) as lane:
                channel = panel * self.g.panel + column + offset + lane
                flat = (
                    (image * self.g.out_h + oh + y) * self.g.out_w + ow + x
                ) * self.g.out_c + channel
                value = builder.load(local, (y * self.g.m + x) * self.g.lanes + offset + lane)
                self.evaluator.forget()
                self.evaluator.sources[0] = lambda point: value
                point = Point(shape, (image, oh + y, ow + x, channel), flat)
                store_element(self.evaluator, point)

        for y in range(self.g.m):
            with _unless(
                builder,
                self.g.out_h % self.g.m > y or not self.g.out_h % self.g.m,
                oh + y < self.g.out_h,
            ):
                for x in range(self.g.m):
                    always = self.g.out_w % self.g.m > x or not self.g.out_w % self.g.m
                    with _unless(builder, always, ow + x < self.g.out_w):
                        for offset, lanes in tail(0, width, self.g.lanes):
                            element(y, x, offset, lanes)


def _unless(builder: PhaseBuilder, always: bool, condition: Expr) -> AbstractContextManager[None]:
    return nullcontext() if always else builder.when(condition)


TEMPLATE = Template(NAME, space, kernel, pays, loops)
