"""What is written at places that are known only when it runs, in two phases: a copy, then it.

Updates are written in their order, so that of equal places the last one stays, and sums are always
the same. Threads share what cannot meet: the elements of what one place names, or the rows along
the dimension that places are of.

Knobs: ``grain``, elements in a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...ir.kernel import Phase
from ...ir.size import Size, at_least
from ...tir import arithmetic
from ...tir.compare import extreme
from ...tir.indices import Expr, Index, ceildiv, extent, split_index
from ...tir.literals import constant
from ...tir.point import flatten
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..slots import phase_builder
from .form import Scatter

_LEAST = 256  # elements of what a place names that are worth a chunk


def kernel(form: Scatter, knobs: Grain) -> Emitted:
    """Two phases."""
    scatter = _Scatter(form, knobs.grain)
    write = scatter.whole_places if form.node.op == "scatter_nd" else scatter.along_rows
    return Emitted((scatter.copy(), write()))


class _Scatter:
    def __init__(self, form: Scatter, grain: int) -> None:
        self.form, self.grain = form, grain
        self.x, self.places, self.updates = (form.workload.tensor(a) for a in form.node.args)
        self.names = [f"in{a}" for a in form.node.args]
        self.reduction = form.node.attr("reduction")
        self.lanes = form.target.lanes(self.x.element)

    def copy(self) -> Phase:
        """Of x."""
        self.builder = builder = phase_builder(self.form, {})
        size, grain = self.x.size, self.grain
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * grain)
            count = builder.let(extent(first, grain, size))
            for offset in builder.strips(count, self.lanes):
                at = first + offset
                value = builder.load(builder[self.names[0]], at)
                builder.store(builder["out"], at, value)
        return builder.finish(ceildiv(size, grain))

    def whole_places(self) -> Phase:
        """All updates, of some of the elements that a place names."""
        self.builder = builder = phase_builder(self.form, {})
        *outer, count = self.places.shape
        inner = math.prod(self.x.shape[count:])
        block = inner if isinstance(inner, Size) else min(inner, max(_LEAST, self.lanes))
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * block)
            with builder.loop(math.prod(outer), "update") as number:
                named = [self._place(number * count + d, self.x.shape[d]) for d in range(count)]
                at = builder.let(flatten(tuple(named), self.x.shape[:count]) * inner + first)
                source = builder.let(number * inner + first)
                for _, width in builder.block(chunk, block, inner):
                    for offset in builder.strips(width, self.lanes):
                        self._write(at + offset, source + offset)
        return builder.finish(ceildiv(inner, block))

    def along_rows(self) -> Phase:
        """Rows of updates, which lie along the dimension that places are of."""
        self.builder = builder = phase_builder(self.form, {})
        axis, shape, whole = self.form.node.attr("axis"), self.places.shape, self.x.shape
        others = [1 if d == axis else n for d, n in enumerate(shape)]
        rows, length = math.prod(others), shape[axis]
        group = at_least(self.grain // at_least(length, 1), 1)
        step, into = math.prod(shape[axis + 1 :]), math.prod(whole[axis + 1 :])
        with builder.chunk_loop() as chunk:
            begin = builder.let(chunk * group)
            with builder.loop(extent(begin, group, rows), "row", begin) as row:
                at = split_index(row, others)
                source = builder.let(flatten(tuple(at), shape))
                target = builder.let(flatten(tuple(at), whole))
                with builder.loop(length, "update") as number:
                    update = builder.let(source + number * step)
                    place = self._place(update, whole[axis])
                    self._write(builder.let(target + place * into), update)
        return builder.finish(ceildiv(rows, group))

    def _place(self, at: Index, size: int) -> Index:
        """The nearest one inside of a dimension."""
        place = self.builder.load(self.builder[self.names[1]], at)
        last = constant(size - 1, "int64")
        inside = tirx.max(tirx.min(place, last), constant(0, "int64"))
        return self.builder.let(tirx.Cast("int32", inside))

    def _write(self, at: Index, source: Index) -> None:
        builder = self.builder
        update = builder.load(builder[self.names[2]], source)
        if self.reduction != "update":
            update = self._joined(builder.load(builder["out"], at), update)
        builder.store(builder["out"], at, update)

    def _joined(self, old: Expr, update: Expr) -> Expr:
        joins: dict[str, Callable[..., Expr]] = {
            "add": arithmetic.add,
            "mul": arithmetic.multiply,
        }
        if self.reduction in joins:
            return joins[self.reduction](old, update, self.builder.let)
        return extreme(self.reduction, self.builder.let(old), self.builder.let(update))
