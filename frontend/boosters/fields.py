"""What a document that may be hostile holds under a name, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError

Array = NDArray[Any]
MOST_FEATURES = (1 << 29) - 1  # as an ensemble's table can number


def mapping(document: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """Raises ModelError unless an object is there."""
    found = _there(document, name, where)
    if not isinstance(found, Mapping):
        raise ModelError(f"{where}: '{name}' is not an object")
    return found


def sequence(document: Mapping[str, Any], name: str, where: str) -> list[Any]:
    """Raises ModelError unless an array of anything is there."""
    found = _there(document, name, where)
    if not isinstance(found, list):
        raise ModelError(f"{where}: '{name}' is not an array")
    return found


def text(document: Mapping[str, Any], name: str, where: str, default: str | None = None) -> str:
    """Raises ModelError unless a text is there, or there is a default."""
    if default is not None and name not in document:
        return default
    found = _there(document, name, where)
    if not isinstance(found, str):
        raise ModelError(f"{where}: '{name}' is not a text")
    return found


def whole(given: str, what: str, least: int, most: int) -> int:
    """The number that a text is; raises ModelError outside of the bounds."""
    if not (given.isascii() and given.removeprefix("-").isdigit() and len(given) <= 20):
        raise ModelError(f"{what} is {given[:40]!r}, which is not a whole number")
    number = int(given)
    if not least <= number <= most:
        raise ModelError(f"{what} is {number}, and {least} to {most} are possible")
    return number


def real(given: str, what: str) -> float:
    """The number that a text is; raises ModelError for what is none, NaN too."""
    try:
        number = float(given)
    except ValueError as error:
        raise ModelError(f"{what} is {given[:40]!r}, which is not a number") from error
    if np.isnan(number):
        raise ModelError(f"{what} is not a number")
    return number


def ints(document: Mapping[str, Any], name: str, where: str) -> NDArray[np.int64]:
    """An array of whole numbers, or of truth values; empty where the name is not there."""
    found = _numbers(document, name, where)
    if found.dtype.kind not in "biu" and found.size:
        raise ModelError(f"{where}: '{name}' has numbers that are not whole")
    return found.astype(np.int64)


def floats(document: Mapping[str, Any], name: str, where: str) -> NDArray[np.float64]:
    """An array of numbers; empty where the name is not there."""
    return _numbers(document, name, where).astype(np.float64)


def _numbers(document: Mapping[str, Any], name: str, where: str) -> Array:
    given = document.get(name, [])
    try:
        found = np.asarray(given)
    except (ValueError, OverflowError, TypeError) as error:  # lists in it, of several lengths
        raise ModelError(f"{where}: '{name}' is not an array of numbers") from error
    if (
        not isinstance(given, list | np.ndarray)
        or found.ndim != 1
        or found.dtype.kind not in "biuf"
    ):
        raise ModelError(f"{where}: '{name}' is not an array of numbers")
    return found


def _there(document: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in document:
        raise ModelError(f"{where}: '{name}' is missing")
    return document[name]
