"""A 1x1 convolution of bfloat16 and the depthwise one of float32 after it, as ``separable``.

A first phase rounds the image once for all blocks of channels, where it is not in bfloat16 as it
lies; its pixels are whole pairs, or whole steps of tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ...emit.bfloat16 import BITS, bring_run
from ...emit.builder import Slot
from ...emit.evaluator import Point
from ...emit.rounded_rows import store_rows
from ...emit.steps import each_step
from ...emit.tile import Parts, RegisterTile
from ...ir.kernel import Packing, Phase
from ...ir.workload import Tensor, Workload
from ...tir.indices import Expr, Index, ceildiv, extent
from ...tvm_late import tirx
from ..form import Emitted
from ..gemm.emit import matrix_of
from ..separable.emit import SeparableNest
from ..separable.form import Knobs
from ..slots import phase_builder
from .form import Bfloat16Separable

_BANDS = 8  # of an image, each rounded by one chunk


def kernel(form: Bfloat16Separable, knobs: Knobs) -> Emitted:
    """Chunks are bands of rows, then (image, band of rows, block of channels)."""
    return _Bfloat16Nest(form, knobs).build()


class _Bfloat16Nest(SeparableNest):
    def __init__(self, form: Bfloat16Separable, knobs: Knobs) -> None:
        super().__init__(form, knobs)
        self.dots, self.pixel, self.steps = form.micro, form.pixel, form.steps
        self.lines = form.second.batch * self.rows.size  # of all images
        size = self.lines * self.columns.size * self.pixel
        place = len(self.workload.inputs)
        if form.rounds:
            self.temps = (Slot(place, "rounded", Tensor((size,), BITS.name)),)

    def build(self) -> Emitted:
        """The kernel."""
        made = super().build()
        if not self.temps:
            return made
        phases = (self._rounding(), *made.phases)
        temps = tuple(slot.tensor.nbytes for slot in self.temps)
        return Emitted(phases, made.packings, temps, made.scratch)

    def _rounding(self) -> Phase:
        """The phase that rounds the image."""
        form, p, across = self.form, self.p, self.columns.size
        builder = phase_builder(form, self._packings(), self.temps, len(self.temps))
        image, target = builder[f"in{p.a}"], builder["rounded"]
        each = max(1, self.rows.size // _BANDS)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * each)
            with builder.loop(extent(first, each, self.lines), "line", first) as line:
                if p.k == self.pixel:
                    begin = builder.let(line * (across * p.k))
                    bring_run(builder, (image, begin), (target, begin), across * p.k)
                else:
                    with builder.loop(across, "pixel") as x:
                        at = builder.let(line * across + x)
                        old, new = builder.let(at * p.k), builder.let(at * self.pixel)
                        bring_run(builder, (image, old), (target, new), p.k)
                        for i in range(p.k, self.pixel):
                            builder.store(target, new + i, tirx.const(0, BITS.name))
        return builder.finish(ceildiv(self.lines, each))

    def _last(self) -> Workload:
        """With what the output lies in memory as."""
        after = super()._last()
        *nodes, last = after.nodes
        return replace(after, nodes=(*nodes, replace(last, out=self.workload.output)))

    def _store(
        self, register: RegisterTile, channels: int, point: Callable[[Index, Index], Point]
    ) -> None:
        store_rows(register, self.after, channels, point)

    @contextmanager
    def _all_chunks(self) -> Iterator[Expr]:
        with (
            self.dots.registers(self.builder, self.width) as self.register,
            super()._all_chunks() as chunk,
        ):
            yield chunk

    def _register(self, pixels: int, parts: Parts) -> RegisterTile:
        return self.register(pixels, parts)

    @property
    def _panel(self) -> int:
        """Elements of a panel of weights."""
        return self.dots.panel(self.dots.blocks(self.p.k), self.width)

    def _matrix(self) -> Packing:
        p, width = self.p, self.width
        shape = self.blocks, self._panel
        return Packing(shape, lambda b: self.dots.packed(matrix_of(b, p), width), BITS.name)

    def _reduce(self, register: RegisterTile, pixel0: Index, block: Index) -> None:
        builder, micro = self.builder, self.dots
        first = builder.let(pixel0 * self.pixel)
        panel = builder.let(block * self._panel)
        image = builder["rounded"] if self.temps else builder[f"in{self.p.a}"]
        weights, each = builder[f"in{self.p.b}"], micro.groups * micro.steps
        for _, written in each_step(builder, self.steps, self.knobs.unroll):
            for k in written:
                shared = image, first + k * each, self.pixel
                own = weights, panel + k * micro.units(self.width * micro.groups)
                micro.step(register, shared, own)
