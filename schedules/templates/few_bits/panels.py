"""How a matrix of few bits lies for kernels, and vectors of its numbers in float32.

Columns are lanes. Of 8 bits or more a vector has a number of each column; of fewer bits, a word for
each column with as many of its numbers, one after the other along K, as 32 bits hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...emit.builder import PhaseBuilder
from ...emit.tile import splat, vector_index
from ...ir.kernel import Array, Packing
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx
from .form import FewBitsProduct

_WORD = 32
_AHEAD = 6144  # bytes between what is used and what is asked for


@dataclass(frozen=True)
class Panels:
    """Panels of ``vectors`` vectors of ``lanes`` columns."""

    product: FewBitsProduct
    lanes: int
    vectors: int

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes

    @property
    def count(self) -> int:
        """Panels that cover the columns."""
        return ceildiv(self.product.n, self.width)

    @property
    def per_load(self) -> int:
        """Numbers of a column that one load brings."""
        return 1 if self.product.bits >= 8 else _WORD // self.product.bits

    @property
    def elements(self) -> int:
        """Elements of the packed codes that are one column's of a load."""
        return 1 if self.per_load == 1 else _WORD // 8

    @property
    def depth(self) -> int:
        """Numbers of a column, those that fill blocks included."""
        return self.product.blocks * self.product.block

    @property
    def packings(self) -> Mapping[int, Packing]:
        """Of codes, scales and zeros."""
        p = self.product
        codes = (self.count, self.depth // self.per_load, self.width * self.elements)
        scales = Packing((self.count, p.blocks, self.width), self._scales)
        of_blocks = (each for each in (p.scales, p.zeros) if each is not None)
        return {p.codes: Packing(codes, self._codes), **dict.fromkeys(of_blocks, scales)}

    def _rows(self, array: Array) -> Array:
        """[n, ...] as [panel, width, ...], zeros after the last."""
        full = np.zeros((self.count * self.width, *array.shape[1:]), array.dtype)
        full[: len(array)] = array
        return full.reshape(self.count, self.width, *array.shape[1:])

    def _scales(self, array: Array) -> Array:
        return np.ascontiguousarray(self._rows(array).transpose(0, 2, 1))

    def _codes(self, array: Array) -> Array:
        rows = self._rows(array)
        loads = self.depth // self.per_load
        split = rows.reshape(self.count, self.width, loads, -1)
        return np.ascontiguousarray(split.transpose(0, 2, 1, 3)).reshape(self.count, loads, -1)

    def block(
        self,
        builder: PhaseBuilder,
        panel: Index,
        block: Index,
        use: Callable[[Index, int, Expr], None],
        *,
        floats: Callable[[int, Expr], Expr],
        numbers: int | None = None,
    ) -> None:
        """Call ``use(k, vector, numbers)`` for every number of a block, or the first ones, in
        float32; ``floats`` is what is done to those of one of the panel's vectors before that."""
        p = self.product
        loads = p.block // self.per_load
        wanted = p.block if numbers is None else numbers

        def some(load: Index, count: int) -> None:
            at = builder.let(block * loads + load)
            first = (panel * (self.depth // self.per_load) + at) * self.width
            words = [self._load(builder, first, vector) for vector in range(self.vectors)]
            for number in range(count):
                for vector, word in enumerate(words):
                    wide = floats(vector, self._number(word, number))
                    use(at * self.per_load + number, vector, wide)

        full, rest = divmod(wanted, self.per_load)
        if full:
            with builder.loop(full, "load") as load:
                some(load, self.per_load)
        if rest:
            some(full, rest)

    def each(
        self, builder: PhaseBuilder, argument: int | None, panel: Index, block: Index
    ) -> list[Expr]:
        """Scales or zeros of a block, a vector for each of the panel's; none of no argument."""
        if argument is None:
            return []
        buffer = builder[f"in{argument}"]
        place = builder.let((panel * self.product.blocks + block) * self.width)
        starts = (place + vector * self.lanes for vector in range(self.vectors))
        return [builder.let(builder.load(buffer, vector_index(s, self.lanes))) for s in starts]

    def _load(self, builder: PhaseBuilder, first: Index, vector: int) -> Expr:
        """A vector of numbers, or of words."""
        codes = builder[f"in{self.product.codes}"]
        at = (first + vector * self.lanes) * self.elements
        if vector == 0:
            width = max(1, self.product.bits // 8)  # bytes of an element
            per_line = 64 // width
            for line in range(ceildiv(self.width * self.elements, per_line)):
                builder.prefetch(codes, at + _AHEAD // width + line * per_line)
        loaded = builder.load(codes, vector_index(at, self.lanes * self.elements))
        return builder.let(self._word(loaded))

    def _word(self, loaded: Expr) -> Expr:
        """Numbers in 32 bits, or words of some."""
        lanes = self.lanes
        if self.per_load > 1:
            return tirx.reinterpret(f"int32x{lanes}", loaded)
        if self.product.dtype == "bfloat16":
            up = splat(tirx.const(_WORD - 16, "uint32"), lanes)
            bits = tirx.shift_left(tirx.Cast(f"uint32x{lanes}", loaded), up)
            return tirx.reinterpret(f"float32x{lanes}", bits)
        return tirx.Cast(f"float32x{lanes}", loaded)

    def _number(self, word: Expr, number: int) -> Expr:
        """One number of each lane, as floats."""
        if self.per_load == 1:
            return word
        bits = self.product.bits
        up = splat(tirx.const(_WORD - bits * (number + 1), "int32"), self.lanes)
        down = splat(tirx.const(_WORD - bits, "int32"), self.lanes)
        signed = tirx.shift_right(tirx.shift_left(word, up), down)
        return tirx.Cast(f"float32x{self.lanes}", signed)
