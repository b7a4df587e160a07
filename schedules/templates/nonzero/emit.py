"""The coordinates of what is not zero, in three phases.

Blocks of the input are counted, each by itself; one chunk adds up how many come before each block;
then each block writes where its own begin. So several threads find them in the order of the input.

Knobs: ``grain``, input elements in a block.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...emit.builder import PhaseBuilder, Slot
from ...ir.kernel import Phase
from ...ir.workload import Tensor
from ...tir.indices import Expr, ceildiv, extent, split_index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..slots import phase_builder
from .form import NonZero


def kernel(form: NonZero, knobs: Grain) -> Emitted:
    """A chunk is a block."""
    return _NonZero(form, knobs.grain).build()


class _NonZero:
    def __init__(self, form: NonZero, grain: int) -> None:
        self.form, self.grain = form, grain
        self.source, self.out = form.workload.inputs[0], form.workload.output
        self.blocks = ceildiv(self.source.size, grain)

    def build(self) -> Emitted:
        """One temporary: how many a block has, then how many come before it."""
        phases = (self._count(), self._add_up(), self._write())
        return Emitted(phases, temps=(self.blocks * 4,))

    def _builder(self) -> PhaseBuilder:
        counts = Slot(1, "counts", Tensor((self.blocks,), "int32"))
        return phase_builder(self.form, {}, [counts], temps=1)

    def _count(self) -> Phase:
        builder = self._builder()
        count = builder.local(1, "int32")
        with builder.chunk_loop() as block:
            builder.store(count, 0, constant(0, "int32"))
            for _, counts in self._elements(builder, block):
                builder.store(count, 0, builder.load(count, 0) + counts)
            builder.store(builder["counts"], block, builder.load(count, 0))
        return builder.finish(self.blocks)

    def _add_up(self) -> Phase:
        builder = self._builder()
        total, counts = builder.local(1, "int32"), builder["counts"]
        rank, length = self.out.shape
        with builder.chunk_loop():
            builder.store(total, 0, constant(0, "int32"))
            with builder.loop(self.blocks, "block") as block:
                before = builder.local(1, "int32")
                builder.store(before, 0, builder.load(total, 0))
                more = builder.load(counts, block)
                builder.store(total, 0, builder.load(total, 0) + more)
                builder.store(counts, block, builder.load(before, 0))
            first = builder.let(tirx.min(builder.load(total, 0), length))
            for d in range(rank):
                with builder.loop(length - first, "rest") as i:
                    builder.store(builder["out"], d * length + first + i, constant(0, "int64"))
        return builder.finish(1)

    def _write(self) -> Phase:
        builder = self._builder()
        place, length = builder.local(1, "int32"), self.out.shape[1]
        with builder.chunk_loop() as block:
            builder.store(place, 0, builder.load(builder["counts"], block))
            counted = builder.local(1, "int32")
            for index, counts in self._elements(builder, block):
                at = builder.load(place, 0)
                builder.store(counted, 0, counts)
                with builder.when(tirx.And(builder.load(counted, 0) > 0, at < length)):
                    for d, coordinate in enumerate(split_index(index, self.source.shape)):
                        value = tirx.Cast("int64", coordinate)
                        builder.store(builder["out"], d * length + at, value)
                    builder.store(place, 0, at + 1)
        return builder.finish(self.blocks)

    def _elements(self, builder: PhaseBuilder, block: Expr) -> Iterator[tuple[Expr, Expr]]:
        """Each element of a block: its index, and 0 where it is zero, else 1.

        NaN is not zero; a negation of "is zero" would be "is less or greater" to TVM.
        """
        first = builder.let(block * self.grain)
        with builder.loop(extent(first, self.grain, self.source.size), "i", first) as index:
            is_zero = builder.load(builder["in0"], index) == constant(0, self.source.dtype)
            yield index, tirx.Select(is_zero, constant(0, "int32"), constant(1, "int32"))
