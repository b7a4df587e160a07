"""Processors that can be built for by name, from any machine.

L1 data and L2 are what one core has. They stand in the vendors' optimization manuals: Intel's *64
and IA-32 Architectures Optimization Reference Manual* (cache parameters of each
micro-architecture), AMD's *Software Optimization Guide* for families 17h, 19h and 1Ah. L3 is what
Linux shows as one cache: of AMD's that of a core complex, of Intel's that of a whole processor,
which differs from model to model; the model taken is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Processor:
    """``microarchitecture`` is archspec's name. Cache sizes are bytes."""

    microarchitecture: str
    level: str
    l1: int
    l2: int
    l3: int


def _v2(name: str, l1: int, l2: int, l3: int) -> Processor:
    return Processor(name, "x86-64-v2", l1 * _KIB, l2 * _KIB, l3)


def _v3(name: str, l1: int, l2: int, l3: int) -> Processor:
    return Processor(name, "x86-64-v3", l1 * _KIB, l2 * _KIB, l3)


def _v4(name: str, l1: int, l2: int, l3: int) -> Processor:
    return Processor(name, "x86-64-v4", l1 * _KIB, l2 * _KIB, l3)


# By LLVM's name, which is the compiler's (-mtune) too.
PROCESSORS: Mapping[str, Processor] = {
    "nehalem": _v2("nehalem", 32, 256, 8 * _MIB),  # Core i7-920
    "sandybridge": _v2("sandybridge", 32, 256, 8 * _MIB),  # Core i7-2600
    "ivybridge": _v2("ivybridge", 32, 256, 8 * _MIB),  # Core i7-3770
    "haswell": _v3("haswell", 32, 256, 8 * _MIB),  # Core i7-4770
    "broadwell": _v3("broadwell", 32, 256, 35 * _MIB),  # Xeon E5-2680 v4
    "skylake": _v3("skylake", 32, 256, 8 * _MIB),  # Core i7-6700
    "alderlake": _v3("alderlake", 48, 1280, 30 * _MIB),  # Core i9-12900K, its fast cores
    "skylake-avx512": _v4("skylake_avx512", 32, 1024, 77 * _MIB // 2),  # Xeon Platinum 8180
    "cascadelake": _v4("cascadelake", 32, 1024, 77 * _MIB // 2),  # Xeon Platinum 8280
    "icelake-client": _v4("icelake", 48, 512, 8 * _MIB),  # Core i7-1065G7
    "icelake-server": _v4("icelake", 48, 1280, 60 * _MIB),  # Xeon Platinum 8380
    "sapphirerapids": _v4("sapphirerapids", 48, 2048, 105 * _MIB),  # Xeon Platinum 8480+
    "znver1": _v3("zen", 32, 512, 8 * _MIB),
    "znver2": _v3("zen2", 32, 512, 16 * _MIB),
    "znver3": _v3("zen3", 32, 512, 32 * _MIB),
    "znver4": _v4("zen4", 32, 1024, 32 * _MIB),
    "znver5": _v4("zen5", 48, 1024, 32 * _MIB),
}
