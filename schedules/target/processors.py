"""Processors that can be built for by name, from any machine.

L1 data and L2 are what one core has. They stand in the vendors' optimization manuals: Intel's *64
and IA-32 Architectures Optimization Reference Manual* (cache parameters of each
micro-architecture), AMD's *Software Optimization Guide* for families 17h, 19h and 1Ah. L3 is what
Linux shows as one cache: of AMD's that of a core complex, of Intel's that of a whole processor,
which differs from model to model; the model taken is named. What a multiply-add of the widest
vectors costs, and how many operations on these start together, is as Abel and Reineke measured it
(2019, *uops.info: Characterizing Latency, Throughput, and Port Usage of Instructions on Intel
Microarchitectures*; their tables have AMD's too): Zen 4 does one of 512 bits in two halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .costs import Costs

# As measured on Emerald Rapids, which starts a product of bfloat16 every other cycle.
_RAPIDS = Costs(4, 2, 2, bfloat16=0.25, loaded=1.5, read_again=0.15)
# As measured there with 12 pairs of 1x1 and depthwise convolutions, and 22 products.
_ZEN3 = Costs(4, 2, 4, passed_on=8.0, read_again=0.25, asked=1.0)
# ``moved`` as measured there; it starts a product of bfloat16 of 512 bits in each cycle, or a
# multiply-add.
_ZEN4 = Costs(4, 1, 2, bfloat16=1.0, moved=0.45, window=320)
_SEPARATE = (4, 1, 3)  # a multiplication, and an addition of three or four cycles after it


@dataclass(frozen=True)
class Processor:
    """``microarchitecture`` is archspec's name. Cache sizes are bytes."""

    microarchitecture: str
    level: str
    l1: int
    l2: int
    l3: int
    costs: Costs


def _of(
    name: str, level: int, caches: tuple[int, int, int], costs: tuple[int, int, int] | Costs
) -> Processor:
    """By the number of its level, KiB of its caches, and a multiply-add's latency, how many vectors
    of them and how many of all operations start in a cycle, or all costs where they are known."""
    l1, l2, l3 = (size << 10 for size in caches)
    known = costs if isinstance(costs, Costs) else Costs(*costs)
    return Processor(name, f"x86-64-v{level}", l1, l2, l3, known)


# By LLVM's name, which is that of GCC and Clang, too.
PROCESSORS: Mapping[str, Processor] = {
    "nehalem": _of("nehalem", 2, (32, 256, 8192), _SEPARATE),  # Core i7-920
    "sandybridge": _of("sandybridge", 2, (32, 256, 8192), _SEPARATE),  # Core i7-2600
    "ivybridge": _of("ivybridge", 2, (32, 256, 8192), _SEPARATE),  # Core i7-3770
    "haswell": _of("haswell", 3, (32, 256, 8192), (5, 2, 3)),  # Core i7-4770
    "broadwell": _of("broadwell", 3, (32, 256, 35840), (5, 2, 3)),  # Xeon E5-2680 v4
    "skylake": _of("skylake", 3, (32, 256, 8192), (4, 2, 3)),  # Core i7-6700
    "alderlake": _of("alderlake", 3, (48, 1280, 30720), (4, 2, 3)),  # i9-12900K, its fast cores
    "skylake-avx512": _of("skylake_avx512", 4, (32, 1024, 39424), (4, 2, 2)),  # Xeon 8180
    "cascadelake": _of("cascadelake", 4, (32, 1024, 39424), (4, 2, 2)),  # Xeon 8280
    "icelake-client": _of("icelake", 4, (48, 512, 8192), (4, 1, 2)),  # Core i7-1065G7
    "icelake-server": _of("icelake", 4, (48, 1280, 61440), (4, 2, 2)),  # Xeon 8380
    "sapphirerapids": _of("sapphirerapids", 4, (48, 2048, 107520), _RAPIDS),  # Xeon 8480+
    "emeraldrapids": _of("sapphirerapids", 4, (48, 2048, 327680), _RAPIDS),  # Xeon 8592+
    "znver1": _of("zen", 3, (32, 512, 8192), (5, 1, 4)),
    "znver2": _of("zen2", 3, (32, 512, 16384), (5, 2, 4)),
    "znver3": _of("zen3", 3, (32, 512, 32768), _ZEN3),
    "znver4": _of("zen4", 4, (32, 1024, 32768), _ZEN4),
    "znver5": _of("zen5", 4, (48, 1024, 32768), (4, 2, 4)),
}
