"""This machine: its cores, caches and instruction set.

Its level (see ``isa``) is found by its features and never by a brand name.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import TargetError
from ..tvm_late import tvm
from .isa import EXTENSIONS, ISAS
from .target import Target

_ROOT = Path("/")


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
    """The host CPU's features, in Linux's names.

    All that Linux tells, where archspec knows those of micro-architectures alone: of a processor of
    which a hypervisor hides one feature it would see a level, and none beyond.
    """
    flags = re.search(r"^flags\s*:(.*)$", _read("proc/cpuinfo"), re.MULTILINE)
    names = frozenset(flags[1].split()) if flags else frozenset()
    return names | {"sse3"} if "pni" in names else names  # Prescott's new instructions


def host_level() -> str:
    """The highest level whose features the host has; raises TargetError below x86-64-v2."""
    features = host_features()
    levels = [isa.name for isa in ISAS.values() if features.issuperset(isa.features)]
    if not levels:
        raise TargetError("this CPU is below x86-64-v2 (SSE4.2), the least that Luthier builds for")
    return levels[-1]


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
    level, features = host_level(), host_features()
    return Target(
        level=level,
        cpu=host_cpu(),
        threads=threads or available_cores(),
        l1=_cache_bytes(0, 32 * 1024),
        l2=_cache_bytes(2, 512 * 1024),
        l3=_cache_bytes(3, 16 * 1024 * 1024),
        extensions=tuple(
            extension.name
            for extension in EXTENSIONS.values()
            if extension.level == level and features.issuperset(extension.features)
        ),
    )


def check_measurable(target: Target) -> None:
    """Raise TargetError where this machine is not what ``target`` is, so that its times would say
    nothing."""
    missing = sorted(set(target.features) - host_features())
    if missing:
        raise TargetError(
            f"{target.level} cannot be measured here: this CPU lacks {', '.join(missing)}"
        )
    if not target.is_generic and target.cpu != host_cpu():
        raise TargetError(
            f"{target.cpu} cannot be measured here: this CPU is a {host_cpu()}; measure on such a "
            f"machine, or as {target.level}"
        )
