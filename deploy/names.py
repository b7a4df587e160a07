"""Names that C, linkers and CMake accept, made from whatever a model's file is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from luthier.schedules.errors import printable

from .reserved import is_of_the_api, is_reserved

_LONGEST = 64


def identifier(text: str) -> str:
    """``text`` as the part after ``luthier_`` in a C name: lower case, digits and underscores.

    Never empty, at most 65 characters; a longer text ends with a hash of all of it. What a header,
    a library or the C API is called gets an underscore (``model.onnx`` gives ``model_``).
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "unnamed"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: _LONGEST - 9].rstrip('_')}_{digest}"
    return f"{name}_" if is_reserved(name) else name


def accessors(name: str, entries: Sequence[str]) -> dict[str, int]:
    """The C functions that give a model, and which of its entry points each gives.

    The first has the model's name alone; where there are several, each has one with its own, too.
    What the C API is called gets an underscore.
    """
    named = {f"luthier_{name}": 0}
    for e, entry in enumerate(entries if len(entries) > 1 else ()):
        function = f"{name}_{entry}"
        named[f"luthier_{function}{'_' if is_of_the_api(function) else ''}"] = e
    return named


def label(text: str) -> str:
    """A tensor's name for an error message: short, in one line, nothing that a terminal obeys."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def c_string(text: str) -> str:
    """A C string literal of the text's UTF-8 bytes, whatever they are."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')  # a question mark may begin a trigraph
    quoted = "".join(
        chr(b) if b in plain else f"\\{b:03o}" for b in text.encode("utf-8", "replace")
    )
    return f'"{quoted}"'


def c_comment(text: str) -> str:
    """``text`` in one line that cannot end a C comment."""
    printable = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return printable.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")
