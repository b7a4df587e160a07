"""Whose measurements a record holds: a target, and the processor that it ran on."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from luthier.schedules import LogError, Target
from luthier.schedules.target import host_features

_FEATURE = re.compile(r"[a-z0-9_]{1,40}")
_MATTERS = re.compile(r"(amx|avx|bmi|f16c|fma|gfni|popcnt|sse|ssse|vaes|vpclmul).*")
_MOST_FEATURES = 128
_MOST_CORES = 1 << 20
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """A target without its accuracy, and the CPU that it was measured on (archspec's name).

    ``features`` (Linux's names) are those of the CPU that a compiler may use for arithmetic,
    ``cores`` how many the machine has, ``virtual`` whether it is a guest of another. Records of
    schema 1 tell none of the three: they are empty, 0 and None then.
    """

    target: Target
    vendor: str
    microarchitecture: str
    features: tuple[str, ...] = ()
    cores: int = 0
    virtual: bool | None = None

    @staticmethod
    def host(target: Target) -> Machine:
        """This machine, used as ``target``."""
        import archspec.cpu  # noqa: PLC0415 - reads /proc/cpuinfo at import

        cpu = archspec.cpu.host()
        features = tuple(sorted(f for f in host_features() if _MATTERS.fullmatch(f)))
        cores = psutil.cpu_count() or 1
        return Machine(target.machine, cpu.vendor, cpu.name, features, cores, _is_virtual())

    @property
    def schema(self) -> int:
        """The oldest version of the record that can tell all this."""
        return 2 if self.cores else 1

    def to_json(self) -> dict[str, Any]:
        """The readable form that records carry."""
        data = {
            **self.target.to_json(),
            "vendor": self.vendor,
            "microarchitecture": self.microarchitecture,
        }
        if self.schema > 1:
            more = {"features": list(self.features), "cores": self.cores, "virtual": self.virtual}
            data.update(more)
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Machine:
        """Read ``to_json``'s form from untrusted data; raises LuthierError."""
        if not isinstance(data, dict):
            raise LogError("a target is an object")
        names = [data.get(k) for k in ("vendor", "microarchitecture")]
        if not all(isinstance(n, str) and 0 < len(n) <= 80 for n in names):
            raise LogError("a target has a vendor and a microarchitecture")
        about = Target.from_json(data), str(names[0]), str(names[1])
        if "cores" not in data:
            return Machine(*about)
        return Machine(*about, *_details(data))


def _details(data: dict[str, Any]) -> tuple[tuple[str, ...], int, bool]:
    features, cores, virtual = (data.get(k) for k in ("features", "cores", "virtual"))
    if not isinstance(features, list) or len(features) > _MOST_FEATURES:
        raise LogError(f"a target's features are at most {_MOST_FEATURES} names")
    if not all(isinstance(f, str) and _FEATURE.fullmatch(f) for f in features):
        raise LogError("a target's features are names such as 'avx2'")
    if type(cores) is not int or not 0 < cores <= _MOST_CORES or type(virtual) is not bool:
        raise LogError("a target has a number of cores, and is virtual or not")
    return tuple(features), cores, virtual


@functools.lru_cache(maxsize=1)
def _is_virtual() -> bool:
    """Whether a hypervisor runs this machine, as it tells its guests by a CPU flag."""
    try:
        return re.search(r"^flags\s*:.*\bhypervisor\b", _CPUINFO.read_text(), re.M) is not None
    except (OSError, ValueError):
        return False
