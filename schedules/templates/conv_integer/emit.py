"""Convolutions of whole numbers: those of ``conv``, with a multiply-add of their own."""

from __future__ import annotations

from ..conv.emit import kernel

__all__ = ["kernel"]
