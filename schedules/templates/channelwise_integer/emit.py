"""Depthwise convolutions of whole numbers, with a multiply-add of their own: ``channelwise``."""

from __future__ import annotations

from ..channelwise.emit import kernel

__all__ = ["kernel"]
