"""How a matrix of few bits lies for kernels, and vectors of its numbers.

Columns are lanes. A vector has a word of each column, with as many of its numbers along K as 32
bits hold; or, of 8 bits or more and for products in float32, a number of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...emit.builder import PhaseBuilder
from ...emit.tile import splat, vector_index
from ...ir.formats import FORMATS
from ...ir.kernel import Array, Packing
from ...ops.few_bits import FLOATS, WORD
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx
from . import by_bytes
from .form import BYTE_LANES, TABLE_BITS, FewBitsProduct

_AHEAD = 6144  # bytes between what is used and what is asked for
_TABLE_LANES = 1 << TABLE_BITS  # of a vector that is looked up in
_EACH_BYTE = 0x01010101
_FRACTION, _BIAS = 23, 127  # of float32: bits, and what exponents count from
_LOOK_UP = "llvm.x86.avx512.permvar.sf.512"
_LOOK_UP_PAIRS = "llvm.x86.avx512.permvar.hi.512"


@dataclass(frozen=True)
class Panels:
    """Panels of ``vectors`` vectors of ``lanes`` columns. In ``words`` lie numbers of 8 bits, too,
    and all are unsigned: so much more than what they stand for as makes the least one zero. Numbers
    of 4 bits are looked up in ``pairs`` where that is quicker.
    """

    product: FewBitsProduct
    lanes: int
    vectors: int
    words: bool = False
    pairs: bool = False

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
        return WORD // self.product.bits if self.words or self.product.bits < 8 else 1

    @property
    def elements(self) -> int:
        """Elements of the packed codes that are one column's of a load."""
        return 1 if self.per_load == 1 else WORD // 8

    @property
    def by_bytes(self) -> bool:
        """Whether bytes of floats are looked up."""
        few = self.product.bits <= TABLE_BITS
        return few and not self.words and self.lanes in BYTE_LANES

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
        shape = (self.count, self.depth // self.per_load, self.width * self.elements)
        if self.per_load == 1:
            return np.ascontiguousarray(self._rows(array).transpose(0, 2, 1)).reshape(shape)
        words = self._rows(array.view(np.uint32))
        ordered = np.ascontiguousarray(words.transpose(0, 2, 1))
        if self.words:
            bits = self.product.bits
            ordered ^= np.uint32(sum(1 << (at + bits - 1) for at in range(0, WORD, bits)))
        if self.by_bytes:
            return by_bytes.ordered(ordered).reshape(shape)
        return ordered.view(np.int8).reshape(shape)

    # ---- numbers in float32 ----

    def block(
        self,
        builder: PhaseBuilder,
        panel: Index,
        block: Index,
        use: Callable[[Index, int, int, Expr], None],
        *,
        floats: Callable[[int, Expr], Expr],
        numbers: int | None = None,
    ) -> None:
        """Call ``use(k, number, vector, numbers)`` for every number of a block, or the first ones,
        in float32, ``number`` being which one of a load's it is; ``floats`` is what is done to
        those of one of the panel's vectors before that."""
        for at, words, count in self.loads(builder, (panel, block), numbers):
            for number, vector, wide in self._numbers_of(builder, words):
                if number < count:
                    use(at * self.per_load + number, number, vector, floats(vector, wide))

    def _numbers_of(
        self, builder: PhaseBuilder, words: Sequence[Expr]
    ) -> Iterator[tuple[int, int, Expr]]:
        """Which number of a load, of which vector, and the floats of its columns."""
        if self.by_bytes:
            yield from by_bytes.floats(
                builder, words, self.product.bits, self.lanes, self._numbers()
            )
            return
        for number in range(self.per_load):
            for vector, word in enumerate(words):
                yield number, vector, self._number(word, number)

    def loads(
        self,
        builder: PhaseBuilder,
        place: tuple[Index, Index],
        numbers: int | None = None,
        *,
        asks: bool = True,
    ) -> Iterator[tuple[Index, list[Expr], int]]:
        """Loads of a panel's block, or of its first numbers: which one of the panel's it is, its
        vectors, and how many numbers of a column are used. ``asks`` for what comes later."""
        panel, block = place
        loads = self.product.block // self.per_load
        wanted = self.product.block if numbers is None else numbers

        def some(load: Index, count: int) -> tuple[Index, list[Expr], int]:
            at = builder.let(block * loads + load)
            first = (panel * (self.depth // self.per_load) + at) * self.width
            if asks:
                self._ask(builder, first)
            return at, [self._load(builder, first, v) for v in range(self.vectors)], count

        full, rest = divmod(wanted, self.per_load)
        if full:
            with builder.loop(full, "load") as load:
                yield some(load, self.per_load)
        if rest:
            yield some(full, rest)

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
        loaded = builder.load(codes, vector_index(at, self.lanes * self.elements))
        return builder.let(self._word(loaded))

    def _ask(self, builder: PhaseBuilder, first: Index) -> None:
        """For what is loaded some loads later."""
        size = max(1, self.product.bits // 8)  # bytes of an element
        ahead, line = _AHEAD // size, 64 // size
        for place in range(0, self.width * self.elements, line):
            codes = builder[f"in{self.product.codes}"]
            builder.prefetch(codes, first * self.elements + ahead + place)

    def _word(self, loaded: Expr) -> Expr:
        """Numbers in 32 bits, or words of some."""
        lanes = self.lanes
        if self.per_load > 1:
            return tirx.reinterpret(f"int32x{lanes}", loaded)
        if self.product.dtype == "bfloat16":
            up = splat(tirx.const(WORD - 16, "uint32"), lanes)
            bits = tirx.shift_left(tirx.Cast(f"uint32x{lanes}", loaded), up)
            return tirx.reinterpret(f"float32x{lanes}", bits)
        if self.product.dtype in FLOATS:
            return self._of_eight_bits(loaded)
        return tirx.Cast(f"float32x{lanes}", loaded)

    def _of_eight_bits(self, loaded: Expr) -> Expr:
        """Finite floats: as ones of 32 bits with the same exponent, whose bias is another."""
        lanes, form = self.lanes, FORMATS[self.product.dtype]
        up = _FRACTION - form.fraction
        signed = tirx.Cast(f"int32x{lanes}", tirx.reinterpret(f"int8x{lanes}", loaded))
        kept = np.uint32(form.sign << (WORD - form.bits) | (form.sign - 1) << up).view(np.int32)
        bits = tirx.bitwise_and(tirx.shift_left(signed, self._all(up)), self._all(int(kept)))
        bias = splat(tirx.const(2.0 ** (_BIAS - form.bias), "float32"), lanes)
        return tirx.reinterpret(f"float32x{lanes}", bits) * bias

    def _place(self, number: int) -> int:
        """Of a word's bits, the first of a number."""
        return 8 * (number % 4) + self.product.bits * (number // 4)

    def _number(self, word: Expr, number: int) -> Expr:
        """One number of each lane, as floats."""
        if self.per_load == 1:
            return word
        place, bits = self._place(number), self.product.bits
        if self.lanes == _TABLE_LANES and bits <= TABLE_BITS:
            return self._half(word, place) if self.pairs else self._looked_up(word, place)
        up, down = WORD - bits - place, WORD - bits
        signed = tirx.shift_right(tirx.shift_left(word, self._all(up)), self._all(down))
        return tirx.Cast(f"float32x{self.lanes}", signed)

    def _looked_up(self, word: Expr, place: int) -> Expr:
        """One number of each lane, by the lowest bits."""
        index = tirx.shift_right(word, self._all(place)) if place else word
        return tirx.call_llvm_pure_intrin(f"float32x{self.lanes}", _LOOK_UP, self._table(), index)

    def _half(self, word: Expr, place: int) -> Expr:
        """The same of the numbers at ``place`` and half a word further, looked up together: as
        bfloat16, which are the upper halves of floats."""
        half, inside = divmod(place, WORD // 2)
        index = tirx.shift_right(word, self._all(inside)) if inside else word
        words = f"int16x{2 * self.lanes}"
        both = tirx.call_llvm_pure_intrin(
            words, _LOOK_UP_PAIRS, self._halves(), tirx.reinterpret(words, index)
        )
        pair = tirx.reinterpret(f"int32x{self.lanes}", both)
        upper = self._all(-1 << (WORD // 2))
        bits = (
            tirx.bitwise_and(pair, upper) if half else tirx.shift_left(pair, self._all(WORD // 2))
        )
        return tirx.reinterpret(f"float32x{self.lanes}", bits)

    def _halves(self) -> Expr:
        """``_table`` twice, in bfloat16."""
        numbers = (np.float32(n).view(np.int32) >> 16 for n in self._numbers())
        each = [tirx.const(int(n), "int16") for n in (*numbers,) * 2]
        return tirx.Shuffle(each, [tirx.const(i, "int32") for i in range(2 * _TABLE_LANES)])

    def _table(self) -> Expr:
        numbers = [tirx.const(float(n), "float32") for n in self._numbers()]
        return tirx.Shuffle(numbers, [tirx.const(i, "int32") for i in range(_TABLE_LANES)])

    def _numbers(self) -> Sequence[int]:
        """What each code stands for; of fewer bits again and again, since four are looked at."""
        half, whole = 1 << (self.product.bits - 1), 1 << self.product.bits
        return [(code + half) % whole - half for code in range(_TABLE_LANES)]

    def _all(self, number: int) -> Expr:
        return splat(tirx.const(number, "int32"), self.lanes)

    # ---- numbers of 8 bits ----

    def fours(self, word: Expr) -> list[Expr]:
        """Of ``words`` their numbers, four neighbours at a time, each in a byte."""
        bits = self.product.bits
        if bits == 8:
            return [word]
        mask = self._all(((1 << bits) - 1) * _EACH_BYTE)
        moved = [word, *(tirx.shift_right(word, self._all(up)) for up in range(bits, 8, bits))]
        return [tirx.bitwise_and(each, mask) for each in moved]
