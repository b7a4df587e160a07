"""Texts in Python, and the rows of bytes that a library has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import InputError

from .entries import Port

Array = NDArray[Any]


class Texts:
    """Those of an entry point's inputs and outputs."""

    def __init__(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        self._taken = {i: port for i, port in enumerate(inputs) if port.text}
        self._given = [i for i, port in enumerate(outputs) if port.text]
        self._labels = {i: np.array(p.labels) for i, p in enumerate(outputs) if p.labels}

    def taken(self, values: Sequence[Any]) -> Sequence[Any]:
        """Inputs, with rows of bytes in place of texts; raises InputError."""
        if not self._taken:
            return values
        return [rows_of(self._taken[i], v) if i in self._taken else v for i, v in enumerate(values)]

    def given(self, arrays: list[Array]) -> list[Array]:
        """Outputs, with texts in place of rows of bytes and of numbers that stand for them."""
        if not self._given and not self._labels:
            return arrays
        for i in self._given:
            arrays[i] = texts_of(arrays[i])
        for i, labels in self._labels.items():
            arrays[i] = labels[arrays[i]]
        return arrays


def rows_of(port: Port, value: Any) -> Array:
    """Texts as rows of UTF-8 with zeros after their ends; rows are given back as they are.

    ``value`` is an array of texts, or nested lists of them. Raises InputError for what is not a
    text, for a zero byte in one, and for one of more bytes than the input has room for.
    """
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value
    given = _texts(port, value)
    width = port.width
    encoded = [_bytes(port, each) for each in given.flat]
    rows = np.array(encoded, f"S{width}") if encoded else np.zeros(0, f"S{width}")
    return rows.view(np.uint8).reshape(*given.shape, width)


def texts_of(rows: Array) -> Array:
    """The texts of rows; what is not UTF-8 becomes U+FFFD."""
    width = rows.shape[-1]
    flat = np.ascontiguousarray(rows).reshape(-1).view(f"S{width}")
    texts: Array = np.char.decode(flat, "utf-8", "replace").reshape(rows.shape[:-1])
    return texts


def _texts(port: Port, value: Any) -> Array:
    try:
        given = np.asarray(value, None if isinstance(value, np.ndarray) else object)
    except ValueError as error:  # its rows differ in length
        raise InputError(f"input {port.name!r} is not an array of texts") from error
    if given.dtype.kind not in "OUST":
        raise InputError(f"input {port.name!r} is {given.dtype}, not texts")
    return given.astype(object)


def _bytes(port: Port, text: Any) -> bytes:
    """One text, in UTF-8."""
    what = f"input {port.name!r} has"
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{what} the bytes {text[:40]!r}, which are not UTF-8") from error
    if not isinstance(text, str):
        raise InputError(f"{what} a {type(text).__name__} among its texts")
    try:
        found = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} the text {text[:40]!r}, which UTF-8 cannot encode") from error
    if b"\0" in found:
        raise InputError(f"{what} the text {text[:40]!r}, which has a zero byte")
    if len(found) > port.width:
        raise InputError(
            f"{what} a text of {len(found)} bytes, {text[:40]!r}, and room for {port.width}: build "
            f"it for longer ones, such as --bound {port.name}={len(found)}"
        )
    return found
