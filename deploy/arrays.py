"""NumPy arrays as a library takes and gives them.

What is known before a call is computed before it: a small model runs in microseconds, and asking
NumPy for an address or a type takes as long as one of its kernels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ALIGNMENT, InputError, Tensor
from luthier.schedules.ir.dtype import DTYPES

from . import binding
from .entries import Port
from .recycled import WORTH_KEEPING, Recycled

Array = NDArray[Any]
_addressof = ctypes.addressof
_char_in: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer  # arrays are buffers
_WORTH_ALIGNING = 4096  # bytes: smaller arrays are used where NumPy has room for them


class Arguments:
    """The inputs or the outputs of a model, in its order; for one call at a time."""

    def __init__(self, ports: Sequence[Port]) -> None:
        self.ports = ports
        self.names = [port.name for port in ports]
        self.together = frozenset(self.names)
        self._types = [_layout(port.tensor) for port in ports]
        self._kept = [Recycled() for _ in ports]
        self._table = (binding.CBuffer * len(ports))()
        self._buffers = list(self._table)  # each access of the table would make an object
        self.address = ctypes.addressof(self._table)
        """Of the C array that names the memory of the last arrays."""
        for buffer, port in zip(self._buffers, ports, strict=True):
            buffer.bytes = port.tensor.nbytes

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the arrays; where sizes are open, of the largest, or those that outputs have now."""
        return [shape for _, shape, _ in self._types]

    def named(self, shapes: Sequence[tuple[int, ...]]) -> list[tuple[str, Tensor]]:
        """The names and types of arrays of these shapes."""
        each = zip(self.ports, shapes, strict=True)
        return [(port.name, Tensor(shape, port.tensor.dtype)) for port, shape in each]

    def name(self, arrays: Sequence[Array]) -> None:
        """Let the C array name the arrays' memory."""
        for buffer, array in zip(self._buffers, arrays, strict=True):
            try:
                buffer.data = _addressof(_char_in(array))
            except (TypeError, ValueError):
                buffer.data = _address(array)

    def empty(self) -> list[Array]:
        """Uninitialised arrays, which the C array names; those that are not small start at
        multiples of 64 bytes."""
        arrays = []
        each = zip(self._buffers, self._types, self._kept, strict=True)
        for buffer, (dtype, shape, nbytes), kept in each:
            if nbytes < _WORTH_ALIGNING:
                arrays.append(array := np.empty(shape, dtype))
                try:
                    buffer.data = _addressof(_char_in(array))
                except (TypeError, ValueError):
                    buffer.data = _address(array)
                continue
            wanted = nbytes + ALIGNMENT
            raw = kept.block(wanted) if wanted > WORTH_KEEPING else np.empty(wanted, np.uint8)
            address = _addressof(_char_in(raw))
            first = -address % ALIGNMENT
            buffer.data = address + first
            arrays.append(np.ndarray(shape, dtype, raw, first))
        return arrays

    def checked(self, values: Sequence[Any]) -> list[Array]:
        """The values as the C-contiguous arrays that the model takes; raises InputError."""
        arrays = []
        for port, (dtype, shape, _), value in zip(self.ports, self._types, values, strict=True):
            array = value if type(value) is np.ndarray else _as_array(port, value)
            if array.dtype is not dtype and array.dtype != dtype:
                array = typed(array, dtype)
                if array.dtype != dtype:
                    raise InputError(f"input {port.name!r} is {array.dtype}, not {dtype}")
            if array.shape != shape:
                raise InputError(f"input {port.name!r} has the shape {array.shape}, not {shape}")
            flags = array.flags
            dense = flags.c_contiguous and flags.aligned
            arrays.append(array if dense else np.array(array, order="C"))
        return arrays


class OpenInputs(Arguments):
    """Inputs of which some sizes are open."""

    def __init__(self, ports: Sequence[Port]) -> None:
        super().__init__(ports)
        self._ranks = [len(port.tensor.shape) for port in ports]
        self._sizes = [(ctypes.c_int64 * rank)() for rank in self._ranks]
        self._shapes = (binding.CShape * len(ports))()
        for shape, sizes, rank in zip(self._shapes, self._sizes, self._ranks, strict=True):
            shape.sizes, shape.rank = sizes, rank

    def shapes_in_c(self, arrays: Sequence[Array]) -> Any:
        """The C array of the arrays' shapes, which those that are named next have."""
        for buffer, sizes, array in zip(self._buffers, self._sizes, arrays, strict=True):
            sizes[:] = list(array.shape)
            buffer.bytes = array.nbytes
        return self._shapes

    def checked(self, values: Sequence[Any]) -> list[Array]:
        """The values as C-contiguous arrays of the model's types and numbers of dimensions; whether
        there are sizes that give their shapes, the library says. Raises InputError."""
        arrays = []
        for port, (dtype, shape, _), value in zip(self.ports, self._types, values, strict=True):
            array = value if type(value) is np.ndarray else _as_array(port, value)
            if array.dtype is not dtype and array.dtype != dtype:
                array = typed(array, dtype)
                if array.dtype != dtype:
                    raise InputError(f"input {port.name!r} is {array.dtype}, not {dtype}")
            if array.ndim != len(shape):
                wanted = ", ".join(port.shape_texts)
                raise InputError(f"input {port.name!r} has the shape {array.shape}, not ({wanted})")
            flags = array.flags
            dense = flags.c_contiguous and flags.aligned
            arrays.append(array if dense else np.array(array, order="C"))
        return arrays


class OpenOutputs(Arguments):
    """Outputs of which some sizes are open; at first, the largest."""

    def resize(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """From now on they have these shapes."""
        tensors = [Tensor(s, p.tensor.dtype) for s, p in zip(shapes, self.ports, strict=True)]
        self._types = [_layout(tensor) for tensor in tensors]
        for buffer, tensor in zip(self._buffers, tensors, strict=True):
            buffer.bytes = tensor.nbytes


def typed(array: Array, dtype: np.dtype[Any]) -> Array:
    """An array of NumPy's files, which do not tell the types of ml_dtypes, as one of these."""
    untyped = array.dtype.type is np.void and array.dtype.names is None
    narrow = dtype.name in DTYPES and DTYPES[dtype.name].is_narrow
    if untyped and narrow and array.dtype.itemsize == dtype.itemsize:
        return array.view(dtype)
    return array


def _layout(tensor: Tensor) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    return tensor.element.numpy, tensor.shape, tensor.nbytes


def _address(array: Array) -> int:
    """Of any array: a read-only one, one without elements, or of a type that buffers lack. Takes
    four times as long as to ask for the buffer of another."""
    address: int = array.__array_interface__["data"][0]
    return address


def _as_array(port: Port, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"input {port.name!r} is a masked array; fill it first")
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except Exception as error:
            reason = str(error).splitlines()[:1]
            raise InputError(f"input {port.name!r} is not an array on the CPU: {reason}") from error
    raise InputError(
        f"input {port.name!r} is a {type(value).__name__}, not a NumPy or DLPack array"
    )
