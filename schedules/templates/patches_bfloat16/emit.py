"""Convolutions of few pixels as products of bfloat16.

A chunk brings what its outputs read into scratch, a row for each, tap by tap, and zeros where a tap
lies outside of the image. All else is as in ``gemm_bfloat16``.
"""

from __future__ import annotations

from ...emit.bfloat16 import BITS, bring_run
from ...tir.indices import Index, divide, modulo, split_index
from ...tvm_late import tirx
from ..form import Emitted
from ..gemm_bfloat16.emit import Bfloat16Nest
from ..gemm_integer.form import Knobs
from .form import Bfloat16Patches


def kernel(form: Bfloat16Patches, knobs: Knobs) -> Emitted:
    """One phase; chunks are (block of panels, block of rows)."""
    return _Nest(form, knobs).build()


class _Nest(Bfloat16Nest):
    def gather(self, at: Index, row0: Index, rows: int, place: Index) -> None:
        builder, form, p = self.builder, self.form, self.p
        assert isinstance(form, Bfloat16Patches)
        down, across = form.down, form.across
        channels = p.k // (down.kernel * across.kernel)
        image, scratch, zero = builder[f"in{p.a}"], builder["rows"], tirx.const(0, BITS.name)
        taps = down.kernel * across.kernel
        with builder.loop(rows, "row") as row:
            begin = builder.let((place + row) * self.pitch)
            n, oh, ow = split_index(row0 + row, form.node.out.shape[:3])
            top = builder.let(oh * down.stride - down.pad)
            left = builder.let(ow * across.stride - across.pad)
            with builder.loop(taps, "tap") as tap:
                ih = builder.let(top + divide(tap, across.kernel) * down.dilation)
                iw = builder.let(left + modulo(tap, across.kernel) * across.dilation)
                new = builder.let(begin + tap * channels)
                inside = tirx.all(ih >= 0, ih < down.size, iw >= 0, iw < across.size)
                with builder.when(inside):
                    old = builder.let(((n * down.size + ih) * across.size + iw) * channels)
                    bring_run(builder, (image, old), (scratch, new), channels)
                with builder.when(tirx.Not(inside)):
                    for i in builder.strips(channels, 2 * self.lanes):
                        builder.store(scratch, new + i, zero)
            for i in range(p.k, self.blocks * self.micro.steps):
                builder.store(scratch, begin + i, zero)
