"""The same of transposed convolutions, each of whose small convolutions goes so."""

from __future__ import annotations

from ..conv_transpose.emit import kernel

__all__ = ["kernel"]
