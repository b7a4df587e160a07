"""One-line error texts out of other libraries' exceptions."""

from __future__ import annotations


def one_line(error: BaseException, limit: int = 200) -> str:
    """The first line of an exception's text that says something, cut at ``limit`` characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    return said if len(said) <= limit else said[: limit - 1] + "…"
