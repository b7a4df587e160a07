"""Layers: one's own store, then packs, in the order in which they are believed.

For a kernel, the closest kind of machine counts first, then the order of layers (see ``Trust``).
Within a layer the fastest right record wins. What only others measured is never truth: a schedule
that gave a wrong result anywhere, or that gives its busiest thread more to do than the default
does, is not inherited, and ``tune`` tries the rest before it relies on them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from luthier.schedules import Schedule, ScheduleError, Target, Workload

from .closing import Closing
from .features import schedule_columns
from .machine import Machine
from .record import Record
from .store import Store
from .trust import Asker, Trust, microarchitecture
from .validity import NONSENSE, Spaces, Validity

MOST_HINTS = 3
_FROM_ONE = 2  # hints of one machine in one layer, unless there are too few others
_LOOKED_AT = 32  # of its records of a kernel, the fastest
_NEAREST = 4  # machines whose records are looked at
_BURDEN = math.log2(1.05)  # of the busiest thread, beyond the default's


@dataclass(frozen=True)
class Choice:
    """A record to build from: how close its machine is, and the layer that it is in.

    ``schedule`` is what it comes to here: the default where the record says that none is faster.
    """

    record: Record
    trust: Trust
    layer: str
    schedule: Schedule


class Layers(Closing):
    """Records for one target. ``own`` is the store that is written to, if any."""

    def __init__(
        self,
        own: Store | None,
        packs: Sequence[Store],
        target: Target,
        spaces: Spaces | None = None,
    ) -> None:
        """``spaces`` says which schedules are valid today (default: the registry's)."""
        self.own, self.target = own, target
        self._stores = [own, *packs] if own else list(packs)
        self._asker = Asker.of(target)
        self._validity = Validity(spaces)
        self._refuted: dict[str, set[Schedule]] = {}

    def close(self) -> None:
        """Close the stores; harmless when repeated."""
        for store in self._stores:
            store.close()

    @property
    def name(self) -> str:
        """Of one's own store, without a password."""
        return self.own.name if self.own else ""

    @property
    def skipped(self) -> int:
        """How many records could not be read so far."""
        return sum(store.skipped for store in self._stores)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the first few of them."""
        return tuple(problem for store in self._stores for problem in store.problems)

    def add(self, record: Record) -> None:
        """Add to one's own store; raises LogError."""
        assert self.own is not None
        self.own.add([record])

    # ---- this kind of machine ----

    def measured(self, workload: Workload) -> dict[Schedule, Record]:
        """One's own latest record of each schedule of today's spaces, on this kind of machine.

        Schedules have their knobs in ``normal`` order.
        """
        if self.own is None:
            return {}
        latest = self.own.latest(workload, self._here(self.own))
        return {s: r for s, r in latest.items() if self._validity.holds(r, self.target)}

    def ranked(self, workload: Workload) -> Iterator[Record]:
        """The right ones of ``measured``, fastest first; noisy ones count as a little slower."""
        if self.own is None:
            return iter(())
        return self._usable(self.own, workload, self._here(self.own), mine=True)

    def borrowed(self, workload: Workload) -> dict[Schedule, float]:
        """What others measured on this kind of machine, as multiples of the default's time."""
        found: dict[Schedule, float] = {}
        for store in self._others():
            latest = store.latest(workload, self._here(store))
            default = latest.get(self._validity.default(workload, self.target))
            if default is None or not math.isfinite(default.seconds):
                continue
            for schedule, record in latest.items():
                if self._validity.holds(record, self.target):
                    found.setdefault(schedule, record.seconds / default.seconds)
        return found

    def groups(self) -> list[dict[Schedule, Record]]:
        """All latest records on this kind of machine, a group for each workload and layer."""
        stores = [*self._others(), *([self.own] if self.own else [])]
        return [group for store in stores for group in store.groups(self._here(store))]

    def count(self) -> int:
        """How many records there are on this kind of machine."""
        return sum(store.count(self._here(store)) for store in self._stores)

    # ---- all kinds ----

    def workloads(self) -> list[Workload]:
        """Every kernel that a record is of."""
        return list(dict.fromkeys(r.workload for store in self._stores for r in store.records()))

    def best(self, workload: Workload) -> Choice | None:
        """What to build from; None where no record tells, so that the default schedule is left.

        Of several records of one schedule on one kind of machine the latest counts. Records of
        templates that have changed since, and of what is less exact than the target asks for, never
        do. A layer that knows the default alone leaves the word to those below.
        """
        try:
            default = self._validity.default(workload, self.target)
        except ScheduleError:  # a stranger's workload
            return None
        fallback = None
        for store in self._stores:
            mine = store is self.own
            for machines in self._kinds(store):
                usable = self._usable(store, workload, machines, mine=mine)
                first = next(usable, None)
                if first is None:
                    continue
                choice = Choice(first, Trust.EXACT, store.name, first.schedule)
                if first.schedule != default or next(usable, None):
                    return choice
                fallback = fallback or choice
        return self._inherited(workload, default, fallback)

    def hints(self, workload: Workload) -> list[Schedule]:
        """What should be tried first: winners elsewhere, or of templates as they were once.

        For one that is no schedule here the one most like it. Never the default, nor what was
        tried here.
        """
        useless = self._known_wrong(workload) | {self._validity.default(workload, self.target)}
        tried = set(self.measured(workload))
        here = set(self._here(self.own)) if self.own else set()
        winners = []
        for _, store, machines in self._elsewhere:
            mine = store is self.own and set(machines) <= here
            records = itertools.islice(store.ranked(workload, machines), _LOOKED_AT)
            others = (r for r in records if not (mine and self._validity.holds(r, self.target)))
            winners.append(self._nearest(others, useless))
        first = itertools.chain.from_iterable(found[:_FROM_ONE] for found in winners)
        rest = itertools.chain.from_iterable(found[_FROM_ONE:] for found in winners)
        unique = list(dict.fromkeys((*first, *rest)))
        return [schedule for schedule in unique[:MOST_HINTS] if schedule not in tried]

    def elsewhere(self, workload: Workload) -> int:
        """How many right records of the workload are of other kinds of machines."""
        return sum(store.elsewhere(workload, self._exact(store)) for store in self._stores)

    # ---- underneath ----

    def _others(self) -> list[Store]:
        return [store for store in self._stores if store is not self.own]

    def _exact(self, store: Store) -> list[str]:
        """Of exactly this kind, whatever processor a level was measured on."""
        kind = self._asker.target
        return [key for key, machine in store.machines().items() if machine.target == kind]

    def _kinds(self, store: Store) -> list[list[str]]:
        """``_exact``, and a level's processors apart: times of two never compare.

        First the one that most is known of, so that a build does not depend on who asks.
        """
        machines, found = store.machines(), dict[tuple[str, str], list[str]]()
        for key in self._exact(store):
            found.setdefault(_processor(machines[key]), []).append(key)
        if len(found) < 2:
            return list(found.values())
        return [found[name] for name in sorted(found, key=lambda n: (-store.count(found[n]), n))]

    def _here(self, store: Store) -> list[str]:
        """``_exact``; of a level only what this processor measured."""
        exact = self._exact(store)
        if not self.target.is_generic:
            return exact
        machines, this = store.machines(), _processor(Machine.host(self.target))
        return [key for key in exact if _processor(machines[key]) == this]

    @cached_property
    def _elsewhere(self) -> list[tuple[Trust, Store, list[str]]]:
        """Kinds of machines with records when first asked, with their store, the closest first."""
        found: list[tuple[tuple[object, ...], Machine, Store, list[str]]] = []
        for number, store in enumerate(self._stores):
            kinds: dict[tuple[Target, str], list[str]] = {}
            machines = store.machines()
            for key, machine in machines.items():
                kinds.setdefault((machine.target, machine.microarchitecture), []).append(key)
            for keys in kinds.values():
                machine = machines[keys[0]]
                distance = (*self._asker.distance(machine), number)
                found.append((distance, machine, store, keys))
        found.sort(key=lambda each: each[0])
        nearest = list(dict.fromkeys(machine.target for _, machine, _, _ in found))[:_NEAREST]
        return [
            (self._asker.trust(machine), store, keys)
            for _, machine, store, keys in found
            if machine.target in nearest
        ]

    def _inherited(
        self, workload: Workload, default: Schedule, fallback: Choice | None
    ) -> Choice | None:
        """The winner of the closest machine that knows more than its default.

        Where none does, the ``fallback``, or what the closest says of its default.
        """
        for trust, store, machines in self._elsewhere:
            if trust not in (Trust.SAME_CPU, Trust.RELATED):
                continue
            usable = self._usable(store, workload, machines)
            first = next(usable, None)
            if first is None:
                continue
            default_won = first.schedule == default or self._is_default(first)
            choice = Choice(first, trust, store.name, default if default_won else first.schedule)
            if default_won and next(usable, None) is None:
                fallback = fallback or choice
                continue
            if default_won:
                return fallback or choice
            return choice if self._is_light(first, default) else fallback
        return fallback

    def _usable(
        self, store: Store, workload: Workload, machines: Sequence[str], *, mine: bool = False
    ) -> Iterator[Record]:
        """The fastest first; where they are not all ``mine``, none that was refuted anywhere."""
        refuted = set() if mine else self._known_wrong(workload)
        for record in store.ranked(workload, machines):
            if record.schedule not in refuted and self._validity.holds(record, self.target):
                yield record

    def _nearest(self, records: Iterable[Record], useless: set[Schedule]) -> list[Schedule]:
        """The first few schedules here that records come to; reads no more than it needs."""
        found: dict[Schedule, None] = {}
        for record in records:
            near = self._validity.nearest(record, self.target)
            if near is not None and near not in useless:
                found[near] = None
            if len(found) == MOST_HINTS:
                break
        return list(found)

    def _known_wrong(self, workload: Workload) -> set[Schedule]:
        if workload.key not in self._refuted:
            wrong = (store.refuted(workload) for store in self._stores)
            self._refuted[workload.key] = set().union(*wrong)
        return self._refuted[workload.key]

    def _is_light(self, record: Record, default: Schedule) -> bool:
        """Whether the busiest thread has little more to do here than with the default."""
        pair = record.schedule, default
        try:
            tables = [schedule_columns(record.workload, self.target, [s]) for s in pair]
        except NONSENSE:  # a stranger's workload
            return False
        theirs, ours = (float(table["busiest cycles"][0]) for table in tables)
        return theirs <= ours + _BURDEN

    def _is_default(self, record: Record) -> bool:
        """Whether the record's own machine would have built this anyway."""
        try:
            return record.schedule == self._validity.default(record.workload, record.target)
        except ScheduleError:
            return False


def _processor(machine: Machine) -> tuple[str, str]:
    return machine.vendor, microarchitecture(machine)
