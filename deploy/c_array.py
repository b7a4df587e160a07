"""Arrays as the library's tables have them in C."""

from __future__ import annotations

from collections.abc import Iterable


def c_array(kind: str, name: str, rows: Iterable[str]) -> str:
    """A definition of ``all_<name>``, or a null pointer called that where there are no rows."""
    body = "".join(f"    {row},\n" for row in rows)
    if not body:
        return f"#define all_{name} NULL\n"
    return f"static const {kind} all_{name}[] = {{\n{body}}};\n"
