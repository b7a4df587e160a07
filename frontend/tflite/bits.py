"""TensorFlow Lite's BITCAST: the bytes of elements as elements of another type."""

from __future__ import annotations

import numpy as np

from .call import Call, Operator
from .graph import element


def _bitcast(call: Call) -> str:
    """Where the other type is smaller or larger, the elements that lie in one are the last
    dimension, those of lower bits first."""
    before, after = call.tensor(0).dtype, call.result().dtype
    if "bool" in (before, after) or not (call.tensor(0).is_plain and call.result().is_plain):
        raise call.unsupported(f"{before} as {after}")
    wide, narrow = (np.dtype(dtype).itemsize for dtype in (before, after))
    x = call.input()
    if wide == narrow:
        return _as(call, x, before, after)
    plain = _as(call, x, before, f"uint{8 * wide}")
    made = _pieces(call, plain, wide, narrow) if wide > narrow else _whole(call, plain, narrow)
    return _as(call, made, f"uint{8 * narrow}", after)


def _as(call: Call, x: str, before: str, after: str) -> str:
    """Of the same size."""
    return x if before == after else call.add("BitCast", x, to=element(after))


def _pieces(call: Call, x: str, wide: int, narrow: int) -> str:
    ends = np.arange(wide // narrow) * 8 * narrow
    by = call.graph.constant(ends, f"uint{8 * wide}")
    moved = call.add("BitShift", call.add("Unsqueeze", x, call.ints(-1)), by, direction="RIGHT")
    return call.add("Cast", moved, to=element(f"uint{8 * narrow}"))


def _whole(call: Call, x: str, narrow: int) -> str:
    """Of so many bytes; the last dimension has what lies in one."""
    dtype, size = f"uint{8 * narrow}", np.dtype(call.tensor(0).dtype).itemsize
    (count,) = call.sizes(0, [call.rank() - 1])
    if count != narrow // size:
        raise call.unsupported(f"{count} elements as one of {narrow} bytes")
    x, made = call.add("Cast", x, to=element(dtype)), ""
    for place in range(count):
        each = call.add("Gather", x, call.graph.constant(place, "int64"), axis=-1)
        by = call.graph.constant(8 * size * place, dtype)
        each = call.add("BitShift", each, by, direction="LEFT") if place else each
        made = call.add("BitwiseOr", made, each) if made else each
    return made


OPERATORS: dict[str, Operator] = {"BITCAST": Operator(_bitcast, passes=True)}
