"""Runs of models whose arrays are all small, which take less time than NumPy and ctypes do.

An input is copied to a place that the library knows already, sooner than NumPy tells where the
array lies. Outputs are rows of a larger array, whose address is asked for once for all of them.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ALIGNMENT, Tensor

Array = NDArray[Any]
Named = Sequence[tuple[str, Tensor]]

MOST_BYTES = 4096
"""Of an array: larger ones take longer to copy than to ask for."""
_ROWS, _MOST_ROOM = 64, 1 << 14  # of outputs that are made at once, and their bytes


def all_small(arrays: Named) -> bool:
    """Whether ``Small`` takes them; of rank 0 NumPy gives no array as a row."""
    return all(tensor.shape and 0 < tensor.nbytes <= MOST_BYTES for _, tensor in arrays)


class Small:
    """The arrays of one call at a time, and what the C API is called with."""

    def __init__(self, instance: int, takes: Named, gives: Named, error: int) -> None:
        """Of an instance, for inputs and outputs by name; addresses are numbers."""
        self._inputs, self._places = _table(takes), []
        for i, (name, tensor) in enumerate(takes):
            (place,), addresses = _Rows(tensor, 1).made()
            self._inputs[2 * i] = addresses[0]
            self._places.append((name, tensor.element.numpy, tensor.shape, place))
        self._outputs, self._names = _table(gives), [name for name, _ in gives]
        largest = max((_pitch(tensor) for _, tensor in gives), default=1)
        count = max(1, min(_ROWS, _MOST_ROOM // largest))
        self._rows = [_Rows(tensor, count) for _, tensor in gives]
        self._ready: list[tuple[dict[str, Array], tuple[int, ...]]] = []
        tables = self._inputs.buffer_info()[0], self._outputs.buffer_info()[0]
        self.arguments = instance, tables[0], len(takes), tables[1], len(gives), None, error
        """Of the function that runs an instance."""

    def take(self, inputs: Mapping[str, Any]) -> bool:
        """Whether all inputs are arrays of their types; these are then in place."""
        if len(inputs) != len(self._places):
            return False
        for name, dtype, shape, place in self._places:
            value = inputs.get(name)
            if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
                return False
            place[...] = value
        return True

    def give(self) -> dict[str, Array]:
        """The outputs of the next call, uninitialised, which nobody else has."""
        if not self._names:  # all that comes out are states
            return {}
        if not self._ready:
            self._make_ready()
        arrays, addresses = self._ready.pop()
        place = 0
        for address in addresses:
            self._outputs[place] = address
            place += 2
        return arrays

    def _make_ready(self) -> None:
        """The outputs of the next calls, and their addresses."""
        made = [rows.made() for rows in self._rows]
        arrays = zip(*(rows for rows, _ in made), strict=True)
        addresses = zip(*(places for _, places in made), strict=True)
        each = zip(arrays, addresses, strict=True)
        self._ready = [(dict(zip(self._names, a, strict=True)), b) for a, b in each]


def _table(arrays: Named) -> array[int]:
    """luthier_input and luthier_output: an address and a number of bytes of each array."""
    return array("Q", [n for _, tensor in arrays for n in (0, tensor.nbytes)])


def _pitch(tensor: Tensor) -> int:
    """Bytes from a row to the next."""
    return -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT


class _Rows:
    """Uninitialised arrays of a type, as many at once, each of which begins a cache line."""

    def __init__(self, tensor: Tensor, count: int) -> None:
        self._pitch, self._dtype = _pitch(tensor), tensor.element.numpy
        self._bytes = count * self._pitch
        self._shape = count, *tensor.shape
        self._strides = self._pitch, *np.empty(tensor.shape, self._dtype).strides

    def made(self) -> tuple[Array, range]:
        """They, as rows of one array, and their addresses."""
        raw: Any = np.empty(self._bytes + ALIGNMENT, np.uint8)  # NumPy does not type it as a buffer
        address = ctypes.addressof(ctypes.c_char.from_buffer(raw))
        first = -address % ALIGNMENT
        rows: Array = np.ndarray(self._shape, self._dtype, raw, first, self._strides)
        address += first
        return rows, range(address, address + self._bytes, self._pitch)
