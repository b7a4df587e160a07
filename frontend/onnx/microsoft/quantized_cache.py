"""Caches of keys and values in whole numbers: a scale is of all, or of each column."""

from __future__ import annotations

from dataclasses import dataclass

from .few_bits import unpacked
from .spelling import Spelling

_FLOAT, _UINT8, _INT8 = 1, 2, 3
_MIDDLE = 8  # what 0 is in 4 bits


@dataclass(frozen=True)
class Cache:
    """What one cache holds: ``scale`` is "" where that is floats."""

    scale: str
    bits: int

    def opened(self, call: Spelling, past: str) -> str:
        """A number for each element, as ``held`` gives them."""
        if not self.scale or self.bits == 8:
            return past
        wide = call.cast(unpacked(call, past, 4), _INT8)
        return call.emit("Sub", wide, call.constant(_MIDDLE, "int8"))

    def held(self, call: Spelling, new: str) -> str:
        """Of floats [batch, groups, rows, columns]: rounded half to even, and saturated."""
        if not self.scale:
            return new
        most = 2 ** (self.bits - 1)
        number = call.emit("Round", call.emit("Div", new, self.scale))
        for op, limit in (("Max", -most), ("Min", most - 1)):
            number = call.emit(op, number, call.constant(limit, "float32"))
        return call.cast(number, _INT8)

    def floats(self, call: Spelling, held: str) -> str:
        """What it stands for."""
        if not self.scale:
            return held
        return call.emit("Mul", call.cast(held, _FLOAT), self.scale)

    def closed(self, call: Spelling, held: str) -> str:
        """As the next run takes it: of 4 bits two in a byte, the first in the lower bits."""
        if not self.scale or self.bits == 8:
            return held
        width = call.shape(held)[3]
        wide = call.cast(call.emit("Add", held, call.constant(_MIDDLE, "int8")), _UINT8)
        low, high = (call.slice(wide, 3, first, width, 2) for first in (0, 1))
        return call.emit("Add", low, call.emit("Mul", high, call.constant(16, "uint8")))


def caches(call: Spelling, columns: int) -> list[Cache]:
    """Those of keys and of values, by inputs 12 and 13; raises UnsupportedOperator."""
    found, bits = [], call.attr("kv_cache_bit_width", 0)
    for name, index in (("k_quant_type", 12), ("v_quant_type", 13)):
        kind = call.attr(name, "NONE")
        if kind == "NONE":
            found.append(Cache("", 0))
            continue
        if kind not in ("PER_TENSOR", "PER_CHANNEL") or bits not in (4, 8):
            raise call.unsupported(f"{name}='{kind}' of {bits} bits")
        if bits == 4 and columns % 2:
            raise call.unsupported(f"{columns} columns of 4 bits")
        if call.input(3) and call.dtype(call.input(3)) not in (_INT8, _UINT8):
            raise call.unsupported("a quantised cache of another type")
        scale = call.wide(call.given(index))
        if kind == "PER_CHANNEL":
            scale = call.reshape(scale, 1, -1, 1, columns)
        found.append(Cache(scale, bits))
    return found
