"""FlatBuffers, read within their bounds: https://flatbuffers.dev/internals/ says how they lie."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DamagedError(ValueError):
    """The bytes do not hold what they say."""


class Bytes:
    """A buffer. Honest lists hardly overlap, so all that is listed nearly fits into it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = 8 * len(data) + 65536  # a few lists may be shared

    def number(self, form: str, at: int) -> Any:
        """The number of a ``struct`` format at a place; raises DamagedError."""
        if not 0 <= at <= len(self.data) - struct.calcsize(form):
            raise DamagedError
        return struct.unpack_from(form, self.data, at)[0]

    def target(self, at: int) -> int:
        """Where the offset at a place leads to."""
        place: int = at + self.number("<I", at)
        return place

    def array(self, at: int, count: int, dtype: str) -> NDArray[Any]:
        """So many numbers at a place; raises DamagedError."""
        size = count * np.dtype(dtype).itemsize
        if not 0 <= at <= len(self.data) - size:
            raise DamagedError
        return np.frombuffer(self.data, dtype, count, at)

    def spend(self, size: int) -> None:
        """Raise DamagedError where lists have more bytes together than there are."""
        self._left -= size
        if self._left < 0:
            raise DamagedError

    def root(self) -> Table:
        """The table that everything hangs on."""
        return Table(self, self.target(0))


class Table:
    """Fields by their number in the schema, in which a union takes two."""

    def __init__(self, source: Bytes, at: int) -> None:
        self._source, self._at = source, at
        self._fields = at - source.number("<i", at)
        self._size = source.number("<H", self._fields)

    def place(self, field: int) -> int | None:
        """Where a field is; None where it has its default."""
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset: int = self._source.number("<H", self._fields + entry)
        return self._at + offset if offset else None

    def number(self, field: int, form: str = "<i", default: Any = 0) -> Any:
        """A number of a ``struct`` format."""
        at = self.place(field)
        return default if at is None else self._source.number(form, at)

    def flag(self, field: int, default: bool = False) -> bool:
        """A truth value."""
        return bool(self.number(field, "<B", default))

    def _list(self, field: int, size: int) -> tuple[int, int]:
        """Place and length of a list of elements of so many bytes."""
        at = self.place(field)
        if at is None:
            return 0, 0
        place = self._source.target(at)
        count = self._source.number("<I", place)
        self._source.spend(count * size)
        return place + 4, count

    def array(self, field: int, dtype: str) -> NDArray[Any]:
        """A list of numbers; empty where it is left out."""
        place, count = self._list(field, np.dtype(dtype).itemsize)
        return self._source.array(place, count, dtype)

    def data(self, field: int) -> bytes:
        """The bytes of a text; none where it is left out."""
        place, count = self._list(field, 1)
        return self._source.array(place, count, "u1").tobytes()

    def text(self, field: int) -> str:
        """A text, "" where it is left out; what is not UTF-8 is replaced."""
        return self.data(field).decode(errors="replace")

    def every_data(self, field: int) -> list[bytes]:
        """The bytes of each text of a list."""
        found = []
        for at in self._places(field):
            place = self._source.target(at)
            count = self._source.number("<I", place)
            self._source.spend(count)
            found.append(self._source.array(place + 4, count, "u1").tobytes())
        return found

    def texts(self, field: int) -> list[str]:
        """A list of texts; what is not UTF-8 is replaced."""
        return [each.decode(errors="replace") for each in self.every_data(field)]

    def table(self, field: int) -> Table | None:
        """A table; None where it is left out."""
        at = self.place(field)
        return None if at is None else Table(self._source, self._source.target(at))

    def tables(self, field: int) -> list[Table]:
        """A list of tables."""
        return [Table(self._source, self._source.target(at)) for at in self._places(field)]

    def _places(self, field: int) -> range:
        """Of the offsets of a list."""
        place, count = self._list(field, 4)
        return range(place, place + 4 * count, 4)
