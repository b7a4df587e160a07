"""What a library's tables say, before it is written in C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from luthier.frontend import program as frontend
from luthier.schedules import Kernel, Target
from luthier.schedules.ir.kernel import Alternative, OpenKernel
from luthier.schedules.ir.symbol import Symbol

from .entries import Port
from .plan import Plan
from .ports import Form
from .sources import call_sources
from .states import StateNote, StatePlaces

AnyKernel = Kernel | OpenKernel


@dataclass(frozen=True)
class Variant:
    """A program; ``step_kernels[c]`` is the index of call ``c``'s kernel in the tables'."""

    program: frontend.Program
    step_kernels: Sequence[int]
    plan: Plan

    @property
    def step_names(self) -> list[str]:
        """A name for each call, for people."""
        calls = zip(call_sources(self.program), self.program.calls, strict=True)
        return [source or str(call.workload) for source, call in calls]


@dataclass(frozen=True)
class Entry:
    """An entry point; ``largest`` is its variant for the largest sizes, ``found`` are the sizes
    that its programs find, by name. The last ``lengths`` of its symbols say how much ``states``
    hold. What it ``takes`` and ``gives`` belongs together, where some inputs or outputs do."""

    symbols: tuple[Symbol, ...]
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    forms: Sequence[Form]
    variants: Sequence[Variant]
    largest: Variant
    found: tuple[Symbol, ...] = ()
    states: Sequence[StateNote] = ()
    lengths: int = 0
    takes: tuple[frontend.Argument, ...] = ()
    gives: tuple[frontend.Argument, ...] = ()


@dataclass(frozen=True)
class Tables:
    """Entry points by name, over the same kernels and weights.

    Instances of several run in turns in one arena. ``names`` are those of all their sizes, in the
    order in which kernels get them. ``versions`` are of what built the library.
    """

    name: str
    entries: Mapping[str, Entry]
    kernels: Sequence[AnyKernel]
    names: tuple[str, ...]
    target: Target
    weight_bytes: int
    versions: Mapping[str, str]
    model_sha256: str | None = None
    states: StatePlaces = field(default_factory=lambda: StatePlaces({}, 0))

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch for each thread."""
        scratch = (a.kernel.scratch for k in self.kernels for a in alternatives(k))
        return max(scratch, default=0)

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena of an instance, enough for every program."""
        variants = (v for entry in self.entries.values() for v in entry.variants)
        return max(variant.plan.arena_bytes for variant in variants)


def alternatives(kernel: AnyKernel) -> tuple[Alternative, ...]:
    """Those of a kernel, of which one of fixed sizes has one, without conditions."""
    return kernel.alternatives if isinstance(kernel, OpenKernel) else (Alternative((), kernel),)


def kernel_symbol(index: int, alternative: int | None = None) -> str:
    """The name of a kernel's functions, without the number of the phase; kernels of open workloads
    have some for each alternative."""
    name = f"luthier_kernel_{index}"
    return name if alternative is None else f"{name}_a{alternative}"


def kernel_symbols(index: int, kernel: AnyKernel) -> list[str]:
    """``kernel_symbol`` of each alternative."""
    if isinstance(kernel, Kernel):
        return [kernel_symbol(index)]
    return [kernel_symbol(index, a) for a in range(len(kernel.alternatives))]
