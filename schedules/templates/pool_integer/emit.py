"""Maxima of windows of whole numbers of 8 bits, a vector of which has four times the elements."""

from __future__ import annotations

from ..channelwise.emit import kernel

__all__ = ["kernel"]
