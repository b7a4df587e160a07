"""Boxes of a class from the best score down, without those that overlap one of these too much.

A chunk is a class of a batch. Its candidates are listed in the scratch; the best one is taken, and
those that it suppresses leave the list, until there are none left or as many as are wanted.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ...emit.builder import Slot
from ...ir.workload import Tensor
from ...tir.indices import Expr, divide, modulo
from ...tir.literals import constant
from ...tvm_late import tirx
from ..alone import NoKnobs
from ..form import Emitted
from ..slots import phase_builder
from .form import Suppression


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
        """The list of candidates is the scratch."""
        listed = Slot(None, "listed", Tensor((self.boxes,), "int32"))
        self.builder = builder = phase_builder(self.form, {}, [listed])
        self.count, self.best = builder.local(1, "int32"), builder.local(1, "int32")
        self.kept, self.top = builder.local(1, "int32"), builder.local(1)
        with builder.chunk_loop() as chunk:
            batch = builder.let(divide(chunk, self.classes))
            self.first_box = builder.let(batch * self.boxes)
            self.first_score = builder.let(
                (batch * self.classes + modulo(chunk, self.classes)) * self.boxes
            )
            self._list()
            with builder.loop(self.room, "place") as place:
                out = chunk * self.room + place
                builder.store(builder["out"], out, constant(-1, "int64"))
                wanted = tirx.Cast("int64", place) < builder.load(builder["in2"], 0)
                with builder.when(tirx.And(builder.load(self.count, 0) > 0, wanted)):
                    self._take_best()
                    best = tirx.Cast("int64", builder.load(self.best, 0))
                    builder.store(builder["out"], out, best)
                    self._suppress()
        phase = builder.finish(self.batches * self.classes)
        return Emitted((phase,), scratch=self.boxes * 4)

    def _score(self, box: Expr) -> Expr:
        return self.builder.load(self.builder["in1"], self.first_score + box)

    def _keep(self, count: Any, box: Expr) -> None:
        """At the end of the list, which has ``count`` boxes so far."""
        builder = self.builder
        builder.store(builder["listed"], builder.load(count, 0), box)
        builder.store(count, 0, builder.load(count, 0) + 1)

    def _list(self) -> None:
        builder = self.builder
        builder.store(self.count, 0, constant(0, "int32"))
        with builder.loop(self.boxes, "box") as box:
            above = self._score(box) > builder.load(builder["in4"], 0)
            with builder.when(above) if self.has_threshold else nullcontext():
                self._keep(self.count, box)

    def _take_best(self) -> None:
        """The first with the highest score."""
        builder = self.builder
        first = builder.load(builder["listed"], 0)
        builder.store(self.best, 0, first)
        builder.store(self.top, 0, self._score(builder.load(self.best, 0)))
        with builder.loop(builder.load(self.count, 0), "i") as i:
            box = builder.load(builder["listed"], i)
            with builder.when(self._score(box) > builder.load(self.top, 0)):
                builder.store(self.top, 0, self._score(box))
                builder.store(self.best, 0, box)

    def _suppress(self) -> None:
        """Keep those of the list that the best neither is nor suppresses."""
        builder = self.builder
        builder.store(self.kept, 0, constant(0, "int32"))
        best = self._corners(builder.load(self.best, 0))
        with builder.loop(builder.load(self.count, 0), "i") as i:
            box = builder.load(builder["listed"], i)
            overlap = builder.local(1)
            builder.store(overlap, 0, self._overlap(best, self._corners(box)))
            stays = builder.load(overlap, 0) <= builder.load(builder["in3"], 0)
            other = box != builder.load(self.best, 0)
            with builder.when(tirx.And(stays, other)):
                self._keep(self.kept, box)
        builder.store(self.count, 0, builder.load(self.kept, 0))

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

    def _overlap(self, a: list[Expr], b: list[Expr]) -> Expr:
        """The area of both over that of either; less than any where there is none."""
        zero = constant(0, "float32")
        sides = [tirx.min(a[i + 1], b[i + 1]) - tirx.max(a[i], b[i]) for i in (0, 2)]
        both = sides[0] * sides[1]
        areas = [(c[1] - c[0]) * (c[3] - c[2]) for c in (a, b)]
        union = areas[0] + areas[1] - both
        are = [side > zero for side in (*sides, both, *areas, union)]
        return tirx.Select(tirx.all(*are), both / union, constant("-inf", "float32"))
