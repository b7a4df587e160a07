"""What a file of TensorFlow Lite holds: tensors, and the operators between them.

Numbers of fields are those of TensorFlow's ``schema.fbs``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError, UnsupportedOperator

from .codes import CUSTOM, OPERATORS
from .flatbuffer import Bytes, DamagedError, Table

_IDENTIFIER = b"TFL3"
_VERSION = 3
_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16",
    9: "int8", 10: "float64", 12: "uint64", 15: "uint32", 16: "uint16",
}  # fmt: skip
_OTHERS = {5: "string", 8: "complex64", 11: "complex128", 13: "resource", 14: "variant",
           17: "int4", 18: "bfloat16"}  # fmt: skip
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
    """``shape`` has the sizes with which the file was written, and None where any may be."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantised: Quantised | None
    constant: NDArray[Any] | None


@dataclass(frozen=True)
class Operation:
    """An operator by its name in the schema, and numbers of tensors, -1 for none."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None
    place: int

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.kind} (operator {self.place})"


@dataclass(frozen=True)
class LiteModel:
    """The main graph. ``inputs`` and ``outputs`` are tensors' numbers by name."""

    tensors: Sequence[Tensor]
    operations: Sequence[Operation]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    where: str


def is_tflite(data: bytes) -> bool:
    """Whether this is such a file, of which no other format of models is."""
    return data[4:8] == _IDENTIFIER and int.from_bytes(data[:4], "little") < len(data)


def decoded(data: bytes, where: str) -> LiteModel:
    """What a file holds.

    Raises ModelError for a file that is damaged, and UnsupportedOperator for what is of a kind that
    is not supported.
    """
    try:
        return _decoded(Bytes(data), where)
    except DamagedError as error:
        raise ModelError(f"{where}: the file is cut short or damaged") from error


def _decoded(source: Bytes, where: str) -> LiteModel:
    root = source.root()
    version, graphs = root.number(0, "<I"), root.tables(2)
    if version != _VERSION:
        raise UnsupportedOperator(f"{where}: version {version} of the format is not 3")
    if not graphs:
        raise ModelError(f"{where}: it has no graph")
    codes = [_code(each) for each in root.tables(1)]
    constants = _Constants(source, root.tables(4))
    main = graphs[0]
    tensors = [_tensor(each, constants, where) for each in main.tables(0)]
    operations = [
        _operation(each, place, codes, len(tensors)) for place, each in enumerate(main.tables(3))
    ]
    inputs, outputs = _names(root, main, tensors)
    return LiteModel(tensors, operations, inputs, outputs, where)


def _code(code: Table) -> str:
    """Codes above 126 are in a field of their own."""
    number = max(code.number(0, "<b"), code.number(3))
    if number == CUSTOM:
        return f"custom operator '{code.text(1)}'"
    return OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator of code {number}"


class _Constants:
    """The buffers of a file, which several tensors may share."""

    def __init__(self, source: Bytes, buffers: Sequence[Table]) -> None:
        self._source, self._buffers = source, buffers
        self._left = _FREE + _TIMES * len(source.data)
        self._found: dict[int, NDArray[np.uint8]] = {}

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


def _tensor(table: Table, constants: _Constants, where: str) -> Tensor:
    name, code = table.text(3), table.number(1, "<b")
    if code not in _DTYPES:
        kind = _OTHERS.get(code, f"type {code}")
        raise UnsupportedOperator(f"{where}: tensor '{name}' is of {kind}, which is not supported")
    dtype = _DTYPES[code]
    shape, open_shape = table.array(0, "<i4"), table.array(7, "<i4")
    if shape.size > _MOST_DIMENSIONS or (shape < 0).any():
        raise ModelError(f"{where}: tensor '{name}' has the shape {shape.tolist()[:9]}")
    sizes: tuple[int | None, ...] = tuple(shape.tolist())
    data = constants.bytes_of(table.number(2, "<I"))
    constant = None
    if data.size:
        count = math.prod(shape.tolist())
        if data.size != count * np.dtype(dtype).itemsize:
            raise ModelError(
                f"{where}: tensor '{name}' has {data.size} bytes for {count} of {dtype}"
            )
        constant = data.view(np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)
    elif open_shape.size == shape.size:
        sizes = tuple(
            None if free < 0 else size for size, free in zip(sizes, open_shape, strict=True)
        )
    return Tensor(name, sizes, dtype, _quantised(table, name, shape.size, where), constant)


def _quantised(table: Table, name: str, rank: int, where: str) -> Quantised | None:
    given = table.table(4)
    if given is None:
        return None
    scale, zero = given.array(2, "<f4"), given.array(3, "<i8")
    if not scale.size:
        return None
    axis = given.number(6) if scale.size > 1 else 0
    zero = zero if zero.size else np.zeros(1, np.int64)
    fits = zero.size in (1, scale.size) and 0 <= axis < max(rank, 1)
    if not fits or not (np.isfinite(scale) & (scale >= 0)).all():
        raise ModelError(f"{where}: the quantisation of tensor '{name}' does not fit it")
    return Quantised(scale, np.broadcast_to(zero, scale.shape), axis)


def _operation(table: Table, place: int, codes: Sequence[str], tensors: int) -> Operation:
    code = table.number(0, "<I")
    inputs, outputs = table.array(1, "<i4"), table.array(2, "<i4")
    both = np.concatenate([inputs, outputs])
    if code >= len(codes) or (both < -1).any() or (both >= tensors).any():
        raise DamagedError
    return Operation(
        codes[code], tuple(inputs.tolist()), tuple(outputs.tolist()), table.table(4), place
    )  # fmt: skip


def _names(
    root: Table, main: Table, tensors: Sequence[Tensor]
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Inputs and outputs by the names of the signature, if there is one, or their tensors'."""
    signatures = [each for each in root.tables(7) if each.number(4, "<I") == 0]
    found = []
    for field, listed in enumerate((main.array(1, "<i4"), main.array(2, "<i4"))):
        if ((listed < 0) | (listed >= len(tensors))).any():
            raise DamagedError
        names = {number: tensors[number].name or f"tensor_{number}" for number in listed.tolist()}
        if len(signatures) == 1:
            maps = signatures[0].tables(field)
            said = {each.number(1, "<I"): each.text(0) for each in maps}
            names = {number: said.get(number) or name for number, name in names.items()}
        if len(set(names.values())) < len(names):
            names = {number: f"{name}_{number}" for number, name in names.items()}
        found.append({name: number for number, name in names.items()})
    return found[0], found[1]
