"""Depthwise convolution and pooling in channels-last layout: each channel by itself.

The register tile is ``tile_w`` neighbouring outputs by ``vectors`` vectors of channels; the taps of
a kernel row are written out, so that neighbouring outputs share their loads. Depthwise weights are
packed as [KH][KW][C].

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk).
"""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.tile import RegisterTile
from ...ir.dtype import FLOAT32
from ...ir.kernel import Array, Kernel, Packing
from ...ir.space import Config, Knob, Schedule, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.compare import extreme
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, tail
from ...tvm_late import tirx
from ..loops import Knobs, Loops
from ..taps import Combine, Vectors, add_taps, multiply_add
from ..template import (
    Template,
    anchor_is_first,
    epilogue,
    input_slots,
    loads,
    output_slot,
    store_element,
)
from ..window import ColumnTile, axes, balanced_width, each_tile

NAME = "channelwise"
VERSION = 1


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 depthwise convolutions (one output for each channel) and 2-D pooling."""
    if not _fits(workload):
        return None
    _, out_h, out_w, channels = workload.nodes[0].out.shape
    limit = ceildiv(channels, target.lanes(FLOAT32))
    knobs = (
        Knob("tile_w", tuple(range(1, min(out_w, 14) + 1)), "neighbouring outputs in a tile"),
        Knob("vectors", tuple(v for v in (1, 2, 4) if v <= limit) or (1,), "vectors of channels"),
        Knob("rows", tuple(2**i for i in range(10) if 2**i < 2 * out_h), "output rows in a chunk"),
    )

    def valid(config: Config) -> bool:
        return (
            2 * int(config["tile_w"]) * int(config["vectors"]) <= target.vector_registers * 3 // 2
        )

    vectors = 2 if limit >= 2 else 1
    batch = workload.nodes[0].out.shape[0]
    rows = max(1, out_h * batch // (6 * target.threads))
    # Little work for the taps of a tile: larger chunks than the cores need.
    row_work = out_w * channels * _taps(workload)
    rows = min(max(rows, ceildiv(16384, row_work)), out_h)
    default = {
        "tile_w": balanced_width(out_w, max(2, target.vector_registers // (4 * vectors))),
        "vectors": vectors,
        "rows": 2 ** (rows.bit_length() - 1),
    }
    return Space(NAME, VERSION, knobs, default, valid)


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nest of every schedule in a table; a step is one tap of the window."""
    node = workload.nodes[0]
    batch, height, width, channels = workload.tensor(node.args[0]).shape
    _, out_h, out_w, _ = node.out.shape
    (kh, kw), (_, stride) = _kernel_size(workload), node.attr("strides")
    tile_w, vectors = knobs["tile_w"], knobs["vectors"]
    rows, taps = np.minimum(knobs["rows"], out_h), kh * kw
    columns = (tile_w - 1) * stride + kw  # of the input, that a tile reads
    strips = ceildiv(channels, vectors * target.lanes(FLOAT32))
    line = FLOAT32.nbytes(width * channels)
    lines = np.minimum(height, (height / out_h) * rows + kh - 1)
    patch = vectors * target.vector_bytes * kh * (columns + kw)
    return Loops(
        chunks=batch * ceildiv(out_h, rows),
        sums=tile_w * vectors,
        loads=vectors * (columns + kw) / kw,
        depth=taps,
        steps=batch * out_h * ceildiv(out_w, tile_w) * strips * taps,
        work=batch * out_h * out_w * ceildiv(channels, target.lanes(FLOAT32)) * taps,
        inner=patch,
        kept=patch,
        streamed=batch * out_h * kh * line,
        chunk=lines * line + FLOAT32.nbytes(rows * out_w * channels),
    )


def _taps(workload: Workload) -> int:
    kh, kw = _kernel_size(workload)
    return kh * kw


def _kernel_size(workload: Workload) -> tuple[int, int]:
    node = workload.nodes[0]
    if isinstance(ops.of(node), ops.Pool):
        kh, kw = node.attr("kernel")
        return int(kh), int(kw)
    _, kh, kw, _ = workload.tensor(node.args[1]).shape
    return kh, kw


def _fits(workload: Workload) -> bool:
    first = workload.nodes[0]
    floats = workload.output.element == first.out.element == FLOAT32
    pools = floats and isinstance(ops.of(first), ops.Pool) and anchor_is_first(workload, first.op)
    return pools or is_depthwise(workload)


def is_depthwise(workload: Workload) -> bool:
    """Whether it is a float32 convolution of constant weights, one output for each channel."""
    node = workload.nodes[0]
    if workload.output.element != FLOAT32 or node.out.element != FLOAT32:
        return False
    if not anchor_is_first(workload, "conv2d") or not workload.constants[node.args[1]]:
        return False
    channels = workload.tensor(node.args[0]).shape[3]
    return bool(node.attr("groups") == channels == node.out.shape[3] and channels > 1)


def pack_weights(array: Array) -> Array:
    """[C,KH,KW,1] to [KH][KW][C]."""
    return np.ascontiguousarray(array[..., 0].transpose(1, 2, 0))


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase; chunks are (image, block of rows)."""
    return _Channelwise(workload, target, schedule).build()


_COMBINE: dict[str, Combine] = {
    "conv2d": multiply_add,
    "avg_pool2d": lambda old, value, _: old + value,
    "max_pool2d": lambda old, value, _: extreme("max", old, value),  # NaN wins, as in ONNX Runtime
}


class _Channelwise:
    def __init__(self, workload: Workload, target: Target, schedule: Schedule) -> None:
        self.node = workload.nodes[0]
        self.op = self.node.op
        self.workload, self.schedule = workload, schedule
        self.batch, self.height, self.width, self.channels = workload.tensor(
            self.node.args[0]
        ).shape
        _, self.out_h, self.out_w, _ = self.node.out.shape
        self.kh, self.kw = _kernel_size(workload)
        source = workload.tensor(self.node.args[0])
        self.pitch = source.pitch or self.channels
        self.rows, self.columns = axes(self.node, source, (self.kh, self.kw))
        self.lanes = target.lanes(FLOAT32)

    def build(self) -> Kernel:
        """The kernel."""
        packings: list[Packing | None] = [None] * len(self.workload.inputs)
        if self.op == "conv2d":
            packings[self.node.args[1]] = Packing((self.kh, self.kw, self.channels), pack_weights)
        slots = [*input_slots(self.workload, packings), output_slot(self.workload)]
        self.builder = builder = PhaseBuilder(slots)
        after = epilogue(self.workload)
        self.evaluator = Evaluator(after, builder, loads(builder, after, shift=1))
        row_block = int(self.schedule["rows"])
        blocks = ceildiv(self.out_h, row_block)
        with builder.chunk_loop() as chunk:
            row0 = builder.bind(modulo(chunk, blocks) * row_block)
            image = divide(chunk, blocks)
            whole = self.out_h % row_block == 0
            rows = row_block if whole else tirx.min(row_block, self.out_h - row0)
            with builder.loop(rows, "oh", row0) as oh:
                self._row(image, oh)
        phase = builder.finish(self.batch * blocks)
        return Kernel(self.workload, self.schedule, (phase,), tuple(packings))

    def _row(self, image: Index, oh: Index) -> None:
        builder = self.builder
        low, taps = self.rows.limits(builder, oh)
        step = int(self.schedule["vectors"]) * self.lanes
        full = self.channels // step
        vectors = [(i * self.lanes, self.lanes) for i in range(int(self.schedule["vectors"]))]
        tile_w = int(self.schedule["tile_w"])

        def tiles(first: Index, parts: list[tuple[int, int]]) -> None:
            each_tile(
                builder,
                self.columns,
                tile_w,
                lambda ow, tile: self._tile((image, oh, ow, first), tile, parts, (low, taps)),
            )

        if full:
            with builder.loop(full, "block") as block:
                tiles(builder.bind(block * step), vectors)
        rest = tail(0, self.channels - full * step, self.lanes)
        for begin in range(0, len(rest), len(vectors)):
            tiles(full * step, rest[begin : begin + len(vectors)])

    def _tile(
        self,
        at: tuple[Index, ...],
        tile: ColumnTile,
        parts: list[tuple[int, int]],
        taps: tuple[Index, Index],
    ) -> None:
        image, oh, ow, channel = at
        builder = self.builder
        register = RegisterTile(builder, tile.width, parts)
        if self.op == "max_pool2d":
            register.fill(-np.inf)
        with builder.loop(taps[1], "kh", taps[0]) as kh:
            ih = oh * self.rows.stride - self.rows.pad + kh * self.rows.dilation
            iw = ow * self.columns.stride - self.columns.pad
            pixel = builder.bind(((image * self.height + ih) * self.width + iw) * self.pitch)
            source = Vectors(builder[f"in{self.node.args[0]}"], pixel + channel, self.pitch)
            weights = None
            if self.op == "conv2d":
                first = kh * self.kw * self.channels + channel
                weights = Vectors(builder[f"in{self.node.args[1]}"], first, self.channels)
            add_taps(register, tile, self.columns, source, weights, _COMBINE[self.op])
        self._store(register, at, tile, taps[1])

    def _store(
        self, register: RegisterTile, at: tuple[Index, ...], tile: ColumnTile, taps: Index
    ) -> None:
        image, oh, ow, channel0 = at
        builder, shape = self.builder, self.workload.output.shape
        pixel = builder.bind((image * self.out_h + oh) * self.out_w + ow)
        scales = self._scales(tile, taps)

        def store(row: int, column: Index, value: Expr) -> None:
            channel = channel0 + column
            flat = (pixel + row) * self.channels + channel
            result = value if scales is None else value * scales[row]
            self.evaluator.forget()
            self.evaluator.sources[0] = lambda point: result
            point = Point(shape, (image, oh, ow + row, channel), flat)
            store_element(self.evaluator, point)

        register.finish(sum(lanes for _, lanes in register.parts), store)

    def _scales(self, tile: ColumnTile, taps: Index) -> list[Expr] | None:
        """What the sum of each output of the tile is multiplied with; None for one."""
        if self.op != "avg_pool2d":
            return None
        if self.node.attr("count_include_pad"):
            return [tirx.const(1.0 / (self.kh * self.kw), "float32")] * tile.width
        counts = [sum(row in outputs for outputs in tile.taps) for row in range(tile.width)]
        by_count = {c: self._share(taps, c) for c in set(counts)}
        return [by_count[c] for c in counts]

    def _share(self, rows: Index, columns: int) -> Expr:
        """One of the elements that a window has inside of the image; NaN of none."""
        one, nan = tirx.const(1.0, "float32"), tirx.const(math.nan, "float32")
        if columns == 0 or (isinstance(rows, int) and rows == 0):
            return nan
        may_miss = not isinstance(rows, int) and self._misses_image()
        some = tirx.const(rows, "int32") if isinstance(rows, int) else rows
        if may_miss:
            some = tirx.max(some, tirx.const(1, "int32"))
        height = tirx.Cast("float32", some)
        share = one / (height * tirx.const(float(columns), "float32"))
        return self.builder.bind(tirx.Select(rows > 0, share, nan) if may_miss else share)

    def _misses_image(self) -> bool:
        """Whether a window has all its rows in the padding."""
        (stride, _), (dilation, _) = self.node.attr("strides"), self.node.attr("dilations")
        top, height = self.node.attr("pads")[0], self.workload.inputs[self.node.args[0]].shape[1]
        return not all(
            any(0 <= oh * stride - top + kh * dilation < height for kh in range(self.kh))
            for oh in range(self.out_h)
        )


TEMPLATE = Template(NAME, space, kernel, loops=loops)
