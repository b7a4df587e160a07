"""A 1x1 convolution of bfloat16 and the depthwise one of float32 after it, as ``separable``.

A first phase rounds the image once for all blocks of channels, where it is not in bfloat16 as it
lies; its pixels are whole pairs.
"""

from __future__ import annotations

from dataclasses import replace

from ...emit.bfloat16 import BITS, PAIRS, bring_run
from ...emit.builder import Slot
from ...emit.tile import RegisterTile
from ...ir.kernel import Packing, Phase
from ...ir.workload import Tensor, Workload
from ...tir.indices import Index, ceildiv, extent
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
        self.micro = PAIRS
        self.pairs, self.pixel = form.pairs, form.pairs * PAIRS.steps
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
                        builder.store(target, new + p.k, tirx.const(0, BITS.name))
        return builder.finish(ceildiv(self.lines, each))

    def _last(self) -> Workload:
        """With what the output lies in memory as."""
        after = super()._last()
        *nodes, last = after.nodes
        return replace(after, nodes=(*nodes, replace(last, out=self.workload.output)))

    def _matrix(self) -> Packing:
        p, width = self.p, self.width
        shape = self.blocks, PAIRS.panel(self.pairs, width)
        return Packing(shape, lambda b: PAIRS.packed(matrix_of(b, p), width), BITS.name)

    def _reduce(self, register: RegisterTile, pixel0: Index, block: Index) -> None:
        builder, unroll = self.builder, self.knobs.unroll
        first = builder.let(pixel0 * self.pixel)
        panel = builder.let(block * PAIRS.panel(self.pairs, self.width))
        image = builder["rounded"] if self.temps else builder[f"in{self.p.a}"]
        weights = builder[f"in{self.p.b}"]
        with builder.loop(self.pairs // unroll, "k") as step:
            for u in range(unroll):
                k = step * unroll + u
                shared = image, first + k * PAIRS.steps, self.pixel
                PAIRS.step(register, shared, (weights, panel + k * PAIRS.units(self.width)))
