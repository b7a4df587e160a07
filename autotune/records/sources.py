"""Sources: one's own store, then packs, in the order in which they are believed.

For a kernel, the closest kind of machine counts first, then whether the weights were as cold as in
the model that is asked about, then the order of sources (see ``Trust``). Within a source ``winner``
decides. What only others measured is never truth: a schedule
that gave a wrong result anywhere, or that gives its busiest thread more to do than the default
does, is not inherited, and ``tune`` tries the rest before it relies on them.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from luthier.schedules import Schedule, ScheduleError, Target, Workload

from .burden import is_light
from .closing import Closing
from .kind import Kind, either
from .machine import Machine
from .record import Record
from .store import Store
from .trust import Asker, Trust, processor
from .validity import Spaces, Validity
from .winner import winner

MOST_HINTS = 3
_FROM_ONE = 2  # hints of one machine in one source, unless there are too few others
_LOOKED_AT = 32  # of its records of a kernel, the fastest
_NEAREST = 4  # machines whose records are looked at


@dataclass(frozen=True)
class Choice:
    """A record to build from: how close its machine is, and the source that it is in.

    ``schedule`` is what it comes to here: the default where the record says that none is faster.
    """

    record: Record
    trust: Trust
    source: str
    schedule: Schedule


class Sources(Closing):
    """Records for one target. ``own`` is the store that is written to, if any.

    ``cold`` says whose times count: where weights come from memory, as in a model that is larger
    than the caches, or else where they stay there. Times of the two never compare.
    """

    def __init__(
        self,
        own: Store | None,
        packs: Sequence[Store],
        target: Target,
        spaces: Spaces | None = None,
        *,
        cold: bool = True,
    ) -> None:
        """``spaces`` says which schedules are valid today (default: the registry's)."""
        self.own, self.target, self.cold = own, target, cold
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
        latest = self._mine.latest(workload) if self._mine else {}
        return {s: r for s, r in latest.items() if self._validity.holds(r, self.target)}

    def ranked(self, workload: Workload) -> Iterator[Record]:
        """The right ones of ``measured``, fastest first; noisy ones count as a little slower."""
        return self._usable(self._mine, workload) if self._mine else iter(())

    def winner(self, workload: Workload) -> Record | None:
        """One's own record to build from (see ``winner.winner``).

        ``best`` says something else where a source below knows more than the default.
        """
        if self._mine is None:
            return None
        default = self._validity.default(workload, self.target)
        return self._decided(self._mine, workload, default)[0]

    def borrowed(self, workload: Workload) -> dict[Schedule, float]:
        """What others measured on this kind of machine, as multiples of the default's time."""
        found: dict[Schedule, float] = {}
        for store in self._others():
            latest = Kind(store, self._here(store), self.cold).latest(workload)
            default = latest.get(self._validity.default(workload, self.target))
            if default is None or not math.isfinite(default.seconds):
                continue
            for schedule, record in latest.items():
                if self._validity.holds(record, self.target):
                    found.setdefault(schedule, record.seconds / default.seconds)
        return found

    def groups(self) -> list[dict[Schedule, Record]]:
        """All latest records on this kind of machine, a group for what compares."""
        stores = [*self._others(), *([self.own] if self.own else [])]
        kinds = [kind for s in stores for kind in either(s, self._here(s), not self.cold)]
        return [group for kind in kinds for group in kind.groups()]

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
        do. A source that knows the default alone leaves the word to those below.
        """
        try:
            default = self._validity.default(workload, self.target)
        except ScheduleError:  # a stranger's workload
            return None
        fallback = None
        for kind in self._exact_kinds():
            record, alone = self._decided(kind, workload, default)
            if record is not None:
                choice = Choice(record, Trust.EXACT, kind.store.name, record.schedule)
                if not alone:
                    return choice
                fallback = fallback or choice
        return self._inherited(workload, default, fallback)

    def hints(self, workload: Workload) -> list[Schedule]:
        """What should be tried first: winners elsewhere, or of templates as they were once.

        For one that is not a schedule here the one most like it. Never the default, nor what was
        tried here.
        """
        useless = self._known_wrong(workload) | {self._validity.default(workload, self.target)}
        tried = set(self.measured(workload))
        mine = self._mine
        winners = []
        for cold in (self.cold, not self.cold):
            for _, kind in self._elsewhere(cold):
                here = mine and (kind.store, kind.cold) == (mine.store, mine.cold)
                known = bool(here) and mine is not None and set(kind.machines) <= set(mine.machines)
                won, _ = self._decided(kind, workload, self._default_there(workload, kind))
                ranked = itertools.islice(kind.ranked(workload), _LOOKED_AT)
                records = itertools.chain([won] if won else [], ranked)
                others = (r for r in records if not (known and self._holds(r)))
                winners.append(self._nearest(others, useless))
        first = itertools.chain.from_iterable(found[:_FROM_ONE] for found in winners)
        rest = itertools.chain.from_iterable(found[_FROM_ONE:] for found in winners)
        unique = list(dict.fromkeys((*first, *rest)))
        return [schedule for schedule in unique[:MOST_HINTS] if schedule not in tried]

    def elsewhere(self, workload: Workload) -> int:
        """How many right records of the workload are of other kinds of machines."""
        return sum(store.elsewhere(workload, self._exact(store)) for store in self._stores)

    # ---- underneath ----

    @property
    def _mine(self) -> Kind | None:
        """What this machine's measurements compare with."""
        return Kind(self.own, self._here(self.own), self.cold) if self.own else None

    def _others(self) -> list[Store]:
        return [store for store in self._stores if store is not self.own]

    def _exact(self, store: Store) -> tuple[str, ...]:
        """Of exactly this kind, whatever processor a level was measured on."""
        kind = self._asker.target.plain
        machines = store.machines().items()
        return tuple(key for key, machine in machines if machine.target.plain == kind)

    def _here(self, store: Store) -> tuple[str, ...]:
        """``_exact``; of a level only what this processor measured."""
        exact = self._exact(store)
        if not self.target.is_generic:
            return exact
        machines, this = store.machines(), processor(Machine.host(self.target))
        return tuple(key for key in exact if processor(machines[key]) == this)

    def _exact_kinds(self) -> Iterator[Kind]:
        """``_exact`` in the order that counts, and a level's processors apart.

        First the processor that most is known of, so that a build does not depend on who asks.
        """
        for cold, store in itertools.product((self.cold, not self.cold), self._stores):
            found: dict[tuple[str, str] | None, list[str]] = {}
            for key in self._exact(store):
                name = processor(store.machines()[key]) if self.target.is_generic else None
                found.setdefault(name, []).append(key)
            if len(found) > 1:
                known = {name: store.count(keys) for name, keys in found.items()}
                found = dict(sorted(found.items(), key=lambda each: (-known[each[0]], each)))
            yield from (Kind(store, tuple(keys), cold) for keys in found.values())

    @cached_property
    def _machines(self) -> list[tuple[Trust, Store, tuple[str, ...]]]:
        """Kinds of machines with records when first asked, with their store, the closest first."""
        found: list[tuple[tuple[object, ...], Machine, Store, tuple[str, ...]]] = []
        for number, store in enumerate(self._stores):
            kinds: dict[tuple[Target, str], list[str]] = {}
            machines = store.machines()
            for key, machine in machines.items():
                kinds.setdefault((machine.target, machine.microarchitecture), []).append(key)
            for keys in kinds.values():
                machine = machines[keys[0]]
                distance = (*self._asker.distance(machine), number)
                found.append((distance, machine, store, tuple(keys)))
        found.sort(key=lambda each: each[0])
        nearest = list(dict.fromkeys(machine.target for _, machine, _, _ in found))[:_NEAREST]
        return [
            (self._asker.trust(machine), store, keys)
            for _, machine, store, keys in found
            if machine.target in nearest
        ]

    def _elsewhere(self, cold: bool) -> Iterator[tuple[Trust, Kind]]:
        return ((trust, Kind(store, keys, cold)) for trust, store, keys in self._machines)

    def _inherited(
        self, workload: Workload, default: Schedule, fallback: Choice | None
    ) -> Choice | None:
        """The winner of the closest machine that knows more than its default.

        Where none does, the ``fallback``, or what the closest says of its default.
        """
        pairs = zip(self._elsewhere(self.cold), self._elsewhere(not self.cold), strict=True)
        for trust, kind in itertools.chain.from_iterable(pairs):
            if trust not in (Trust.SAME_CPU, Trust.RELATED):
                continue
            there = self._default_there(workload, kind)
            record, alone = self._decided(kind, workload, there)
            if record is None:
                continue
            default_won = record.schedule in (default, there)
            schedule = default if default_won else record.schedule
            choice = Choice(record, trust, kind.store.name, schedule)
            if default_won:
                fallback = fallback or choice
            elif is_light(record, self.target, default):
                return choice
            if not alone:
                break
        return fallback

    def _default_there(self, workload: Workload, kind: Kind) -> Schedule | None:
        """What these machines would have built anyway."""
        with contextlib.suppress(ScheduleError):
            machine = kind.store.machines()[kind.machines[0]]
            return self._validity.default(workload, machine.target)
        return None

    def _decided(
        self, kind: Kind, workload: Workload, default: Schedule | None
    ) -> tuple[Record | None, bool]:
        """What records of a kind say, and whether they know the default alone."""
        compared = kind.compared(workload, default) if default else []
        if compared and compared[0].speedup is not None:
            return winner(self._right(kind, workload, compared), default), False
        ranked = list(itertools.islice(self._usable(kind, workload), 2))
        alone = [record.schedule for record in ranked] == [default]
        right = self._right(kind, workload, compared)
        return winner(dict.fromkeys((*ranked, *right)), default), alone

    def _usable(self, kind: Kind, workload: Workload) -> Iterator[Record]:
        """The fastest first; of others' none that was refuted anywhere."""
        return self._right(kind, workload, kind.ranked(workload))

    def _right(self, kind: Kind, workload: Workload, records: Iterable[Record]) -> Iterator[Record]:
        refuted = set() if kind == self._mine else self._known_wrong(workload)
        return (r for r in records if r.schedule not in refuted and self._holds(r))

    def _holds(self, record: Record) -> bool:
        return self._validity.holds(record, self.target)

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
