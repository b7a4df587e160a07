"""The records that compare: of one kind of machine in one store, with weights cold or warm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luthier.schedules import Schedule, Workload

from . import tables
from .record import Record
from .store import Store


@dataclass(frozen=True)
class Kind:
    """``machines`` are the store's keys of them. ``cold``: weights were flushed before each run."""

    store: Store
    machines: tuple[str, ...]
    cold: bool

    def ranked(self, workload: Workload) -> Iterator[Record]:
        """The latest record of each schedule that was right, fastest first."""
        return self.store.ranked(workload, self.machines, cold=self.cold)

    def latest(self, workload: Workload) -> dict[Schedule, Record]:
        """The latest record of each schedule, failures too, the first measured first."""
        return self.store.latest(workload, self.machines, cold=self.cold)

    def compared(self, workload: Workload, default: Schedule) -> list[Record]:
        """The default's latest record, then those of the schedules timed in turns with it.

        Of the default's latest records, the latest that was timed in turns with others.
        """
        if not self.machines:
            return []
        kind = self.machines, workload.key, self.cold
        known = list(self.store.asked(workload, tables.of_schedule(*kind, default)))
        beside = next((record for record in known if record.speedup is not None), None)
        if beside is None:
            return [record for record in known[:1] if record.timing]
        others = self.store.asked(workload, tables.at(*kind, beside.time))
        found = (r for r in others if r.schedule != default and r.speedup is not None)
        return [beside, *found]

    def groups(self) -> list[dict[Schedule, Record]]:
        """The latest records, a group for each workload."""
        return self.store.groups(self.machines, cold=self.cold)


def either(store: Store, machines: Sequence[str], first: bool) -> tuple[Kind, Kind]:
    """The two kinds of some machines; ``first`` says which comes first."""
    keys = tuple(machines)
    return Kind(store, keys, first), Kind(store, keys, not first)
