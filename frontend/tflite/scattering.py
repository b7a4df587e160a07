"""TensorFlow Lite's operators that put elements where other numbers say, or add them up there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from .call import Call, Operator


def _scatter_nd(call: Call) -> str:
    """Of zeros; what is there twice is added."""
    zeros = call.add("Expand", call.one(0, like=1), call.whole(2))
    return call.add("ScatterND", zeros, call.whole(0), call.input(1), reduction="add")


def _sparse_to_dense(call: Call) -> str:
    """Indices are one number, a list of places, or rows of a number for each dimension."""
    shape, rank = call.whole(1), len(call.result().shape)
    dense = call.add("Expand", call.input(3), shape)
    places = call.add("Reshape", call.whole(0), call.ints(-1, rank))
    count = call.add("Slice", call.add("Shape", places), call.ints(0), call.ints(1))
    return call.add("ScatterND", dense, places, call.add("Expand", call.input(2), count))


def _dynamic_update_slice(call: Call) -> str:
    """The update fits as it is put no farther than to the end."""
    rank = call.rank(0)
    whole, part = call.sizes(0, range(rank)), call.sizes(1, range(rank))
    if any(size > room for size, room in zip(part, whole, strict=True)):
        raise call.unsupported(f"an update of {part} in {whole}")
    # Dimensions that are all there need no place.
    own = max((i + 1 for i in range(rank) if part[i] != whole[i]), default=0)
    if not own:
        return call.input(1)
    room = [size - more for size, more in zip(whole, part, strict=True)]
    begins = call.add("Max", call.whole(2), call.ints(0))
    begins = call.add("Min", begins, call.ints(*room))
    outer, places = part[:own], list[str]()
    for axis in range(own):
        begin = call.add("Slice", begins, call.ints(axis), call.ints(axis + 1))
        spread = [1] * own
        spread[axis] = part[axis]
        steps = call.add("Reshape", call.numbers(part[axis]), call.ints(*spread, 1))
        place = call.add("Add", steps, begin)
        places.append(call.add("Expand", place, call.ints(*outer, 1)))
    return call.add("ScatterND", call.input(0), call.add("Concat", *places, axis=-1), call.input(1))


def _least(dtype: str) -> Any:
    return np.finfo(dtype).min if dtype.startswith("float") else np.iinfo(dtype).min


def _most(dtype: str) -> Any:
    return np.finfo(dtype).max if dtype.startswith("float") else np.iinfo(dtype).max


# What ONNX calls it, and what it begins with.
_REDUCTIONS = {
    "UNSORTED_SEGMENT_MAX": ("max", _least),
    "UNSORTED_SEGMENT_MIN": ("min", _most),
    "UNSORTED_SEGMENT_PROD": ("mul", lambda _: 1),
    "UNSORTED_SEGMENT_SUM": ("add", lambda _: 0),
}


def _segments(call: Call, count: int, reduction: str, first: Any) -> str:
    """Rows of one number are reduced to one row; those of a number below 0 are left out."""
    rank, batch = call.rank(0), call.rank(1)
    rest = [size or 0 for size in call.result().shape[1:]]
    if len(rest) != rank - batch:
        raise call.unsupported(f"a result of {len(rest) + 1} dimensions")
    numbers, none = call.whole(1), call.ints(count)
    numbers = call.add("Where", call.add("Less", numbers, call.ints(0)), none, numbers)
    tensor = call.tensor(0)
    is_real = tensor.quantised is not None or tensor.dtype == "float16"
    dtype = "float32" if is_real else tensor.dtype
    value = call.graph.constant(first(dtype) if callable(first) else first, dtype)
    empty = call.add("Expand", value, call.ints(count + 1, *rest))
    places = call.add("Unsqueeze", numbers, call.ints(-1))
    y = call.add("ScatterND", empty, places, call.input(0), reduction=reduction)
    return call.add("Slice", y, call.ints(0), call.ints(count), call.ints(0))


def _unsorted(call: Call) -> str:
    (count,) = call.constant(2, "a number of segments")[:1] or [0]
    return _segments(call, max(count, 0), *_REDUCTIONS[call.operation.kind])


def _sorted(call: Call) -> str:
    """There are as many as the last one says."""
    numbers: Sequence[int] = call.constant(1, "a list of segments")
    return _segments(call, max(numbers, default=-1) + 1, "add", 0)


def _diagonal(call: Call) -> str:
    """A matrix of each row."""
    (size,) = call.sizes(0, [call.rank() - 1])
    x = call.add("Unsqueeze", call.input(), call.ints(-2))
    return call.add("Where", _eye(call, size, size), x, call.one(0))


def _with_diagonal(call: Call) -> str:
    rows, columns = call.sizes(0, (call.rank() - 2, call.rank() - 1))
    # The shorter dimension has the diagonal's place; the other one is gone through.
    diagonal = call.add("Unsqueeze", call.input(1), call.ints(-1 if rows <= columns else -2))
    return call.add("Where", _eye(call, rows, columns), diagonal, call.input(0))


def _eye(call: Call, rows: int, columns: int) -> str:
    """Where row and column are one number."""
    down, across = (call.numbers(count) for count in (rows, columns))
    return call.add("Equal", call.add("Unsqueeze", down, call.ints(1)), across)


def _where(call: Call) -> str:
    """The places of what is not zero, in order."""
    return call.add("Transpose", call.add("NonZero", call.input(0)), perm=[1, 0])


def _unique(call: Call) -> list[str]:
    """In the order in which they come first, and the number of each element among them."""
    values, _, places = call.graph.add_several("Unique", [call.input(0)], 3, sorted=0)
    wide = call.result(1).dtype == "int64"
    return [values, places if wide else call.add("Cast", places, to=TensorProto.INT32)]


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(_REDUCTIONS, Operator(_unsorted)),
    "DYNAMIC_UPDATE_SLICE": Operator(_dynamic_update_slice, moves=True, moved=(0, 1)),
    "MATRIX_DIAG": Operator(_diagonal),
    "MATRIX_SET_DIAG": Operator(_with_diagonal, moves=True, moved=(0, 1)),
    "SCATTER_ND": Operator(_scatter_nd),
    "SEGMENT_SUM": Operator(_sorted),
    "SPARSE_TO_DENSE": Operator(_sparse_to_dense, moves=True, moved=(2, 3)),
    "UNIQUE": Operator(_unique),
    "WHERE": Operator(_where, passes=True),
}
