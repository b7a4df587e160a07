"""Several walks through trees at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...ir.workload import Tensor
from ...ops.forest import EQUAL, FEATURES, NAN_IS_TRUE
from ...tir.compare import is_number
from ...tir.indices import Expr, Index, ceildiv, extent
from ...tir.literals import constant
from ...tvm_late import tirx
from ..form import Emitted
from ..slots import phase_builder
from .alone import alone, scalar_scope
from .combine import Combine
from .form import Knobs, Trees
from .heap import Heap, packing


def walk(form: Trees, knobs: Knobs) -> Emitted:
    """One phase."""
    heap = Heap(form.layout, form.depth, form.is_both)
    packings = {1: packing(form, heap)} if form.is_both else {}
    size = heap.size // form.layout.words
    bits = "int64" if form.layout.words == 2 else "int32"
    own = [
        Slot(1, "numbers", Tensor((size,), form.layout.dtype)),
        Slot(0, "bits", Tensor(form.workload.inputs[0].shape, bits)),
    ]
    builder = phase_builder(form, packings, own)
    with builder.chunk_loop() as chunk, scalar_scope(builder):
        first = builder.let(chunk * knobs.grain)
        count = builder.let(extent(first, knobs.grain, form.rows))
        writer = _Walk(form, builder, bits)
        writer.start(first, count)
        if knobs.method == "trees":
            with builder.loop(count, "row", first) as row:
                for tree, several in builder.pieces(form.layout.trees, knobs.chains, "trees"):
                    writer.trees(row, tree, several)
        else:
            with builder.loop(form.layout.trees, "tree") as tree:
                writer.rows(tree, first, count, knobs.chains)
    return Emitted((builder.finish(ceildiv(form.rows, knobs.grain)),), packings)


class _Walk:
    """What a phase of walks consists of."""

    def __init__(self, form: Trees, builder: PhaseBuilder, bits: str) -> None:
        self.form, self.layout, self.builder, self.bits = form, form.layout, builder, bits
        self.negated, self.equal = bool(form.node.attr("negated")), bool(form.node.attr("equal"))
        self.combine = Combine(form)

    def start(self, first: Index, count: Index) -> None:
        """Fill the results of the chunk's rows."""
        builder, targets = self.builder, self.layout.targets
        with builder.loop(count * targets, "place", first * targets) as place:
            builder.store(builder["out"], place, self.combine.start)

    def trees(self, row: Index, tree: Index, several: int) -> None:
        """The next trees of a row."""
        each = [tree + i for i in range(several)]
        places = self._at([self._word(one) for one in each])
        deepest = self._word(each[0], self.layout.depth_word)
        for one in each[1:]:
            deepest = tirx.max(deepest, self._word(one, self.layout.depth_word))
        begin = self.builder.let(row * self.form.features)
        self._steps(places, [begin] * several, self.builder.let(deepest))
        for i, one in enumerate(each):
            self._add(row, one, self.builder.load(places, i))

    def rows(self, tree: Index, first: Index, count: Index, chains: int) -> None:
        """One tree of all rows of a chunk."""
        builder = self.builder
        root = builder.let(self._word(tree))
        depth = builder.let(self._word(tree, self.layout.depth_word))
        last = builder.let(first + count - 1)
        with builder.loop(
            ceildiv(count, chains)
            if isinstance(count, int)
            else tirx.truncdiv(count + (chains - 1), chains),
            "group",
        ) as group:
            begin = first + group * chains
            rows = [builder.let(tirx.min(begin + i, last)) for i in range(chains)]
            places = self._at([root] * chains)
            self._steps(places, [builder.let(r * self.form.features) for r in rows], depth)
            for i, row in enumerate(rows):
                with builder.when(begin + i <= last):
                    self._add(row, tree, builder.load(places, i))

    def _at(self, roots: Sequence[Expr]) -> Any:
        places = self.builder.local(len(roots), "int32")
        for i, root in enumerate(roots):
            self.builder.store(places, i, root)
        return places

    def _word(self, place: Index, after: int = 0) -> Expr:
        return self.builder.load(self.builder["in1"], place + after)

    def _steps(self, places: Any, begins: Sequence[Index], depth: Expr) -> None:
        builder = self.builder
        with builder.loop(depth, "level"):
            for i, begin in enumerate(begins):
                at = builder.let(alone(builder.load(places, i)))
                feature = self._word(at * self.layout.words, self.layout.words)
                child = self._word(at * self.layout.words, self.layout.words + 1)
                threshold = builder.load(builder["numbers"], at)
                true = self._is_true(builder.let(feature), begin, builder.let(threshold))
                step = tirx.Cast("int32", true) * self.layout.stride
                builder.store(places, i, child + step)

    def _is_true(self, feature: Expr, begin: Index, threshold: Expr) -> Expr:
        """Whether the second child is next."""
        builder, has_bits = self.builder, self.negated or self.equal
        place = tirx.bitwise_and(feature, FEATURES - 1) if has_bits else feature
        if self.negated:  # through its bits: LLVM makes a branch of a choice between two floats
            held = builder.load(builder["bits"], begin + place)
            sign = tirx.bitwise_and(feature, constant(-(2**31), "int32"))
            if self.bits == "int64":
                sign = tirx.shift_left(tirx.Cast("int64", sign), constant(32, "int64"))
            x = tirx.call_intrin(
                self.layout.dtype, "tirx.reinterpret", tirx.bitwise_xor(held, sign)
            )
        else:
            x = builder.load(builder["in0"], begin + place)
        if not self.equal:
            return x <= threshold
        x = builder.keep(x)
        any_order = tirx.bitwise_and(feature, EQUAL) == 0
        true = tirx.all(x <= threshold, tirx.any(any_order, x >= threshold))
        return tirx.Select(is_number(x), true, tirx.bitwise_and(feature, NAN_IS_TRUE) != 0)

    def _add(self, row: Index, tree: Index, leaf: Expr) -> None:
        """A leaf's weight, or each of its row."""
        builder, layout = self.builder, self.layout
        begin = row * layout.targets
        leaf = builder.let(leaf)
        if layout.leaves:
            place = (leaf + layout.weight) * layout.words
            weights = builder.let(builder.load(builder["in1"], place))
            with builder.loop(layout.targets, "target") as target:
                new = builder.load(builder["numbers"], weights + target)
                self._combine(begin + target, new)
            return
        target = self._word(tree, layout.target_word) if layout.targets > 1 else 0
        self._combine(begin + target, builder.load(builder["numbers"], leaf + layout.weight))

    def _combine(self, place: Index, new: Expr) -> None:
        builder = self.builder
        place = builder.let(place)
        old = builder.load(builder["out"], place)
        builder.store(builder["out"], place, self.combine(old, builder.let(new)))
