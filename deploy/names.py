"""Names that C, linkers and CMake accept, made from whatever a model's file is called."""

from __future__ import annotations

import re

from luthier.schedules.errors import printable

# What follows ``luthier_`` in the C API; a model's accessor must not be called the same.
_TAKEN = re.compile(
    r"check_model|copy|create|destroy|dtype|error|fail|grain|granted_cores|input|instance|"
    r"missing_feature|model|model_function|options|output|phase|phase_function|pool|"
    r"pool_create|pool_destroy|profile|program|reference|reject|run|space|status|"
    r"status_text|step|succeed|task|tensor|weights|workers_start|workers_stop"
    r"|runtime_.*|kernel_.*"
)
_LONGEST = 64


def identifier(text: str) -> str:
    """``text`` as the part after ``luthier_`` in a C name: lower case, digits and underscores.

    Never empty, at most 65 characters, and never a name of the C API itself (``model.onnx`` gives
    ``model_``).
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower())[:_LONGEST].strip("_") or "unnamed"
    return f"{name}_" if _TAKEN.fullmatch(name) else name


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
