"""What runs take of energy, where the kernel lets a program read the processor's own counters.

Linux, "Power Capping Framework": zones ``intel-rapl:N``, Intel's and AMD's, each of one package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ZONES = Path("/sys/class/powercap")
UNREADABLE = f"energy unknown: {ZONES}/intel-rapl:*/energy_uj cannot be read here"


@dataclass(frozen=True)
class Zone:
    """A package's counter of microjoules, which begins again above ``most``."""

    file: Path
    most: int

    def read(self) -> int:
        """Microjoules; raises OSError or ValueError."""
        return int(self.file.read_text())


def zones(folder: Path = ZONES) -> tuple[Zone, ...]:
    """The packages whose counters can be read."""
    return tuple(_readable(folder))


def _readable(folder: Path) -> Iterator[Zone]:
    for zone in sorted(folder.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:  # others are parts of these
            with suppress(OSError, ValueError):
                found = Zone(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
                found.read()
                yield found


def joules(work: Callable[[], int], counters: tuple[Zone, ...]) -> float | None:
    """Joules of all packages for each of the runs that ``work`` makes and counts, what an idle
    machine takes included; None where no counter can be read. A counter may begin again once."""
    if not counters:
        return None
    try:
        before = [zone.read() for zone in counters]
        runs = work()
        after = [zone.read() for zone in counters]
    except (OSError, ValueError):
        return None
    spent = 0
    for zone, first, last in zip(counters, before, after, strict=True):
        spent += last - first if last >= first else last - first + zone.most
    return spent / 1e6 / runs
