"""Matrix products of whole numbers: those of ``gemm``, with a multiply-add of their own.

Both operands stay as narrow as they are in memory, packed ones too, and are widened in registers.
"""

from __future__ import annotations

from ..gemm.emit import kernel

__all__ = ["kernel"]
