"""The tensors of a file of TensorFlow Lite, and the numbers of those that are constants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError, UnsupportedOperator

from ..flatbuffer import Bytes, DamagedError, Table
from .sparse import written_out

RESOURCE, COMPLEX, TEXT = "resource", "complex64", "string"
_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16",
    9: "int8", 10: "float64", 12: "uint64", 15: "uint32", 16: "uint16",
}  # fmt: skip
_OTHERS = {5: TEXT, 8: COMPLEX, 11: "complex128", 13: RESOURCE, 14: "variant", 17: "int4",
           18: "bfloat16"}  # fmt: skip
_INT4 = 17
_MOST_DIMENSIONS = 8
# Constants may lie in the same bytes; so many times those of the file at most.
_TIMES, _FREE = 4, 1 << 24


@dataclass(frozen=True)
class Quantised:
    """Numbers stand for ``scale * (number - zero)``; along ``axis`` there is one of each."""

    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int


@dataclass(frozen=True)
class Tensor:
    """``shape`` has the sizes with which the file was written, and None where any may be.

    One that ``is_kept`` has in the next run what the operator that takes it leaves in it.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantised: Quantised | None
    constant: NDArray[Any] | None
    is_kept: bool

    @property
    def is_plain(self) -> bool:
        """Whether its elements are of a type that ONNX's operators compute with, or texts."""
        return self.dtype == TEXT or self.dtype in _DTYPES.values()


class Constants:
    """The buffers of a file, which several tensors may share."""

    def __init__(self, source: Bytes, buffers: Sequence[Table]) -> None:
        self._source, self._buffers = source, buffers
        self._left = _FREE + _TIMES * len(source.data)
        self._found: dict[int, NDArray[np.uint8]] = {}

    @property
    def file_bytes(self) -> int:
        """How many the file has."""
        return len(self._source.data)

    def bytes_of(self, number: int) -> NDArray[np.uint8]:
        """What buffer ``number`` holds; data of more than 2 GiB lie after all tables."""
        if not 0 <= number < len(self._buffers):
            raise DamagedError
        if number not in self._found:
            buffer = self._buffers[number]
            offset, size = buffer.number(1, "<Q"), buffer.number(2, "<Q")
            own = buffer.array(0, "u1")
            self._found[number] = self._source.array(offset, size, "u1") if offset > 1 else own
        found = self._found[number]
        self._left -= found.size
        if self._left < 0:
            raise DamagedError
        return found


def read_tensor(table: Table, constants: Constants, where: str) -> Tensor:
    """The tensor of a table; raises ModelError and UnsupportedOperator."""
    name, code = table.text(3), table.number(1, "<b")
    what = f"{where}: tensor '{name}'"
    dtype = _DTYPES.get(code) or _OTHERS.get(code, f"type {code}")
    shape, open_shape = table.array(0, "<i4"), table.array(7, "<i4")
    if shape.size > _MOST_DIMENSIONS or (shape < 0).any():
        raise ModelError(f"{what} has the shape {shape.tolist()[:9]}")
    sizes: tuple[int | None, ...] = tuple(shape.tolist())
    data, count = constants.bytes_of(table.number(2, "<I")), math.prod(shape.tolist())
    constant = None
    sparse = table.table(6) if data.size else None
    if sparse is not None and dtype in _DTYPES.values():
        kind = np.dtype(dtype)
        if data.size % kind.itemsize:
            raise DamagedError
        values = data.view(kind.newbyteorder("<")).astype(kind)
        constant = written_out(sparse, tuple(shape.tolist()), values, constants.file_bytes)
        data = np.zeros(0, np.uint8)
    elif sparse is not None:
        raise UnsupportedOperator(f"{what} has sparse weights of {dtype}, which are not supported")
    if data.size and code == _INT4:
        data, dtype = _unpacked(data, count), "int8"
    if data.size and dtype in _DTYPES.values():
        if data.size != count * np.dtype(dtype).itemsize:
            raise ModelError(f"{what} has {data.size} bytes for {count} of {dtype}")
        constant = data.view(np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)
    elif data.size and dtype == TEXT:
        constant = _texts(data, count, what).reshape(shape)
    elif constant is None and open_shape.size == shape.size:
        sizes = tuple(
            None if free < 0 else size for size, free in zip(sizes, open_shape, strict=True)
        )
    return Tensor(name, sizes, dtype, _quantised(table, what, shape.size), constant, table.flag(5))


def _texts(data: NDArray[np.uint8], count: int, what: str) -> NDArray[Any]:
    """The bytes of each text: their number, where each begins and the last ends, and all of them.

    Raises ModelError where they are not so, or more than they are said to be.
    """
    source = Bytes(data.tobytes())
    (number,) = source.array(0, 1, "<i4").tolist()
    if number != count:
        raise ModelError(f"{what} has {number} texts in place of {count}")
    ends = source.array(4, count + 1, "<i4").tolist()
    found = np.empty(count, object)
    for i, (begin, end) in enumerate(itertools.pairwise(ends)):
        if not 0 <= begin <= end <= data.size:
            raise DamagedError
        source.spend(end - begin)
        found[i] = source.data[begin:end]
    return found


def _unpacked(data: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """The bytes of int8 of numbers of 4 bits, of two in a byte the lower first."""
    pairs = np.stack([data << 4, data & 0xF0], axis=-1).reshape(-1)[:count]
    return (pairs.view(np.int8) >> 4).view(np.uint8)


def _quantised(table: Table, what: str, rank: int) -> Quantised | None:
    given = table.table(4)
    if given is None:
        return None
    if given.number(4, "<B"):
        raise UnsupportedOperator(f"{what} is quantised by blocks, which is not supported")
    scale, zero = given.array(2, "<f4"), given.array(3, "<i8")
    if not scale.size:
        return None
    axis = given.number(6) if scale.size > 1 else 0
    zero = zero if zero.size else np.zeros(1, np.int64)
    fits = zero.size in (1, scale.size) and 0 <= axis < max(rank, 1)
    if not fits or not (np.isfinite(scale) & (scale >= 0)).all():
        raise ModelError(f"{what}: its quantisation does not fit it")
    return Quantised(scale, np.broadcast_to(zero, scale.shape), axis)
