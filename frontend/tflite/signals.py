"""TensorFlow Lite's Fourier transform and complex numbers, pairs in one more dimension."""

from __future__ import annotations

from functools import partial

from .call import Call, Operator


def _fourier(call: Call) -> str:
    """Of the last two dimensions; of the last one the half that tells all."""
    lengths = call.constant(1, "a length")
    if len(lengths) != 2 or min(lengths) < 1 or call.rank() < 2:
        raise call.unsupported(f"the lengths {lengths[:8]} of {call.rank()} dimensions")
    (rows,) = call.sizes(0, [call.rank() - 2])
    x = call.add("Unsqueeze", call.input(0), call.ints(-1))
    y = _transformed(call, x, lengths[1], -2, onesided=1)
    return y if rows == lengths[0] == 1 else _transformed(call, y, lengths[0], -3, onesided=0)


def _transformed(call: Call, x: str, length: int, axis: int, onesided: int) -> str:
    number = call.graph.constant
    return call.add(
        "DFT", x, number(length, "int64"), number(axis, "int64"), onesided=onesided
    )  # fmt: skip


def real_parts(call: Call) -> str:
    """Of an input of complex numbers."""
    return _part(0, call)


def _part(place: int, call: Call) -> str:
    """The real parts or the others."""
    pairs = call.graph.complex(call.number(0))
    return call.add("Gather", pairs, call.graph.constant(place, "int64"), axis=-1)


def _absolute(call: Call) -> str:
    pairs = call.graph.complex(call.number(0))
    return call.add("ReduceL2", pairs, call.ints(-1), keepdims=0)


OPERATORS: dict[str, Operator] = {
    "COMPLEX_ABS": Operator(_absolute, passes=True),
    "IMAG": Operator(partial(_part, 1), passes=True),
    "REAL": Operator(partial(_part, 0), passes=True),
    "RFFT2D": Operator(_fourier, passes=True),
}
