"""Boxes of a class from the best score down, without those that overlap a better one too much.

A chunk is a class of a batch. Its candidates are in a heap, so that no more of them are put in
order than are looked at; each is compared with those that were kept, many at a time, until one
suppresses it. The kept ones' corners lie side by side, in blocks that a vector has room for.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.size import ceildiv
from ...tir.indices import Expr, Index, divide, modulo
from ...tir.literals import constant
from ...tir.order import key_of
from ...tvm_late import tirx
from ..alone import NoKnobs
from ..form import Emitted
from ..heap import Heap
from ..radix import Scratch
from ..slots import phase_builder
from .form import Suppression

_BLOCK = 16  # kept boxes that a candidate is compared with at once
_SIDES = ("low0", "high0", "low1", "high1")


def kernel(form: Suppression, knobs: NoKnobs) -> Emitted:
    """One phase."""
    return _Suppression(form).build()


class _Suppression:
    def __init__(self, form: Suppression) -> None:
        self.form = form
        self.batches, self.classes, self.room = form.workload.output.shape
        self.boxes = form.workload.inputs[1].shape[2]
        self.is_center = bool(form.node.attr("center"))
        self.has_threshold = bool(form.node.attr("threshold"))

    def build(self) -> Emitted:
        """The heap and the kept boxes are the scratch."""
        scratch, self.heap = Scratch(), Heap("heap", "uint64")
        self.heap.reserve(scratch, self.boxes)
        blocks = ceildiv(self.room, _BLOCK)
        for side in _SIDES:
            scratch.add(side, blocks * _BLOCK, "float32")
        self.builder = builder = phase_builder(self.form, {}, scratch.slots)
        with builder.chunk_loop() as chunk:
            batch = builder.let(divide(chunk, self.classes))
            self.first_box = builder.let(batch * self.boxes)
            self.first_score = builder.let(
                (batch * self.classes + modulo(chunk, self.classes)) * self.boxes
            )
            self.first_out = builder.let(chunk * self.room)
            with builder.loop(self.room, "place") as place:
                builder.store(builder["out"], self.first_out + place, constant(-1, "int64"))
            self._list()
            self._choose()
        phase = builder.finish(self.batches * self.classes)
        return Emitted((phase,), scratch=scratch.size)

    def _list(self) -> None:
        """The keys of candidates: the best score first, then the lowest number; NaNs last."""
        builder, heap = self.builder, self.heap
        heap.begin(builder)
        with builder.loop(self.boxes, "box") as box:
            score = builder.load(builder["in1"], self.first_score + box)
            key = tirx.Cast("uint64", key_of(score * constant(-1.0, "float32"), "float32"))
            high = tirx.shift_left(key, constant(32, "uint64"))
            above = score > builder.load(builder["in4"], 0)
            one = tirx.Cast("int32", above) if self.has_threshold else constant(1, "int32")
            heap.add(tirx.bitwise_or(high, tirx.Cast("uint64", box)), one)
        heap.order()

    def _choose(self) -> None:
        builder, heap = self.builder, self.heap
        kept, most = builder.local(1, "int32"), builder.local(1, "int32")
        wanted = builder.load(builder["in2"], 0)
        within = tirx.max(constant(0, "int64"), tirx.min(wanted, constant(self.room, "int64")))
        builder.store(most, 0, tirx.Cast("int32", within))
        builder.store(kept, 0, constant(0, "int32"))
        goes_on = tirx.And(heap.count > 0, builder.load(kept, 0) < builder.load(most, 0))
        with builder.repeated(goes_on):
            number = builder.local(1, "int32")
            low = tirx.bitwise_and(heap.take(), constant((1 << 32) - 1, "uint64"))
            builder.store(number, 0, tirx.Cast("int32", low))
            corners = self._corners(builder.load(number, 0))
            goes = self._is_suppressed(corners, builder.load(kept, 0))
            with builder.when(goes == 0):
                at = builder.let(builder.load(kept, 0))
                box = tirx.Cast("int64", builder.load(number, 0))
                builder.store(builder["out"], self.first_out + at, box)
                self._keep(corners, at)
                builder.store(kept, 0, at + 1)

    def _is_suppressed(self, corners: Sequence[Expr], kept: Expr) -> Expr:
        """Not 0 where one of the kept boxes overlaps this one too much."""
        builder = self.builder
        goes = builder.local(1, "int32")
        builder.store(goes, 0, constant(0, "int32"))
        share = builder.load(builder["in3"], 0)
        blocks = tirx.shift_right(kept + (_BLOCK - 1), constant(_BLOCK.bit_length() - 1, "int32"))
        with (
            builder.loop(blocks, "block") as block,
            builder.when(builder.load(goes, 0) == 0),
            builder.loop(_BLOCK, "other") as i,
        ):
            other = [builder.load(builder[side], block * _BLOCK + i) for side in _SIDES]
            more = tirx.Cast("int32", _overlap(other, corners) > share)
            builder.store(goes, 0, tirx.bitwise_or(builder.load(goes, 0), more))
        return builder.load(goes, 0)

    def _keep(self, corners: Sequence[Expr], at: Index) -> None:
        """At ``at``; the first one of a block clears the rest, which overlap nothing."""
        builder = self.builder
        with builder.when(modulo(at, _BLOCK) == 0), builder.loop(_BLOCK, "other") as i:
            for side in _SIDES:
                builder.store(builder[side], at + i, constant(0.0, "float32"))
        for side, corner in zip(_SIDES, corners, strict=True):
            builder.store(builder[side], at, corner)

    def _corners(self, box: Expr) -> list[Expr]:
        """The lowest and highest first coordinate, then those of the second one."""
        builder = self.builder
        corners = builder.local(4)
        at = [builder.load(builder["in0"], (self.first_box + box) * 4 + i) for i in range(4)]
        if self.is_center:
            half = [at[2] * constant(0.5, "float32"), at[3] * constant(0.5, "float32")]
            ends = [at[0] - half[0], at[0] + half[0], at[1] - half[1], at[1] + half[1]]
        else:
            ends = [f(at[i], at[i + 2]) for i in (0, 1) for f in (tirx.min, tirx.max)]
        for i, end in enumerate(ends):
            builder.store(corners, i, end)
        return [builder.load(corners, i) for i in range(4)]


def _overlap(a: Sequence[Expr], b: Sequence[Expr]) -> Expr:
    """The area of both over that of either; less than any where there is none."""
    zero = constant(0, "float32")
    sides = [tirx.min(a[i + 1], b[i + 1]) - tirx.max(a[i], b[i]) for i in (0, 2)]
    both = sides[0] * sides[1]
    areas = [(c[1] - c[0]) * (c[3] - c[2]) for c in (a, b)]
    union = areas[0] + areas[1] - both
    are = [side > zero for side in (*sides, both, *areas, union)]
    return tirx.Select(tirx.all(*are), both / union, constant("-inf", "float32"))
