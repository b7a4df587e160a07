"""Instruction sets that kernels are compiled for.

x86-64's are the psABI's micro-architecture levels: v2 (SSE4.2), v3 (AVX2 and FMA), v4 (AVX-512).
Instructions that some processors of a level have besides are *extensions* of it. Families of
instructions are known by the features that bring them, in Linux's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir.dtype import DType
from .costs import Costs


@dataclass(frozen=True)
class Isa:
    """An instruction set. ``triple`` is LLVM's, as ``name`` is, which it takes for a processor.

    ``features`` (Linux's names) are all that its code may use. The runtime asks the processor for
    each by name before the first kernel runs (``deploy/runtime/cpu.c``).
    """

    name: str
    triple: str
    features: tuple[str, ...]
    vector_bytes: int
    vector_registers: int
    costs: Costs

    def lanes(self, dtype: DType) -> int:
        """Elements in a vector register."""
        return self.vector_bytes // dtype.bytes


# ``loaded`` as measured on Zen 4 with vectors of 256 bits: ten pairs of 1x1 and depthwise
# convolutions with a load for each multiply-add, as one vector of channels has them, take up to
# twice as long as with two or three.
_USUAL = Costs(latency=4, multiply_adds=2, loaded=1.5)
_LINUX = "x86_64-unknown-linux-gnu"
_V2 = ("sse3", "ssse3", "sse4_1", "sse4_2", "popcnt")
_V3 = (*_V2, "avx", "avx2", "fma", "f16c", "bmi1", "bmi2")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_X86 = (
    Isa("x86-64-v2", _LINUX, _V2, 16, 16, _USUAL),
    Isa("x86-64-v3", _LINUX, _V3, 32, 16, _USUAL),
    Isa("x86-64-v4", _LINUX, _V4, 64, 32, _USUAL),
)
ISAS: Mapping[str, Isa] = {isa.name: isa for isa in _X86}  # each has all of those before it


@dataclass(frozen=True)
class Extension:
    """Instructions beyond ``level``, whose vectors they use; a target's name has them after a
    plus."""

    name: str
    level: str
    features: tuple[str, ...]


EXTENSIONS: Mapping[str, Extension] = {
    extension.name: extension
    for extension in (
        Extension("avxvnni", "x86-64-v3", ("avx_vnni",)),  # sums of four products of 8 bits
        Extension("vnni", "x86-64-v4", ("avx512_vnni",)),  # the same of 512 bits
        Extension("vbmi", "x86-64-v4", ("avx512vbmi",)),  # bytes found in a table in registers
        Extension("bf16", "x86-64-v4", ("avx512_bf16",)),  # sums of two products of bfloat16
        Extension("amx", "x86-64-v4", ("amx_tile", "amx_int8", "amx_bf16")),  # of whole tiles
    )
}
