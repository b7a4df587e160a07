"""Tables in the packed formats of llama.cpp, of which rows are looked up (ONNX Runtime's domain).

A row is blocks of so many numbers, each with scales of its own among its bytes. Rows stay packed
in the library. Formats whose numbers are places in a list of vectors (IQ2, IQ3) are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from ...graph import Array
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _INT32, _BFLOAT16 = 1, 6, 16
_RESULTS = (_FLOAT, 10, _BFLOAT16)
_PLAIN: Mapping[int, type] = {0: np.float32, 1: np.float16, 30: ml_dtypes.bfloat16}
_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


@dataclass(frozen=True)
class _Blocks:
    """Bytes [rows, blocks, bytes of a block], as whole numbers of 32 bits."""

    call: Spelling
    bytes_: str

    def part(self, begin: int, end: int) -> str:
        """Some of each block's bytes."""
        return self.call.slice(self.bytes_, 2, begin, end)

    def bits(self, x: str, first: int, count: int) -> str:
        """So many bits of each number."""
        call = self.call
        if first:
            x = call.emit("Div", x, call.constant(2**first, "int32"))
        if first + count == 8:
            return x
        return call.emit("Mod", x, call.constant(2**count, "int32"))

    def signed(self, x: str) -> str:
        """Bytes that stand for -128 to 127."""
        call = self.call
        most = call.constant(127, "int32")
        other = call.emit("Sub", x, call.constant(256, "int32"))
        return call.emit("Where", call.emit("Greater", x, most), other, x)

    def half(self, begin: int) -> str:
        """A float of 16 bits, [rows, blocks, 1] in float32."""
        call = self.call
        low, high = self.part(begin, begin + 1), self.part(begin + 1, begin + 2)
        code = call.emit("Add", low, call.emit("Mul", high, call.constant(256, "int32")))
        every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
        return call.emit("Gather", call.weight(every), code, axis=0)

    def plus(self, x: str, y: str, by: int) -> str:
        """x + by * y."""
        call = self.call
        return call.emit("Add", x, call.emit("Mul", y, call.constant(by, "int32")))

    def less(self, x: str, by: int) -> str:
        """In floats."""
        return self.call.cast(self.call.emit("Sub", x, self.call.constant(by, "int32")), _FLOAT)

    def joined(self, *parts: str) -> str:
        """Side by side."""
        return self.call.emit("Concat", *parts, axis=2)

    def scaled(self, x: str, *scales: str) -> str:
        """Times each scale, one of a block's equal parts."""
        call = self.call
        for scale in scales:
            shape, count = call.shape(x), call.shape(scale)[2]
            apart = call.reshape(x, *shape[:2], count, shape[2] // count)
            x = call.reshape(call.emit("Mul", apart, call.unsqueeze(scale, 3)), *shape)
        return x


def _nibbles(b: _Blocks, begin: int) -> str:
    """32 numbers of 4 bits: the lower halves of 16 bytes, then the higher ones."""
    packed = b.part(begin, begin + 16)
    return b.joined(b.bits(packed, 0, 4), b.bits(packed, 4, 4))


def _q4_0(b: _Blocks) -> str:
    return b.scaled(b.less(_nibbles(b, 2), 8), b.half(0))


def _q5_0(b: _Blocks) -> str:
    """The fifth bits are four bytes' bits, in order."""
    each = b.call.unsqueeze(b.part(2, 6), 3)
    bits = b.call.emit("Concat", *(b.bits(each, i, 1) for i in range(8)), axis=3)
    fifth = b.call.reshape(bits, *b.call.shape(b.bytes_)[:2], 32)
    return b.scaled(b.less(b.plus(_nibbles(b, 6), fifth, 16), 16), b.half(0))


def _q8_0(b: _Blocks) -> str:
    return b.scaled(b.less(b.signed(b.part(2, 34)), 0), b.half(0))


def _scales_of_6_bits(b: _Blocks) -> tuple[str, str]:
    """Eight scales and eight offsets of 12 bytes: the lower bits of the last four of each are in
    the last bytes, and their higher two above those of the first four."""
    first, second, third = (b.part(n, n + 4) for n in (4, 8, 12))
    found = []
    for of, bit in ((first, 0), (second, 4)):
        high = b.plus(b.bits(third, bit, 4), b.bits(of, 6, 2), 16)
        found.append(b.call.cast(b.joined(b.bits(of, 0, 6), high), _FLOAT))
    return found[0], found[1]


def _q5_k(b: _Blocks) -> str:
    """Eight parts of 32 numbers, each with a scale and an offset of 6 bits."""
    scales, offsets = _scales_of_6_bits(b)
    fifths, parts = b.part(16, 48), []
    for part in range(8):
        begin = 48 + part // 2 * 32
        low = b.bits(b.part(begin, begin + 32), part % 2 * 4, 4)
        parts.append(b.plus(low, b.bits(fifths, part, 1), 16))
    call, numbers = b.call, b.less(b.joined(*parts), 0)
    ones = call.emit("Expand", call.constant(1, "float32"), call.sizes(*call.shape(numbers)))
    least = b.scaled(ones, offsets, b.half(2))
    return call.emit("Sub", b.scaled(numbers, scales, b.half(0)), least)


def _q6_k(b: _Blocks) -> str:
    """Sixteen parts of 16 numbers, each with a scale of 8 bits."""
    parts = []
    for half in (0, 1):
        high = b.part(128 + 32 * half, 160 + 32 * half)
        for part in range(4):
            begin = 64 * half + 32 * (part % 2)
            low = b.bits(b.part(begin, begin + 32), part // 2 * 4, 4)
            parts.append(b.plus(low, b.bits(high, 2 * part, 2), 16))
    scales = b.less(b.signed(b.part(192, 208)), 0)
    return b.scaled(b.less(b.joined(*parts), 32), scales, b.half(208))


def _levels(b: _Blocks, places: str) -> str:
    return b.call.emit("Gather", b.call.constant(_LEVELS, "float32"), places, axis=0)


def _iq4_nl(b: _Blocks) -> str:
    return b.scaled(_levels(b, _nibbles(b, 2)), b.half(0))


def _iq4_xs(b: _Blocks) -> str:
    """Eight parts of 32 numbers, whose scales of 6 bits lie apart."""
    highs, lows, parts = [], [], []
    for part in range(8):
        high, low = 2 + part // 4, 4 + part // 2
        highs.append(b.bits(b.part(high, high + 1), part % 4 * 2, 2))
        lows.append(b.bits(b.part(low, low + 1), part % 2 * 4, 4))
        parts.append(_nibbles(b, 8 + 16 * part))
    scales = b.less(b.plus(b.joined(*lows), b.joined(*highs), 16), 32)
    return b.scaled(_levels(b, b.joined(*parts)), scales, b.half(0))


@dataclass(frozen=True)
class _Format:
    """``size`` bytes hold ``numbers`` of them."""

    numbers: int
    size: int
    floats: Callable[[_Blocks], str]


_FORMATS: Mapping[int, _Format] = {
    2: _Format(32, 18, _q4_0),
    6: _Format(32, 22, _q5_0),
    8: _Format(32, 34, _q8_0),
    13: _Format(256, 176, _q5_k),
    14: _Format(256, 210, _q6_k),
    20: _Format(32, 18, _iq4_nl),
    23: _Format(256, 136, _iq4_xs),
}


def _gather(call: Spelling) -> Results:
    """Rows are looked up, then unpacked."""
    kind, columns = call.attr("packed_type", -1), call.count("K")
    indices, shape = call.given(1), call.shape(call.x)
    to = call.attr("output_dtype", _BFLOAT16)
    if to not in _RESULTS:
        raise call.unsupported(f"output_dtype={to}")
    if kind in _PLAIN:
        return call.cast(_looked_up(call, _PLAIN[kind], columns), to)
    if kind not in _FORMATS:
        raise call.unsupported(f"packed_type={kind}")
    known = _FORMATS[kind]
    blocks, rest = divmod(columns, known.numbers)
    if rest or len(shape) != 2 or shape[1] != blocks * known.size:
        raise call.unsupported(f"a table {list(shape)} of packed rows of {columns} columns")
    outer = call.shape(indices)
    rows = call.emit("Gather", call.x, call.reshape(indices, -1), axis=0)
    apart = call.reshape(call.cast(rows, _INT32), -1, blocks, known.size)
    y = known.floats(_Blocks(call, apart))
    return call.cast(call.reshape(y, *outer, columns), to)


def _looked_up(call: Spelling, kind: type, columns: int) -> str:
    """Of rows of floats, which are known."""
    table = call.array(call.x)
    if table is None:
        raise call.unsupported("bytes of floats that are computed at run time")
    size = np.dtype(kind).itemsize
    if table.ndim != 2 or table.shape[1] != columns * size:
        raise call.unsupported(f"a table {list(table.shape)} of rows of {columns} columns")
    floats: Array = np.ascontiguousarray(table).view(kind)
    return call.emit("Gather", call.weight(floats), call.given(1), axis=0)


OPERATORS: Operators = {
    "GatherPacked": Spelled(_gather, 2, attributes("K output_dtype packed_type"), since=13),
}
