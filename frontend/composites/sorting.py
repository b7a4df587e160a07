"""What is in order along an axis."""

from __future__ import annotations

from ..graph.emitter import Emitter
from . import indexing

# Kernels list a row's elements in memory of their own.
_LONGEST = 1 << 26


def first(t: Emitter, x: int, axis: int, count: int, *, largest: bool) -> tuple[int, int]:
    """The largest or smallest elements along an axis, in order, and their places (int64).

    Of equals the lower place comes first; NaN is larger than any number.
    """
    length = t.shape(x)[axis]
    if length > _LONGEST:
        raise t.unsupported(f"an order of {length} elements (more than {_LONGEST})")
    if count == 1 and (largest or not t.type(x).element.is_float):  # NaN is not a smallest one
        op = "argmax" if largest else "argmin"
        places = t.cast(t.emit(op, x, axes=(axis,), keepdims=True, last=False), "int64")
    else:
        places = t.emit("topk", x, axis=axis, k=count, largest=largest)
    return indexing.gather_elements(t, x, places, axis), places
