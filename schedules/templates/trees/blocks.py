"""Trees by blocks of comparisons of bytes; see ``ops.forest_blocks``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...emit.tile import vector_index
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, extent
from ...tvm_late import tirx
from ..form import Emitted
from ..slots import phase_builder
from .byte_instructions import by_itself, end_of_block, not_at_most
from .combine import Combine
from .form import Knobs, Trees
from .packed_blocks import BUCKET, VECTOR, PackedBlocks

_MOST_TOTALS = 8  # of a row that stay in registers


def blocks(form: Trees, knobs: Knobs) -> Emitted:
    """One phase. In the scratch are the bytes of a chunk's rows."""
    packed = form.packed_blocks(knobs.levels)
    packings = {1: packed.packing}
    pitch = VECTOR * packed.vectors
    own = [
        Slot(1, "numbers", Tensor((packed.size // (4 * form.layout.words),), form.layout.dtype)),
        Slot(1, "bytes", Tensor((packed.size,), "uint8")),
        Slot(None, "codes", Tensor((knobs.grain * pitch,), "uint8")),
    ]
    builder = phase_builder(form, packings, own)
    with builder.chunk_loop() as chunk, ExitStack() as imported:
        writer = _Blocks(form, packed, builder, imported)
        first = builder.let(chunk * knobs.grain)
        count = builder.let(extent(first, knobs.grain, form.rows))
        with builder.loop(count, "row") as row:
            writer.compare(first + row, row)
        if knobs.grain == 1:
            writer.row(first, knobs.chains)
        else:
            writer.start(first, count)
            with builder.loop(form.layout.trees, "tree") as tree:
                for row, several in builder.pieces(count, knobs.chains, "rows"):
                    writer.rows(tree, first, row, several)
    chunks = ceildiv(form.rows, knobs.grain)
    return Emitted((builder.finish(chunks),), packings, scratch=knobs.grain * pitch)


class _Blocks:
    """What the phase consists of. Rows are numbered in their chunk where nothing else is said."""

    def __init__(
        self, form: Trees, packed: PackedBlocks, builder: PhaseBuilder, imported: ExitStack
    ) -> None:
        self.form, self.packed, self.builder = form, packed, builder
        self.layout, self.parts = form.layout, packed.parts
        self.combine = Combine(form)
        self._above, above = not_at_most(self.layout.dtype)
        self._end, end = end_of_block(packed.levels, packed.vectors)
        self._itself, itself = by_itself(self.layout.dtype)
        for source in (above, end, itself):
            imported.enter_context(builder.attributed("pragma_import_llvm", source))

    def _real(self, part: str, place: Index, lanes: int = 1) -> Expr:
        index = vector_index(self.parts[part].begin + place, lanes)
        return self.builder.load(self.builder["numbers"], index)

    def _word(self, part: str, place: Index) -> Expr:
        return self.builder.load(self.builder["in1"], self.parts[part].begin + place)

    def compare(self, number: Index, row: Index) -> None:
        """The bytes of row ``number`` of all, each found in a bucket that is found first."""
        builder, pitch = self.builder, VECTOR * self.packed.vectors
        begin = builder.let(number * self.form.features)
        with builder.loop(self.packed.columns, "column") as column:
            x = builder.load(builder["in0"], begin + self._word("features", column))
            if self.form.node.attr("negated"):
                x = x * self._real("signs", column)
            x = builder.let(x)
            pivots = self._real("pivots", column * BUCKET, BUCKET)
            bucket = builder.let(tirx.call_pure_extern("int32", self._above, x, pivots))
            within = self._real("thresholds", (column * BUCKET + bucket) * BUCKET, BUCKET)
            code = bucket * BUCKET + tirx.call_pure_extern("int32", self._above, x, within)
            builder.store(builder["codes"], row * pitch + column, tirx.Cast("uint8", code))

    def start(self, first: Index, count: Index) -> None:
        """Fill the results of the chunk's rows."""
        builder, targets = self.builder, self.layout.targets
        with builder.loop(count * targets, "place", first * targets) as place:
            builder.store(builder["out"], place, self.combine.start)

    def row(self, number: Index, chains: int) -> None:
        """All trees of the only row of a chunk, which is ``number`` of all."""
        builder, targets = self.builder, self.layout.targets
        begin = number * targets
        totals, place = builder["out"], begin
        if targets <= _MOST_TOTALS:
            totals, place = builder.local(targets, self.layout.dtype), 0
        with self._each_target() as target:
            builder.store(totals, place + target, self.combine.start)
        for tree, several in builder.pieces(self.layout.trees, chains, "trees"):
            trees = [tree + i for i in range(several)]
            ends = self._ends(trees, [0] * several)
            for i, each in enumerate(trees):
                self._add(totals, place, each, builder.load(ends, i))
        if targets <= _MOST_TOTALS:
            with self._each_target() as target:
                builder.store(builder["out"], begin + target, builder.load(totals, target))

    def rows(self, tree: Index, first: Index, row: Index, several: int) -> None:
        """One tree of rows from ``row`` on; the chunk's first is ``first`` of all."""
        ends = self._ends([tree] * several, [row + i for i in range(several)])
        for i in range(several):
            place = (first + row + i) * self.layout.targets
            self._add(self.builder["out"], place, tree, self.builder.load(ends, i))

    def _each_target(self) -> AbstractContextManager[Expr]:
        """A loop, written out where totals are in registers, which have no numbers at run time."""
        targets = self.layout.targets
        few = 1 < targets <= _MOST_TOTALS
        return self.builder.unrolled(targets) if few else self.builder.loop(targets, "target")

    def _ends(self, trees: Sequence[Index], rows: Sequence[Index]) -> Any:
        """Where trees end with rows, as places among the ends of all blocks."""
        builder = self.builder
        ends = builder.local(len(trees), "int32")
        for i, tree in enumerate(trees):
            self._pass(ends, i, tree, rows[i])
        if self.packed.is_deep:
            distinct = list(dict.fromkeys(trees))
            more = self._word("steps", distinct[0])
            for tree in distinct[1:]:
                more = tirx.max(more, self._word("steps", tree))
            with builder.loop(builder.let(more), "step"):
                for i, row in enumerate(rows):
                    block = builder.let(self._word("after", builder.load(ends, i)))
                    self._pass(ends, i, block, row)
        return ends

    def _pass(self, ends: Any, i: int, block: Index, row: Index) -> None:
        """Set the end that a row comes to in a block."""
        builder, packed = self.builder, self.packed
        place = row * (VECTOR * packed.vectors)
        codes = [
            builder.load(builder["codes"], vector_index(place + v * VECTOR, VECTOR))
            for v in range(packed.vectors)
        ]
        begin = self.parts["nodes"].begin + block * (2 * packed.ends)
        nodes = (
            builder.load(builder["bytes"], vector_index(begin + n * packed.ends, packed.ends))
            for n in range(2)
        )
        end = tirx.call_pure_extern("int32", self._end, *codes, *nodes)
        builder.store(ends, i, block * packed.ends + end)

    def _add(self, totals: Any, begin: Index, tree: Index, end: Expr) -> None:
        """What stands at an end, or each number of its row."""
        builder, layout = self.builder, self.layout
        if layout.leaves:
            weights = builder.let(self._word("weights", end))
            with self._each_target() as target:
                new = builder.load(builder["numbers"], weights + target)
                self._combine(totals, begin + target, new)
            return
        target = self._word("targets", tree) if layout.targets > 1 else 0
        weight = self._real("weights", end)
        itself = tirx.call_pure_extern(self.layout.dtype, self._itself, weight)
        self._combine(totals, begin + target, itself)

    def _combine(self, totals: Any, place: Index, new: Expr) -> None:
        builder = self.builder
        place = builder.let(place)
        old = builder.load(totals, place)
        builder.store(totals, place, self.combine(old, builder.let(new)))
