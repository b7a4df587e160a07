"""Numbers of few bits made floats by bytes that are looked up (``pshufb``), 16 or 32 at once.

Two tables have the bytes of what each code stands for in bfloat16, the upper half of a float: all
numbers of few bits are exact in it. What they give is put side by side, and a shift or a mask makes
floats of the pairs: 2.4 operations for a vector of floats, where two shifts and a conversion of
each number are 3, of which the shifts share two units.

The instruction that puts bytes side by side takes the first eight of each 16, or the last. So the
words of four columns lie as their lower halves, then their upper ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...emit.builder import PhaseBuilder
from ...emit.tile import splat
from ...ir.kernel import Array
from ...tir.indices import Expr
from ...tvm_late import tirx

_LOOK_UP = {4: "llvm.x86.ssse3.pshuf.b.128", 8: "llvm.x86.avx2.pshuf.b"}  # by lanes of 32 bits
_PART = 16  # bytes among which an instruction looks up and moves
_EACH_BYTE = 0x01010101
_UPPER = -1 << 16


def ordered(words: Array) -> Array:
    """Words of columns, [..., columns], as bytes that ``floats`` takes, of as many columns."""
    halves = words.view(np.uint16).reshape(*words.shape[:-1], -1, _PART // 4, 2)
    return np.ascontiguousarray(halves.swapaxes(-1, -2)).view(np.int8)


def floats(
    builder: PhaseBuilder, words: Sequence[Expr], bits: int, lanes: int, numbers: Sequence[int]
) -> Iterator[tuple[int, int, Expr]]:
    """Which one of a word's numbers, of which of the vectors of words, and the floats; ``numbers``
    are what codes stand for, 16 of them."""
    mask = _all(((1 << bits) - 1) * _EACH_BYTE, lanes)
    halves = [int(np.float32(n).view(np.int32)) >> 16 for n in numbers]
    tables = [_table([half >> up & 255 for half in halves], lanes) for up in (0, 8)]

    def found(word: Expr, first: int) -> tuple[Expr, Expr]:
        """Lower and upper bytes of the numbers that begin with this bit of a byte."""
        moved = tirx.shift_right(word, _all(first, lanes)) if first else word
        index = tirx.reinterpret(f"int8x{4 * lanes}", tirx.bitwise_and(moved, mask))
        place, name = builder.let(index), _LOOK_UP[lanes]
        low, high = (
            builder.let(tirx.call_llvm_pure_intrin(f"int8x{4 * lanes}", name, table, place))
            for table in tables
        )
        return low, high

    for field in range(8 // bits):
        some = [found(word, field * bits) for word in words]
        for half in range(2):
            pairs = [builder.let(_side_by_side(low, high, lanes, half)) for low, high in some]
            for upper in range(2):
                for vector, pair in enumerate(pairs):
                    whole = (
                        tirx.bitwise_and(pair, _all(_UPPER, lanes))
                        if upper
                        else tirx.shift_left(pair, _all(16, lanes))
                    )
                    number = 4 * field + 2 * half + upper
                    yield number, vector, tirx.reinterpret(f"float32x{lanes}", whole)


def _table(values: Sequence[int], lanes: int) -> Expr:
    """16 bytes, in each part of a vector."""
    count = 4 * lanes
    each = [tirx.const(int(np.uint8(n).view(np.int8)), "int8") for n in values]
    return tirx.Shuffle(each * (count // _PART), [tirx.const(i, "int32") for i in range(count)])


def _side_by_side(low: Expr, high: Expr, lanes: int, half: int) -> Expr:
    """Of each part the first eight bytes of both, or the last eight, in turn; as words."""
    count, own = 4 * lanes, _PART // 2
    places = (p + half * own + i for p in range(0, count, _PART) for i in range(own))
    turns = [tirx.const(place + of * count, "int32") for place in places for of in range(2)]
    return tirx.reinterpret(f"int32x{lanes}", tirx.Shuffle([low, high], turns))


def _all(number: int, lanes: int) -> Expr:
    return splat(tirx.const(number, "int32"), lanes)
