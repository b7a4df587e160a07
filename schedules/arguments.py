"""What callers in Python hand over: anything, until it was looked at here.

Each function takes an argument's name and value, gives the value in the form that Luthier uses, and
raises UsageError with what was wanted and what was given. Numbers of NumPy and paths of all kinds
are welcome; a bool is not a number.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from typing import Any

from . import redaction
from .errors import UsageError

_LONGEST = 40  # characters of a value that are shown
_SEARCHED = 1 << 16  # characters of it that are searched for passwords


def shown(value: object) -> str:
    """A value, or its kind where that is not a simple one, for a message."""
    if type(value) is int and abs(value) >= 10**30:
        return "a huge number"
    if value is None or type(value) in (bool, int, float):
        return _cut(str(value))
    if type(value) is str:
        return _cut(repr(redaction.shown(value[:_SEARCHED])[:_LONGEST]))
    if type(value) is bytes:
        return _cut(repr(value[:_LONGEST]))
    kind = type(value)
    return f"a {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")[:80]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def path(name: str, value: Any) -> str | os.PathLike[str]:
    """A path or URL: text, or a path object of it."""
    try:
        text = os.fspath(value)
    except Exception as error:
        raise UsageError(f"{name} must be a path, not {shown(value)}") from error
    if not isinstance(text, str):
        raise UsageError(f"{name} must be a path as text, not {shown(text)}")
    if not text:
        raise UsageError(f"{name} must be a path, and is empty")
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise UsageError(f"{name} holds a character that no path can have: {shown(text)}")
    return value  # type: ignore[no-any-return]


def paths(name: str, value: Any) -> tuple[str | os.PathLike[str], ...]:
    """Several of them; a single one is easily meant, and is not several."""
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Iterable):
        raise UsageError(f"{name} must be a list of paths, not {shown(value)}")
    return tuple(path(f"each of {name}", each) for each in value)


def integer(name: str, value: Any, least: int, most: int) -> int:
    """A whole number from ``least`` to ``most``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except Exception:
        number = None
    if number is None:
        raise UsageError(f"{name} must be a whole number, not {shown(value)}")
    if least <= number <= most:
        return number
    wanted = f"at least {least}" if number < least else f"at most {most}"
    if most <= 4096:
        wanted = f"between {least} and {most}"
    raise UsageError(f"{name} must be {wanted}, not {shown(number)}")


def number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = 1e300,
) -> float:
    """A finite number, at least ``least``, above ``above``, and at most ``most``."""
    try:
        if isinstance(value, bool | str | bytes | bytearray):
            raise TypeError
        found = float(value)
    except Exception as error:
        raise UsageError(f"{name} must be a number, not {shown(value)}") from error
    if found > above and least <= found <= most:
        return found
    bounds = [f"above {above:g}"] if above > -math.inf else []
    bounds = bounds or [f"at least {least:g}"]
    bounds += [f"at most {most:g}"] if most < 1e300 else ["finite"]
    raise UsageError(f"{name} must be {' and '.join(bounds)}, not {found:g}")


def flag(name: str, value: Any) -> bool:
    """True or false, of NumPy too."""
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise UsageError(f"{name} must be True or False, not {shown(value)}")


def text(name: str, value: Any) -> str:
    """Text."""
    if isinstance(value, str):
        return value
    raise UsageError(f"{name} must be text, not {shown(value)}")
