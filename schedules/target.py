"""What a kernel is compiled for: instruction set, caches, worker threads, how exact it has to be.

This machine's level (see ``isa``) is found by its features and never by a brand name. A level and a
processor by name are the same description on every machine (see ``parse``).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .dtype import DType
from .errors import TargetError
from .isa import ISAS, Isa
from .processors import PROCESSORS
from .tvm_late import tvm

# How exact convolutions of float32 are, the tightest first. What an element adds up is n products,
# S the sum of their absolute values, and "random" data of either sign, zeros included.
#
# strict    No algorithm that does more than add up products in another order, so that an element's
#           error is at most n / 2^24 of its own S; on random data below 5e-7 of it.
# balanced  Winograd's F(2x2, 3x3) too: on random data below 5e-7 of the output's largest S.
# standard  Winograd's F(4x4, 3x3) too: on random data below 5e-6 of the output's largest S.
ACCURACIES = ("strict", "balanced", "standard")
DEFAULT_ACCURACY = "standard"
_MOST = 1 << 40  # bytes of a cache, far beyond any
_ROOT = Path("/")


@dataclass(frozen=True)
class Target:
    """A machine kind. ``level`` fixes the instruction set; the rest guides schedules.

    Cache sizes are bytes: L1 data and L2 of one core, L3 as shared by all; those that are not given
    are what most processors have at least. ``accuracy``, one of ACCURACIES, is what a build asks
    for, not a property of the machine.
    """

    level: str
    cpu: str  # LLVM's name of the micro-architecture, which only tunes instruction order
    threads: int
    l1: int = 32 * 1024
    l2: int = 512 * 1024
    l3: int = 16 * 1024 * 1024
    accuracy: str = DEFAULT_ACCURACY

    @property
    def machine(self) -> Target:
        """The machine alone, as records know it: whatever accuracy was asked for."""
        return replace(self, accuracy=DEFAULT_ACCURACY)

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
    def features(self) -> tuple[str, ...]:
        """CPU features (Linux's names) that code for this target may use."""
        return self.isa.features

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
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Target:
        """Read ``to_json``'s form from untrusted data; raises TargetError."""
        try:
            level, cpu = data["level"], data["cpu"]
            numbers = {k: data[k] for k in ("threads", "l1", "l2", "l3")}
        except (KeyError, TypeError) as error:
            raise TargetError(f"malformed target: {error!r:.200}") from error
        named = isinstance(level, str) and isinstance(cpu, str)
        if not named or level not in ISAS or not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", cpu):
            raise TargetError(f"unknown target {level!r:.40} / {cpu!r:.40}")
        if any(type(n) is not int or not 0 < n < _MOST for n in numbers.values()):
            raise TargetError("a target's threads and cache sizes are positive integers")
        return Target(level, cpu, **numbers)


def available_cores() -> int:
    """Cores this process may use: affinity and the cgroup's CPU quota respected."""
    cores = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, min(cores, quota)) if quota else cores


def check_cores(threads: int, cores: int | None = None) -> None:
    """Raise TargetError where so many threads have no core each, so that their times say little.

    ``cores`` is how many there are, by default those of this moment.
    """
    cores = cores or available_cores()
    if threads > cores:
        raise TargetError(
            f"{threads} threads cannot be timed here: this process may use {cores} "
            f"core{'s' * (cores != 1)} (its affinity and its control groups' quotas); "
            f"--threads {cores} can"
        )


def _cgroup_quota() -> int | None:
    """Whole cores that cgroup v2, or v1, grants; None where it sets no limit."""
    limits = [_cores(*quota) for group in _cgroups() for quota in _quotas(group)]
    return min((n for n in limits if n), default=None)


def _cgroups() -> Iterator[Path]:
    """The folders of this process's groups and their parents, each of which may set a limit."""
    hierarchies = {"": _ROOT / "sys/fs/cgroup", "cpu": _ROOT / "sys/fs/cgroup/cpu"}
    yield from hierarchies.values()
    for line in _read("proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for name in hierarchies.keys() & set(controllers.split(",")):
            inner = hierarchies[name] / path.strip("/")
            yield from (p for p in (inner, *inner.parents) if p.is_relative_to(hierarchies[name]))


def _quotas(group: Path) -> Iterator[tuple[str, str]]:
    """Quota and period as the files of a group have them."""
    limit, _, period = _read(group / "cpu.max").strip().partition(" ")
    yield limit, period
    yield _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()


def _cores(limit: str, period: str) -> int | None:
    """Whole cores, at least one; None for "max", -1, and what is not a pair of numbers."""
    if not (limit.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, int(limit) // int(period))


def _read(path: str | Path) -> str:
    """The text of a file of the machine; empty where there is none."""
    try:
        return (_ROOT / path).read_text()
    except (OSError, ValueError):
        return ""


@functools.lru_cache(maxsize=1)
def host_features() -> frozenset[str]:
    """The host CPU's features, in Linux's names."""
    import archspec.cpu  # noqa: PLC0415 - reads /proc/cpuinfo at import

    return frozenset(archspec.cpu.host().features)


def host_level() -> str:
    """The highest level whose features the host has; raises TargetError below x86-64-v2."""
    features = host_features()
    best = None
    for isa in ISAS.values():
        if not features.issuperset(isa.features):
            break
        best = isa.name
    if best is None:
        raise TargetError("this CPU is below x86-64-v2 (SSE4.2), the least that Luthier builds for")
    return best


def _cache_bytes(index: int, default: int) -> int:
    text = _read(f"sys/devices/system/cpu/cpu0/cache/index{index}/size")
    match = re.fullmatch(r"([1-9][0-9]{0,6})([KM])", text.strip())
    if not match:
        return default
    return int(match[1]) * (1024 if match[2] == "K" else 1024 * 1024)


def host_cpu() -> str:
    """LLVM's name of the host's micro-architecture."""
    return str(tvm.get_global_func("target.llvm_get_system_cpu")())


def host(threads: int | None = None) -> Target:
    """The machine this runs on; ``threads`` defaults to every core this process may use."""
    return Target(
        level=host_level(),
        cpu=host_cpu(),
        threads=threads or available_cores(),
        l1=_cache_bytes(0, 32 * 1024),
        l2=_cache_bytes(2, 512 * 1024),
        l3=_cache_bytes(3, 16 * 1024 * 1024),
    )


def names() -> tuple[str, ...]:
    """What ``parse`` takes."""
    return "host", "native", *ISAS, *PROCESSORS


def parse(text: str, threads: int | None = None) -> Target:
    """The target of a name; raises TargetError for one that is not in ``names``.

    ``host``, or ``native``, is this machine. A level, such as ``x86-64-v3``, and a processor, such
    as ``znver4``, are the same wherever this runs, but for ``threads`` where it is not given: every
    core this process may use.
    """
    if text in ("host", "native"):
        return host(threads)
    count = threads or available_cores()
    if text in ISAS:
        return Target(text, text, count)
    processor = PROCESSORS.get(text)
    if processor is None:
        raise TargetError(f"unknown target '{text}'; choose one of {', '.join(names())}")
    return Target(processor.level, text, count, processor.l1, processor.l2, processor.l3)
