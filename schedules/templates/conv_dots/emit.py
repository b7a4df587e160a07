"""Convolutions whose lanes are channels of the input: those of ``conv``, added up at the end."""

from __future__ import annotations

from ..conv.emit import kernel

__all__ = ["kernel"]
