"""FlexBuffers, as options of custom operators are written, read within their bounds:
https://flatbuffers.dev/flexbuffers/ says how they lie."""

from __future__ import annotations

import struct
from typing import TypeAlias

from ..flatbuffer import Bytes, DamagedError

Scalar: TypeAlias = "int | float | bool"
Numbers: TypeAlias = "dict[str, Scalar | tuple[int, ...]]"

_INT, _UINT, _FLOAT, _MAP, _BOOL = 1, 2, 3, 9, 26
_LISTS = {11: _INT, 12: _UINT}  # of numbers of one kind
_FORMS = {
    _INT: {1: "<b", 2: "<h", 4: "<i", 8: "<q"},
    _UINT: {1: "<B", 2: "<H", 4: "<I", 8: "<Q"},
    _FLOAT: {2: "<e", 4: "<f", 8: "<d"},
    _BOOL: {1: "<B", 2: "<H", 4: "<I", 8: "<Q"},
}
_MOST = 1024  # entries


def scalars(data: bytes) -> dict[str, Scalar]:
    """The numbers and truth values of a map by their keys; raises DamagedError."""
    return {name: each for name, each in numbers(data).items() if not isinstance(each, tuple)}


def numbers(data: bytes) -> Numbers:
    """The same, with lists of whole numbers."""
    source = Bytes(data)
    width, packed = source.number("<B", len(data) - 1), source.number("<B", len(data) - 2)
    if packed >> 2 != _MAP:
        raise DamagedError
    at = _target(source, len(data) - 2 - width, width)
    size = 1 << (packed & 3)
    count = source.number(_form(_UINT, size), at - size)
    if count > _MOST:
        raise DamagedError
    keys = _target(source, at - 3 * size, size)
    key_size = source.number(_form(_UINT, size), at - 2 * size)
    found: Numbers = {}
    for i in range(count):
        name = _text(data, _target(source, keys + i * key_size, key_size))
        said = source.number("<B", at + count * size + i)
        kind = said >> 2
        if kind in _FORMS:
            value = source.number(_form(kind, size), at + i * size)
            found[name] = bool(value) if kind == _BOOL else value
        elif kind in _LISTS:
            found[name] = _list(source, at + i * size, size, _form(_LISTS[kind], 1 << (said & 3)))
    return found


def _list(source: Bytes, at: int, size: int, form: str) -> tuple[int, ...]:
    """Whole numbers of this form, to which the offset at a place leads."""
    begin, width = _target(source, at, size), struct.calcsize(form)
    count = source.number(_form(_UINT, width), begin - width)
    if count > _MOST:
        raise DamagedError
    return tuple(source.number(form, begin + i * width) for i in range(count))


def _form(kind: int, size: int) -> str:
    if size not in _FORMS[kind]:
        raise DamagedError
    return _FORMS[kind][size]


def _target(source: Bytes, at: int, size: int) -> int:
    """Where the offset at a place leads, which is backwards."""
    place: int = at - source.number(_form(_UINT, size), at)
    return place


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at) if 0 <= at < len(data) else -1
    if end < 0:
        raise DamagedError
    return data[at:end].decode(errors="replace")
