"""Element types: what the numbers of a tensor are, and how many bits they take.

Records and workloads have them by name: ``DTYPES`` are all that tensors may have, ``ACCEPTED``
those that any operator may take. The others are *narrow*: TVM computes none of these, so memory
holds their bits as whole numbers, of one byte or two, and a ``cast`` makes numbers of them, and
them of numbers; all else only moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ..late import late

if TYPE_CHECKING:
    import numpy as np

_numpy, _ml_dtypes = late("numpy"), late("ml_dtypes")


class Kind(Enum):
    """What the bits stand for."""

    FLOAT = "float"
    INT = "int"
    UINT = "uint"
    BOOL = "bool"


@dataclass(frozen=True)
class DType:
    """An element type; ``name`` is NumPy's."""

    name: str
    kind: Kind
    bits: int

    @property
    def bytes(self) -> int:
        """Bytes of an element that stands alone, as NumPy stores it."""
        return self.nbytes(1)

    @property
    def numpy(self) -> np.dtype[Any]:
        """NumPy's type; what NumPy itself has none for is of the package ml_dtypes."""
        found: np.dtype[Any] = _numpy.dtype(getattr(_ml_dtypes, self.name, self.name))
        return found

    @property
    def is_float(self) -> bool:
        """Whether there are fractions, infinities or NaN."""
        return self.kind is Kind.FLOAT

    @property
    def is_whole(self) -> bool:
        """Whether they are whole numbers, with a sign or without."""
        return self.kind in (Kind.INT, Kind.UINT)

    @property
    def is_narrow(self) -> bool:
        """Whether kernels read its bits and compute with another type."""
        return self.name in _NARROW

    @property
    def computed(self) -> DType:
        """The type that kernels compute with, which holds all its numbers."""
        if not self.is_narrow:
            return self
        return FLOAT32 if self.is_float else INT32

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the largest whole number."""
        if self.kind is Kind.INT:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    @property
    def storage(self) -> str:
        """The name of the type that memory holds, one that TVM and NumPy have."""
        if self.kind is Kind.BOOL:
            return "int8"
        if not self.is_narrow:
            return self.name
        return f"{'int' if self.kind is Kind.INT else 'uint'}{8 * self.bytes}"

    @property
    def accumulator(self) -> DType:
        """The type in which sums of products are added up."""
        if self.bits >= 32:
            return self
        return FLOAT32 if self.is_float else INT32

    def nbytes(self, count: int) -> int:
        """Bytes that ``count`` neighbours take; those of fewer than 8 bits have a byte each."""
        return count * max(self.bits // 8, 1)


FLOAT32, INT32 = DType("float32", Kind.FLOAT, 32), DType("int32", Kind.INT, 32)
_WIDE_TYPES = (
    *(DType(f"float{bits}", Kind.FLOAT, bits) for bits in (64, 32, 16)),
    *(DType(f"int{bits}", Kind.INT, bits) for bits in (64, 32, 16, 8)),
    *(DType(f"uint{bits}", Kind.UINT, bits) for bits in (64, 32, 16, 8)),
    DType("bool", Kind.BOOL, 8),
)
_NARROW_TYPES = (
    DType("bfloat16", Kind.FLOAT, 16),
    DType("float8_e4m3fn", Kind.FLOAT, 8),
    DType("float8_e4m3fnuz", Kind.FLOAT, 8),
    DType("float8_e5m2", Kind.FLOAT, 8),
    DType("float8_e5m2fnuz", Kind.FLOAT, 8),
    DType("float8_e8m0fnu", Kind.FLOAT, 8),
    DType("float4_e2m1fn", Kind.FLOAT, 4),
    DType("int4", Kind.INT, 4),
    DType("uint4", Kind.UINT, 4),
    DType("int2", Kind.INT, 2),
    DType("uint2", Kind.UINT, 2),
)
_NARROW = frozenset(t.name for t in _NARROW_TYPES)
ACCEPTED: Mapping[str, DType] = {t.name: t for t in _WIDE_TYPES}
DTYPES: Mapping[str, DType] = {t.name: t for t in (*_WIDE_TYPES, *_NARROW_TYPES)}
