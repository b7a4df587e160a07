"""The cheapest way through a matrix, row by row; each element remembers where it was come from.

One chunk: an element's cost follows from those before it.
"""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..alone import NoKnobs
from ..form import Emitted
from ..slots import phase_builder
from .form import Warping


def kernel(form: Warping, knobs: NoKnobs) -> Emitted:
    """One phase."""
    return _Warping(form).build()


class _Warping:
    """``costs`` are those of the row before, and of this one up to where it is; ``steps`` are 0
    from both before, 1 from the row before, 2 from the column before."""

    def __init__(self, form: Warping) -> None:
        self.rows, self.columns = form.workload.inputs[0].shape
        self.most = self.rows + self.columns  # one more than a way has steps
        slots = [
            Slot(1, "steps", Tensor((self.rows * self.columns,), "uint8")),
            Slot(2, "costs", Tensor((self.columns + 1,), "float32")),
            Slot(3, "back", Tensor((2 * self.most,), "int32")),
        ]
        self.temps = tuple(slot.tensor.nbytes for slot in slots)
        self.builder: PhaseBuilder = phase_builder(form, {}, slots, temps=len(slots))

    def build(self) -> Emitted:
        """There, and back."""
        with self.builder.chunk_loop():
            self._go()
            self._return()
        return Emitted((self.builder.finish(1),), temps=self.temps)

    def _load(self, name: str, at: Index) -> Expr:
        return self.builder.load(self.builder[name], at)

    def _store(self, name: str, at: Index, value: Any) -> None:
        self.builder.store(self.builder[name], at, value)

    def _go(self) -> None:
        builder, infinite = self.builder, constant("inf", "float32")
        corner, least = builder.local(1), builder.local(1)
        with builder.loop(self.columns + 1, "column") as j:
            first = tirx.Select(j == 0, constant(0.0, "float32"), infinite)
            self._store("costs", j, first)
        with builder.loop(self.rows, "row") as i:
            builder.store(corner, 0, self._load("costs", 0))
            self._store("costs", 0, infinite)
            with builder.loop(self.columns, "column") as j:
                both, above = builder.load(corner, 0), self._load("costs", j + 1)
                left = self._load("costs", j)
                is_both = tirx.And(both < above, both < left)
                is_above = tirx.And(above < both, above < left)
                step = tirx.Select(is_both, 0, tirx.Select(is_above, 1, 2))
                place = i * self.columns + j
                self._store("steps", place, tirx.Cast("uint8", step))
                cost = tirx.Select(is_both, both, tirx.Select(is_above, above, left))
                builder.store(least, 0, cost)
                builder.store(corner, 0, above)
                cost = builder.load(least, 0) + self._load("in0", place)
                self._store("costs", j + 1, cost)

    def _return(self) -> None:
        builder = self.builder
        row, column, count = (builder.local(1, "int32") for _ in range(3))
        for place, first in ((row, self.rows - 1), (column, self.columns - 1), (count, 0)):
            builder.store(
                place, 0, first if not isinstance(first, int) else constant(first, "int32")
            )
        with builder.loop(self.most, "step") as k:
            inside = tirx.And(builder.load(row, 0) >= 0, builder.load(column, 0) >= 0)
            with builder.when(inside):
                self._store("back", k, builder.load(row, 0))
                self._store("back", self.most + k, builder.load(column, 0))
                builder.store(count, 0, k + 1)
                at = builder.load(row, 0) * self.columns + builder.load(column, 0)
                step = builder.local(1, "int32")
                builder.store(step, 0, tirx.Cast("int32", self._load("steps", at)))
                for place, other in ((row, 2), (column, 1)):
                    stays = builder.load(step, 0) == other
                    lower = builder.load(place, 0) - tirx.Select(stays, 0, 1)
                    builder.store(place, 0, lower)
        with builder.loop(self.most, "step") as k:
            there = k < builder.load(count, 0)
            back = tirx.max(builder.load(count, 0) - 1 - k, constant(0, "int32"))
            for first in (0, self.most):
                found = tirx.Select(there, self._load("back", first + back), constant(-1, "int32"))
                self._store("out", first + k, found)
