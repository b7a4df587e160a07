"""Universal Binary JSON (draft 12, https://ubjson.org), in which XGBoost saves models."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from luthier.schedules import ModelError

_DEEPEST = 64
_WHOLE = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_NUMBERS = {**_WHOLE, b"d": ">f4", b"D": ">f8"}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def decoded(data: bytes, where: str) -> Any:
    """What a document holds; arrays of one type of numbers are NumPy's.

    Raises ModelError for what is not a document, and for one that is cut short.
    """
    reader = _Reader(data)
    try:
        return reader.value(reader.marker(), 0)
    except (ValueError, struct.error) as error:
        raise ModelError(
            f"{where}: it is cut short or not Universal Binary JSON at byte {reader.at}"
        ) from error


class _Reader:
    """Raises ValueError for what is not right at ``at``."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self._data):
            raise ValueError
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def marker(self) -> bytes:
        """The next one; N stands for nothing."""
        while (found := self._take(1)) == b"N":
            pass
        return found

    def _next_is(self, marker: bytes) -> bool:
        """Whether it is, and then it is read."""
        is_next = self._data[self.at : self.at + 1] == marker
        self.at += is_next
        return is_next

    def _number(self, marker: bytes) -> int | float:
        dtype = np.dtype(_NUMBERS[marker])
        number: int | float = np.frombuffer(self._take(dtype.itemsize), dtype)[0].item()
        return number

    def _length(self) -> int:
        marker = self._take(1)
        if marker not in _WHOLE:
            raise ValueError
        return int(self._number(marker))

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def value(self, marker: bytes, depth: int) -> Any:
        """The value that a marker begins."""
        if depth > _DEEPEST:
            raise ValueError
        if marker in _NUMBERS:
            return self._number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        readers: dict[bytes, Callable[[int], Any]] = {
            b"S": lambda _: self._text(),
            b"C": lambda _: self._take(1).decode(),
            b"H": lambda _: self._text(),
            b"[": self._array,
            b"{": self._object,
        }
        if marker not in readers:
            raise ValueError
        return readers[marker](depth + 1)

    def _shape(self) -> tuple[bytes, int | None]:
        """Of what a container holds the type, or b"", and how many, or None."""
        kind = self._take(1) if self._next_is(b"$") else b""
        if self._next_is(b"#"):
            count = self._length()
            # An element takes a byte at least, so a count above these is not honest.
            if not 0 <= count <= len(self._data) - self.at or kind in (*_CONSTANTS, b"N"):
                raise ValueError
            return kind, count
        if kind:
            raise ValueError
        return b"", None

    def _array(self, depth: int) -> Any:
        kind, count = self._shape()
        if kind in _NUMBERS and count is not None:
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self._take(count * dtype.itemsize), dtype)
        if count is not None:
            return [self.value(kind or self.marker(), depth) for _ in range(count)]
        found = []
        while (marker := self.marker()) != b"]":
            found.append(self.value(marker, depth))
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._shape()
        found: dict[str, Any] = {}
        if count is not None:
            for _ in range(count):
                name = self._text()
                found[name] = self.value(kind or self.marker(), depth)
            return found
        while not self._next_is(b"}"):
            name = self._text()
            found[name] = self.value(self.marker(), depth)
        return found
