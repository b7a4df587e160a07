"""How the bits of narrow floats stand for numbers: a sign, an exponent and a fraction.

The numbers are those of ONNX and of the package ml_dtypes. ``float8_e8m0fnu`` is none of them: it
is an exponent alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Format:
    """``bits`` in all, of which the last ``fraction`` are one; the exponent counts from ``-bias``.

    ``largest`` are the bits of the largest number, without a sign, ``beyond`` those of what is
    larger, and ``nan`` those of what is none, or of what becomes of that where there is none.
    ``signed_zero``: there are two zeros, and NaN may have a sign, too.
    """

    bits: int
    fraction: int
    bias: int
    largest: int
    beyond: int
    nan: int
    signed_zero: bool = True

    @property
    def sign(self) -> int:
        """The bit of the sign."""
        return 1 << (self.bits - 1)

    @property
    def least_exponent(self) -> int:
        """That of the smallest normal number, as float32 counts."""
        return 128 - self.bias


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "bfloat16": Format(16, 7, 127, 0x7F7F, 0x7F80, 0x7FC0),
        "float8_e4m3fn": Format(8, 3, 7, 0x7E, 0x7F, 0x7F),
        "float8_e4m3fnuz": Format(8, 3, 8, 0x7F, 0x80, 0x80, signed_zero=False),
        "float8_e5m2": Format(8, 2, 15, 0x7B, 0x7C, 0x7E),
        "float8_e5m2fnuz": Format(8, 2, 16, 0x7F, 0x80, 0x80, signed_zero=False),
        "float4_e2m1fn": Format(4, 1, 1, 0x7, 0x7, 0x8),
    }
)
