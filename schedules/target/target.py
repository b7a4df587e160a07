"""What a kernel is compiled for: instruction set, caches, worker threads, accuracy."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ..errors import TargetError
from ..ir.dtype import DType
from .costs import Costs
from .isa import EXTENSIONS, ISAS, Isa
from .processors import PROCESSORS

# How exact convolutions and products of float32 are, the tightest first. What an element adds up is
# n products, S the sum of their absolute values, and "random" data of either sign, zeros included.
#
# strict    No algorithm that does more than add up products in another order, so that an element's
#           error is at most n / 2^24 of its own S; on random data below 5e-7 of it.
# balanced  Winograd's F(2x2, 3x3) too: on random data below 5e-7 of the output's largest S.
# standard  Winograd's F(4x4, 3x3), and others of at most 8 inputs along a side, too: on random data
#           below 5e-6 of the output's largest S.
# bf16      Operands of products and convolutions rounded to bfloat16 too: an element's error is at
#           most 2^-7 of its own S, or that of ``standard``. What is closer to 0 than 2^-126 is 0.
ACCURACIES = ("strict", "balanced", "standard", "bf16")
DEFAULT_ACCURACY = "standard"
_MOST = 1 << 40  # bytes of a cache, far beyond any
_PAGE = 1 << 12  # bytes


@dataclass(frozen=True)
class Target:
    """A machine kind. ``level`` and ``extensions``, names in the order of EXTENSIONS, fix the
    instruction set; the rest guides schedules.

    Cache sizes are bytes: L1 data and L2 of one core, L3 as shared by all; those that are not given
    are what most processors have at least. ``accuracy``, one of ACCURACIES, is what a build asks
    for, not a property of the machine. ``measured`` are costs as ``luthier target --measure`` finds
    them, which default schedules then go by.
    """

    level: str
    cpu: str  # LLVM's name of the micro-architecture, which only tunes instruction order
    threads: int
    l1: int = 32 * 1024
    l2: int = 512 * 1024
    l3: int = 16 * 1024 * 1024
    accuracy: str = DEFAULT_ACCURACY
    extensions: tuple[str, ...] = ()
    measured: Costs | None = None

    @property
    def costs(self) -> Costs:
        """What instructions cost: as measured, or as its processor's or its level's usually do."""
        if self.measured:
            return self.measured
        processor = PROCESSORS.get(self.cpu)
        known = processor is not None and processor.level == self.level
        return processor.costs if processor and known else self.isa.costs

    @property
    def plain(self) -> Target:
        """Without extensions: what times of kernels are compared by, since those that use one have
        a knob that says so."""
        return replace(self, extensions=())

    @property
    def machine(self) -> Target:
        """The machine alone, as records know it: whatever accuracy was asked for, whatever led the
        default schedules."""
        return replace(self, accuracy=DEFAULT_ACCURACY, measured=None)

    @property
    def is_generic(self) -> bool:
        """Whether it is a level, and no processor."""
        return self.cpu == self.level

    @property
    def isa(self) -> Isa:
        """The level's instruction set."""
        return ISAS[self.level]

    @property
    def vector_bytes(self) -> int:
        """Width of a vector register."""
        return self.isa.vector_bytes

    @property
    def vector_registers(self) -> int:
        """How many vector registers there are."""
        return self.isa.vector_registers

    @property
    def l1_ways(self) -> int:
        """Cache lines that L1 holds of those whose addresses are a multiple of 4 KiB apart.

        All x86 processors find a line by its place in its page while they translate the page's
        address, so one way of L1 is one page: 8 ways of 32 KiB, 12 of 48.
        """
        return max(1, self.l1 // _PAGE)

    @property
    def features(self) -> tuple[str, ...]:
        """CPU features (Linux's names) that code for this target may use."""
        added = (feature for name in self.extensions for feature in EXTENSIONS[name].features)
        return (*self.isa.features, *added)

    def lanes(self, dtype: DType) -> int:
        """Elements in a vector register."""
        return self.isa.lanes(dtype)

    def to_json(self) -> dict[str, Any]:
        """The readable form that records and manifests carry: the machine, without the accuracy."""
        return {
            "level": self.level,
            "cpu": self.cpu,
            "threads": self.threads,
            "l1": self.l1,
            "l2": self.l2,
            "l3": self.l3,
            **({"extensions": list(self.extensions)} if self.extensions else {}),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Target:
        """Read ``to_json``'s form from untrusted data; raises TargetError."""
        try:
            level, cpu = data["level"], data["cpu"]
            numbers = {k: data[k] for k in ("threads", "l1", "l2", "l3")}
        except KeyError as error:
            raise TargetError(f"malformed target: it has no {error}") from error
        except TypeError as error:
            raise TargetError("malformed target: it is not an object") from error
        named = isinstance(level, str) and isinstance(cpu, str)
        if not named or level not in ISAS or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", cpu):
            raise TargetError(f"unknown target {level!r:.40} / {cpu!r:.40}")
        if any(type(n) is not int or not 0 < n < _MOST for n in numbers.values()):
            raise TargetError("a target's threads and cache sizes are positive integers")
        extensions = data.get("extensions", [])
        known = [name for name, found in EXTENSIONS.items() if found.level == level]
        if extensions != [name for name in known if name in _listed(extensions)]:
            raise TargetError(f"unknown extensions of {level}: {extensions!r:.100}")
        return Target(level, cpu, **numbers, extensions=tuple(extensions))


def _listed(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []
