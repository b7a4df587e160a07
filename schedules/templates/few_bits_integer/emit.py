"""Products of rows that are rounded to 8 bits with a matrix of few bits.

The first phase rounds the rows. The second has the loop nest of a matrix product: a register tile
of ``rows`` by ``vectors``, whose sums of a block are whole numbers, exact, and added to those of
floats with the block's scales. Packed numbers are unsigned (see ``few_bits/panels``), so that a
block's sum starts from what that adds to it.

Knobs: ``rows``, ``vectors`` (the register tile), ``tiles`` (of rows in a chunk), ``panels`` (in a
chunk).
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.four_products import four_products
from ...emit.tile import splat, vector_index
from ...ir.kernel import Phase
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index, tail
from ...tvm_late import tirx
from ..collapse import collapse
from ..few_bits.panels import Panels
from ..form import Emitted
from ..fused import epilogue
from ..slots import phase_builder
from .form import FewBitsInteger, Knobs
from .rounding import Rounding


def kernel(form: FewBitsInteger, knobs: Knobs) -> Emitted:
    """Two phases; chunks of the second are (block of panels, block of rows)."""
    return _FewBitsInteger(form, knobs).build()


class _FewBitsInteger:
    def __init__(self, form: FewBitsInteger, knobs: Knobs) -> None:
        self.form, self.knobs, self.p, self.lanes = form, knobs, form.product, form.lanes
        self.panels = Panels(form.product, form.lanes, knobs.vectors, words=True)
        self.rounding = Rounding(form, self.panels.packings)
        self.multiply = four_products(form.lanes, form.product.bits, form.target)
        self.tiles = ceildiv(form.product.m, knobs.rows)

    def build(self) -> Emitted:
        """The kernel."""
        return Emitted(
            (self.rounding.phase(), self._products()),
            self.panels.packings,
            temps=tuple(tensor.nbytes for tensor in self.rounding.tensors),
            scratch=self.rounding.scratch,
        )

    def _products(self) -> Phase:
        slots = self.rounding.slots()
        packings = self.panels.packings
        self.builder: PhaseBuilder = phase_builder(self.form, packings, slots, temps=len(slots))
        builder, knobs = self.builder, self.knobs
        after = collapse(epilogue(self.form.workload), keep_last=True)
        self.evaluator = Evaluator(after, builder, anchor=0)
        down, across = ceildiv(self.tiles, knobs.tiles), ceildiv(self.panels.count, knobs.panels)
        with builder.chunk_loop() as chunk:
            tile0 = builder.let(modulo(chunk, down) * knobs.tiles)
            panel0 = builder.let(divide(chunk, down) * knobs.panels)
            tiles = extent(tile0, knobs.tiles, self.tiles)
            panels = extent(panel0, knobs.panels, self.panels.count)
            with (
                builder.loop(panels, "panel", panel0) as panel,
                builder.loop(tiles, "tile", tile0) as tile,
            ):
                for row0, rows in builder.block(tile, knobs.rows, self.p.m):
                    self._tile(panel, builder.let(row0), rows)
        return builder.finish(down * across)

    def _tile(self, panel: Index, row0: Index, rows: int) -> None:
        builder = self.builder
        totals = builder.local(rows * self.panels.width)
        zero = splat(tirx.const(0.0, "float32"), self.lanes)
        for i in range(rows * self.panels.vectors):
            builder.store(totals, self._at(i), zero)
        with builder.loop(self.p.blocks, "block") as block:
            places = [builder.let((row0 + row) * self.p.blocks + block) for row in range(rows)]
            self._add(totals, self._sums(panel, block, places), panel, block, places)
        self._store(totals, panel, row0, rows)

    def _at(self, vector: int) -> Index:
        return vector_index(vector * self.lanes, self.lanes)

    def _sums(self, panel: Index, block: Index, places: list[Index]) -> Expr:
        """Of a block, whose rows' parts are in these places, the products of whole numbers."""
        builder, p, panels = self.builder, self.p, self.panels
        sums = builder.local(len(places) * panels.width, "int32")
        middle = 1 << (p.bits - 1)
        for row, place in enumerate(places):
            start = splat(builder.let(builder.load(builder["sums"], place) * -middle), self.lanes)
            for vector in range(panels.vectors):
                builder.store(sums, self._at(row * panels.vectors + vector), start)
        asks = not isinstance(self.tiles, int) or self.tiles == 1
        for at, words, _ in panels.loads(builder, (panel, block), asks=asks):
            inside = builder.let(at * panels.per_load - block * p.block)
            own = [[builder.let(each) for each in panels.fours(word)] for word in words]
            for i in range(len(own[0])):
                for row, place in enumerate(places):
                    shared = self._shared(place * p.block + inside + 4 * i)
                    for vector in range(panels.vectors):
                        index = self._at(row * panels.vectors + vector)
                        total = builder.load(sums, index)
                        builder.store(sums, index, self.multiply(total, own[vector][i], shared))
        return sums

    def _shared(self, first: Index) -> Expr:
        """Four numbers of a row, in every lane."""
        read = self.builder.load(self.builder["numbers"], vector_index(first, 4))
        word = self.builder.let(tirx.call_intrin("int32", "tirx.reinterpret", read))
        return splat(word, self.lanes)

    def _add(
        self, totals: Expr, sums: Expr, panel: Index, block: Index, places: list[Index]
    ) -> None:
        """A block's sums, as floats."""
        builder, p, panels, lanes = self.builder, self.p, self.panels, self.lanes
        scales = panels.each(builder, p.scales, panel, block)
        zeros = panels.each(builder, p.zeros, panel, block)
        for row, place in enumerate(places):
            step = splat(builder.let(builder.load(builder["steps"], place)), lanes)
            for vector in range(panels.vectors):
                at = self._at(row * panels.vectors + vector)
                value = tirx.Cast(f"float32x{lanes}", builder.load(sums, at))
                if zeros:
                    sum_ = tirx.Cast("float32", builder.load(builder["sums"], place))
                    value = value - zeros[vector] * splat(builder.let(sum_), lanes)
                more = value * (scales[vector] * step)
                builder.store(totals, at, builder.load(totals, at) + more)

    def _store(self, totals: Expr, panel: Index, row0: Index, rows: int) -> None:
        builder, panels, p = self.builder, self.panels, self.p
        shape = self.evaluator.workload.output.shape
        for column0, columns in builder.block(panel, panels.width, p.n):
            first = builder.let(column0)
            for row in range(rows):
                for offset, width in tail(0, columns, self.lanes):
                    with builder.vector(width) as lane:
                        n, m = first + offset + lane, row0 + row
                        point = Point(shape, (*split_index(m, shape[:-1]), n), m * p.n + n)
                        value = builder.load(totals, row * panels.width + offset + lane)
                        self.evaluator.store(point, value)
