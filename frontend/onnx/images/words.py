"""Settings in one line: words such as ``nhwc`` and ``mean=0.5,0.5``, and back.

A data class's fields are the settings. A word with ``=`` names its field; one without is a choice
of a field that may go without its name, a size such as ``480x640``, or a flag's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from luthier.schedules import UsageError
from luthier.schedules.arguments import shown
from luthier.schedules.files import open_regular

_MOST_BYTES = 1 << 24  # of a file of labels


@dataclass(frozen=True)
class Kind:
    """How the words of one field are read: what they ``choose`` among, or the form of their value.

    ``form`` is one of "choice", "flag", "number", "numbers", "whole", "integer", "pair", "part"
    and "file".
    ``always``: it is written where it is the default, too. ``bare``: a choice alone is a word.
    """

    form: str
    choices: tuple[str, ...] = ()
    always: bool = False
    bare: bool = False


Kinds = Mapping[str, Kind]


def parsed(what: str, text: str, kinds: Kinds) -> dict[str, Any]:
    """The settings that a text names; raises UsageError, which names the word that is wrong."""
    found: dict[str, Any] = {}
    for word in text.split():
        name, value = _read(what, word, kinds)
        if name in found:
            raise UsageError(f"{what}: {shown(word)} says {name} a second time")
        found[name] = value
    return found


def written(settings: Any, kinds: Kinds) -> str:
    """A data class's settings but for what goes without saying, as ``parsed`` reads them."""
    said = ((f.name, getattr(settings, f.name), f.default) for f in fields(settings))
    return " ".join(
        _word(name, value, kinds[name])
        for name, value, default in said
        if value != default or kinds[name].always
    )


def _read(what: str, word: str, kinds: Kinds) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if equals and name in kinds:
        return name, _value(what, word, text, kinds[name])
    if not equals:
        for field, kind in kinds.items():
            if kind.bare and word in kind.choices:
                return field, word
            if kind.form == "flag" and word == field:
                return field, True
        if "size" in kinds and word[:1].isdigit():
            return "size", _value(what, word, word, kinds["size"])
    bare = [choice for kind in kinds.values() if kind.bare for choice in kind.choices]
    flags = [field for field, kind in kinds.items() if kind.form == "flag"]
    named = [f"{field}=" for field, kind in kinds.items() if kind.form != "flag"]
    raise UsageError(
        f"{what}: {shown(word)} is none of its words: {', '.join([*bare, *flags, *named])}"
    )


def _value(what: str, word: str, text: str, kind: Kind) -> Any:
    try:
        return _READERS[kind.form](text, kind)
    except (ValueError, ZeroDivisionError, OverflowError):
        wanted = {
            "choice": f"one of {', '.join(kind.choices)}",
            "flag": "alone, without a value",
            "number": "a number, such as 114 or 1/255",
            "numbers": "numbers, such as 0.485,0.456,0.406",
            "whole": "a whole number",
            "integer": "a whole number, such as 1 or -1",
            "pair": "a height and a width, such as 480x640, or names of sizes that are open, such "
            "as height,width",
            "part": "a height and a width, such as 224x224, or a part of both, such as 0.875",
            "file": "a file with a text in each line, such as @labels.txt",
        }
        raise UsageError(f"{what}: {shown(word)} must be {wanted[kind.form]}") from None


def _choice(text: str, kind: Kind) -> str:
    if text not in kind.choices:
        raise ValueError
    return text


def _flag(text: str, kind: Kind) -> bool:
    raise ValueError


def _number(text: str, kind: Kind) -> float:
    over, slash, under = text.partition("/")
    number = float(over) / float(under) if slash else float(over)
    if not math.isfinite(number):
        raise ValueError
    return number


def _numbers(text: str, kind: Kind) -> tuple[float, ...]:
    return tuple(_number(each, kind) for each in text.split(","))


def _whole(text: str, kind: Kind) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError
    return int(text)


def _integer(text: str, kind: Kind) -> int:
    return -_whole(text[1:], kind) if text.startswith("-") else _whole(text, kind)


def _pair(text: str, kind: Kind) -> tuple[int | str, int | str]:
    first, second = text.split("," if "," in text else "x")
    return _side(first), _side(second)


def _side(text: str) -> int | str:
    if text[:1].isdigit():
        return _whole(text, Kind("whole"))
    if not (text.isascii() and text.isidentifier()):
        raise ValueError
    return text


def _part(text: str, kind: Kind) -> tuple[int | str, int | str] | float:
    return _pair(text, kind) if "x" in text or "," in text else _number(text, kind)


def _file(text: str, kind: Kind) -> tuple[str, ...]:
    if not text.startswith("@"):
        raise ValueError
    try:
        with open_regular(text[1:]) as file:
            data = file.read(_MOST_BYTES + 1)
        lines = data.decode("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{shown(text[1:])}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown(text[1:])} is not UTF-8 text") from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{shown(text[1:])} is larger than {_MOST_BYTES >> 20} MiB")
    return tuple(lines)


_READERS = {
    "choice": _choice,
    "flag": _flag,
    "number": _number,
    "numbers": _numbers,
    "whole": _whole,
    "integer": _integer,
    "pair": _pair,
    "part": _part,
    "file": _file,
}


def _word(name: str, value: Any, kind: Kind) -> str:
    if kind.form == "flag":
        return name
    if kind.bare:
        return str(value)
    if kind.form == "file":
        return f"{name}={len(value)}"
    text = _text(value)
    return text if name == "size" and text[:1].isdigit() else f"{name}={text}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        numbers = all(isinstance(each, int) for each in value)
        return ("x" if numbers else ",").join(map(_text, value))
    if isinstance(value, float):
        return _number_text(value)
    return str(value)


def _number_text(value: float) -> str:
    """A whole number, or one over one, where it is that."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    under = 1 / value
    whole = round(under) if 1 < abs(under) < math.inf else 1
    return f"1/{whole}" if 1 / whole == value and len(repr(value)) > 5 else repr(value)


def channels(name: str, value: Any) -> tuple[float, ...]:
    """One number, or one for each channel, all finite; raises UsageError."""
    given = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    try:
        found = tuple(float(each) for each in given)
    except (TypeError, ValueError, OverflowError):
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise UsageError(f"{name} must be a number, or one for each channel, not {shown(value)}")
    return found
