"""Transposed convolutions as products of bfloat16, whose results are placed where they belong.

A row of the product is a pixel; its columns are the channels of one tap after the other. Panels are
of one tap each.
"""

from __future__ import annotations

from ...emit.evaluator import Point
from ...emit.rounded_rows import store_rows
from ...emit.tile import RegisterTile
from ...tir.indices import Index, divide, modulo
from ...tir.point import matrix_point
from ..form import Emitted
from ..gemm_bfloat16.emit import Bfloat16Nest
from ..gemm_integer.form import Knobs
from .form import Bfloat16ConvTranspose


def kernel(form: Bfloat16ConvTranspose, knobs: Knobs) -> Emitted:
    """One phase; chunks are (block of panels, block of rows)."""
    return _Nest(form, knobs).build()


class _Nest(Bfloat16Nest):
    def store(self, register: RegisterTile, row0: Index, column0: Index, columns: int) -> None:
        node = self.form.node
        down, across = node.attr("strides")
        wide, channels = node.out.shape[2:]
        tap = self.builder.let(divide(column0, channels))
        first = self.builder.let(column0 - tap * channels)
        begin = self.builder.let(divide(tap, across) * wide + modulo(tap, across))
        shape = self.evaluator.workload.output.shape

        def point(row: Index, column: Index) -> Point:
            pixel = row0 + row
            line, place = divide(pixel, wide // across), modulo(pixel, wide // across)
            at = line * (down * wide) + place * across + begin
            return matrix_point(shape, channels, at, first + column)

        store_rows(register, self.evaluator, columns, point)
