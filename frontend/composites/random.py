"""Random numbers that any number of threads compute alike: each by itself, of its place alone.

Words are those of Philox2x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3"): ten rounds of a product mix a counter of two words, an element's place and a stream, with a
key, which the seed is. So a draw needs no state, and is the same in every run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from luthier.schedules import Tensor

from ..graph.emitter import Emitter

_MULTIPLIER, _WEYL, _ROUNDS = 0xD256D193, 0x9E3779B9, 10


def words(t: Emitter, count: int, key: int, stream: int) -> tuple[int, int]:
    """Two values uint32[count], whose bits are fair coins."""
    places = t.emit("iota", out=Tensor((count,), "int64"), start=0, step=1)
    left, right = t.cast(places, "uint32"), t.scalar(stream, "uint32")
    multiplier, half = t.scalar(_MULTIPLIER, "uint64"), t.scalar(32, "uint64")
    for number in range(_ROUNDS):
        product = t.emit("multiply", t.cast(left, "uint64"), multiplier)
        high = t.cast(t.emit("right_shift", product, half), "uint32")
        turn = t.scalar((key + number * _WEYL) % 2**32, "uint32")
        left = t.emit("bitwise_xor", t.emit("bitwise_xor", high, turn), right)
        right = t.cast(product, "uint32")
    return left, right


def uniform(t: Emitter, shape: Sequence[int], dtype: str, key: int, stream: int) -> int:
    """From 0 up to but without 1: all multiples of 2^-24 alike, 2^-53 in float64."""
    first, second = words(t, math.prod(shape), key, stream)
    if dtype == "float64":
        high = t.emit("multiply", _top(t, first, 27, dtype), t.number(2.0**-27, dtype))
        low = t.emit("multiply", _top(t, second, 26, dtype), t.number(2.0**-53, dtype))
        return t.reshape(t.emit("add", high, low), shape)
    found = t.emit("multiply", _top(t, first, 24, "float32"), t.number(2.0**-24, "float32"))
    return t.cast(t.reshape(found, shape), dtype)


def normal(t: Emitter, shape: Sequence[int], dtype: str, key: int, stream: int) -> int:
    """Of mean 0 and variance 1 (Box and Muller 1958), up to 5.7 in size, 6.6 in float64."""
    first, second = words(t, math.prod(shape), key, stream)
    turns = t.emit("multiply", _top(t, second, 24, dtype), t.number(2 * math.pi / 2**24, dtype))
    squared = t.emit("multiply", t.emit("log", _inside(t, first, dtype)), t.number(-2, dtype))
    found = t.emit("multiply", t.emit("sqrt", squared), t.emit("cos", turns))
    return t.reshape(found, shape)


def gumbel(t: Emitter, shape: Sequence[int], dtype: str, key: int, stream: int) -> int:
    """Whose sum with logarithms of weights is largest where chance by these weights falls."""
    first, _ = words(t, math.prod(shape), key, stream)
    log = t.emit("negative", t.emit("log", _inside(t, first, dtype)))
    return t.reshape(t.emit("negative", t.emit("log", log)), shape)


def _inside(t: Emitter, word: int, dtype: str) -> int:
    """Between 0 and 1, and neither."""
    bits = 31 if dtype == "float64" else 23
    middle = t.emit("add", _top(t, word, bits, dtype), t.number(0.5, dtype))
    return t.emit("multiply", middle, t.number(2.0**-bits, dtype))


def _top(t: Emitter, word: int, bits: int, dtype: str) -> int:
    """The highest bits of a word as a number, which the type holds."""
    shifted = t.emit("right_shift", word, t.scalar(32 - bits, "uint32"))
    return t.cast(t.cast(shifted, "int32"), dtype)
