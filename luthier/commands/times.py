"""Times for people."""

from __future__ import annotations

import math


def ratio(before: float, after: float) -> str:
    """`` (1.35x)``, or nothing where either is unknown."""
    known = math.isfinite(before) and math.isfinite(after) and after > 0
    return f" ({before / after:.2f}x)" if known else ""


def milliseconds(seconds: float) -> str:
    """``0.312 ms``."""
    return f"{seconds * 1e3:.3g} ms" if math.isfinite(seconds) else "? ms"


def clock(seconds: float) -> str:
    """``01:05`` for 65 seconds, ``?`` where nobody knows."""
    if math.isinf(seconds):
        return "?"
    whole = round(min(seconds, 359_999))
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes}" if whole >= 3600 else minutes
