"""As in two dimensions; along the other side a tile has one output, and nothing is transformed."""

from ..winograd.emit import kernel

__all__ = ["kernel"]
