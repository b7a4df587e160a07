"""Convolutions of bfloat16 with sums in float32: those of ``conv_integer`` in pairs, where the rows
that a chunk reads are rounded on their way into scratch. Weights are packed in bfloat16.

Where a run of neighbours does not fill its last step, that multiplies what follows by 0: one
infinity or NaN there makes NaN of the output beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ...emit.bfloat16 import bring_run
from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Point
from ...emit.rounded_rows import store_rows
from ...emit.staging import Place
from ...emit.tile import RegisterTile
from ...tir.indices import Index
from ...tvm_late import tirx
from ..conv_integer.emit import ConvNest
from ..conv_integer.form import Knobs
from ..form import Emitted
from ..window_rows import WindowRows
from .form import Bfloat16Conv


def kernel(form: Bfloat16Conv, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, block of panels, block of rows)."""
    return _Bfloat16Nest(form, knobs).build()


class _Bfloat16Rows(WindowRows):
    """Numbers follow each, so that whatever a last step reads is one."""

    def bring(
        self,
        builder: PhaseBuilder,
        source: Any,
        target: Any,
        at: tuple[Index, Index, Index],
        lanes: int,
    ) -> None:
        """As of whole numbers."""
        zero, after = tirx.const(0, self.micro.a.name), self.wide * self.channels
        with builder.loop(self._high(at[2]), "line") as line:
            for i in range(max(1, self.beyond)):
                builder.store(target, line * self.pitch + after + i, zero)
        super().bring(builder, source, target, at, lanes)

    def _copy(
        self, builder: PhaseBuilder, source: Place, target: Place, count: int, lanes: int
    ) -> None:
        bring_run(builder, source, target, count)


class _Bfloat16Nest(ConvNest):
    def _lines(self) -> WindowRows:
        found = super()._lines()
        return _Bfloat16Rows(*(getattr(found, field.name) for field in fields(found)))

    def store(
        self, register: RegisterTile, channels: int, point: Callable[[Index, Index], Point]
    ) -> None:
        """What is made of the sums of some outputs and channels; ``point`` says where they are."""
        store_rows(register, self.evaluator, channels, point)
