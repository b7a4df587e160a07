"""Reads values of JSON that must be of a type; any other raises ValueError."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_MOST = 1 << 63  # what is not a size in memory
_SHOWN = 40  # characters of a wrong value


def whole(value: Any) -> int:
    """An integer that may be a size or a number of things; ``true`` and 1.0 are not."""
    if type(value) is not int or not 0 <= value < _MOST:
        _refuse(value, "a whole number from 0 to 2^63")
    return value


def integer(value: Any) -> int:
    """An integer of 64 bits, of either sign."""
    if type(value) is not int or not -_MOST <= value < _MOST:
        _refuse(value, "a whole number from -2^63 to 2^63")
    return value


def number(value: Any) -> float:
    """A finite number of at least 0."""
    if type(value) not in (int, float) or not 0 <= value < _MOST:
        _refuse(value, "a number from 0 to 2^63")
    return float(value)


def text(value: Any) -> str:
    """A text that UTF-8 can encode."""
    if not isinstance(value, str):
        _refuse(value, "a text")
    value.encode()
    return value


def matching(pattern: str, value: Any) -> str:
    """A text of a form."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        _refuse(value, f"of the form {pattern}")
    return value


def each(read: Callable[[Any], T], items: Any) -> tuple[T, ...]:
    """What ``read`` makes of the items of a list."""
    if not isinstance(items, list):
        _refuse(items, "a list")
    return tuple(map(read, items))


def mapping(value: Any) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        _refuse(value, "an object")
    return value


def parse(data: bytes) -> Any:
    """JSON of objects whose names are unique; raises ValueError and RecursionError."""
    return json.loads(data, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two values of one name")
    return found


def _refuse(value: Any, wanted: str) -> NoReturn:
    shown = repr(value) if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}..."
    raise ValueError(f"{shown} is not {wanted}")
