"""All nodes of a tree with vectors of rows."""

from __future__ import annotations

from ...emit.builder import PhaseBuilder, Slot
from ...emit.tile import splat, vector_index
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, extent
from ...tir.literals import constant
from ...tvm_late import tirx
from ..form import Emitted
from ..slots import phase_builder
from .combine import Combine
from .form import Knobs, Trees
from .heap import Heap, packing


def compare(form: Trees, knobs: Knobs) -> Emitted:
    """One phase. In the scratch are the rows' elements by feature, and their results by target."""
    heap, held = Heap(form.layout, form.depth), form.width * knobs.chains
    packings = {1: packing(form, heap)}
    dtype, targets = form.layout.dtype, form.layout.targets
    rows_at = form.columns * held * form.workload.output.element.bytes
    own = [
        Slot(1, "numbers", Tensor((heap.size // form.layout.words,), dtype)),
        Slot(None, "columns", Tensor((form.columns * held,), dtype)),
        Slot(None, "totals", Tensor((targets * held,), dtype), rows_at),
    ]
    builder = phase_builder(form, packings, own)
    with builder.chunk_loop() as chunk:
        writer = _Compare(form, builder, heap, knobs.chains)
        first = builder.let(chunk * held)
        writer.read(first)
        with builder.loop(form.layout.trees, "tree") as tree:
            writer.tree(tree)
        writer.write(first, extent(first, held, form.rows))
    scratch = rows_at + targets * held * form.workload.output.element.bytes
    return Emitted((builder.finish(ceildiv(form.rows, held)),), packings, scratch=scratch)


class _Compare:
    """What the phase consists of."""

    def __init__(self, form: Trees, builder: PhaseBuilder, heap: Heap, vectors: int) -> None:
        self.form, self.builder, self.heap, self.vectors = form, builder, heap, vectors
        self.lanes, self.held = form.width, form.width * vectors
        self.combine = Combine(form)

    def read(self, first: Index) -> None:
        """The rows of a chunk, the last one again where there are fewer, a column a feature."""
        builder, form = self.builder, self.form
        last = form.rows - 1
        with builder.loop(self.held, "row") as row:
            begin = builder.let(tirx.min(first + row, last) * form.features)
            with builder.loop(form.features, "feature") as feature:
                x = builder.load(builder["in0"], begin + feature)
                builder.store(builder["columns"], feature * self.held + row, x)
                if form.columns > form.features:
                    place = (feature + form.features) * self.held + row
                    zero = constant(0, form.layout.dtype)
                    builder.store(builder["columns"], place, zero - x)
        with builder.loop(form.layout.targets * self.vectors, "vector") as vector:
            at = vector_index(vector * self.lanes, self.lanes)
            builder.store(builder["totals"], at, splat(self.combine.start, self.lanes))

    def tree(self, tree: Index) -> None:
        """Combine one tree's weights with those before."""
        builder, layout = self.builder, self.form.layout
        self.features = builder.let(tree * self.heap.inner + self.heap.feature_word)
        self.thresholds = builder.let(tree * self.heap.inner + self.heap.first_threshold)
        self.leaves = builder.let(tree * (self.heap.inner + 1) + self.heap.first_leaf)
        found = self._value(0)
        target: Index = 0
        if layout.targets > 1:
            place = tree + layout.target_word
            target = builder.let(builder.load(builder["in1"], place) * self.held)
        for i, new in enumerate(found):
            at = vector_index(target + i * self.lanes, self.lanes)
            old = builder.load(builder["totals"], at)
            builder.store(builder["totals"], at, self.combine(old, new))

    def _value(self, node: int) -> list[Expr]:
        """What comes of a node in each vector of rows."""
        builder = self.builder
        if node >= self.heap.inner:
            leaf = builder.load(builder["numbers"], self.leaves + (node - self.heap.inner))
            return [splat(builder.let(leaf), self.lanes)] * self.vectors
        false, true = self._value(2 * node + 1), self._value(2 * node + 2)
        column = builder.let(builder.load(builder["in1"], self.features + node) * self.held)
        threshold = builder.let(builder.load(builder["numbers"], self.thresholds + node))
        found = []
        for i in range(self.vectors):
            at = vector_index(column + i * self.lanes, self.lanes)
            is_true = builder.load(builder["columns"], at) <= splat(threshold, self.lanes)
            found.append(builder.let(tirx.Select(is_true, true[i], false[i])))
        return found

    def write(self, first: Index, count: Index) -> None:
        """The results of the rows that there are."""
        builder, targets = self.builder, self.form.layout.targets
        with builder.loop(count, "row") as row, builder.loop(targets, "target") as target:
            x = builder.load(builder["totals"], target * self.held + row)
            builder.store(builder["out"], (first + row) * targets + target, x)
