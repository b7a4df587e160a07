"""Maps in Python, and the arrays that a library has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import InputError

from .entries import Port

Array = NDArray[Any]
_NUMBERS = (int, float, np.number, np.bool_)
SEPARATOR = "="
"""Between a key and a value that is a text, as scikit-learn has it."""


class Maps:
    """Those of an entry point's inputs."""

    def __init__(self, inputs: Sequence[Port]) -> None:
        self._taken = {i: _Rows(port) for i, port in enumerate(inputs) if port.keys}

    def taken(self, values: Sequence[Any]) -> Sequence[Any]:
        """Inputs, with an array in place of a map, or of several; raises InputError."""
        if not self._taken:
            return values
        return [self._taken[i].of(v) if i in self._taken else v for i, v in enumerate(values)]


class _Rows:
    """Makes rows of maps: a column for each key."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._columns = {key: column for column, key in enumerate(port.keys)}

    def of(self, value: Any) -> Any:
        """A map, or a list of maps, as rows; an array is given back as it is.

        A key that the model does not know is left out. A text ``v`` of a key ``k``, where values
        are numbers, is a 1 of the key ``k=v``.
        """
        maps = [value] if isinstance(value, Mapping) else value
        if not isinstance(maps, list | tuple) or not all(isinstance(m, Mapping) for m in maps):
            return value
        text = self._port.text
        dtype: Any = object if text else self._port.tensor.element.numpy
        rows = np.full((len(maps), len(self._columns)), "" if text else 0, dtype)
        for row, each in zip(rows, maps, strict=True):
            self._fill(row, each.items())
        return rows

    def _fill(self, row: Array, items: Iterable[tuple[Any, Any]]) -> None:
        for key, value in items:
            known, number = key, value
            if isinstance(value, str) and not self._port.text:
                known, number = f"{key}{SEPARATOR}{value}", 1
            try:
                column = self._columns.get(known)
            except TypeError:  # it has no hash
                column = None
            if column is None:
                continue
            if not self._put(row, column, number):
                raise InputError(
                    f"input {self._port.name!r} has {value!r:.40} for {key!r:.40}, which is no "
                    f"{self._port.element}"
                )

    def _put(self, row: Array, column: int, value: Any) -> bool:
        """Whether a value is one of the type, and is there now."""
        if not isinstance(value, str if self._port.text else _NUMBERS):
            return False
        try:
            row[column] = value
        except (OverflowError, ValueError):
            return False
        return row.dtype.kind not in "iu" or bool(row[column] == value)
