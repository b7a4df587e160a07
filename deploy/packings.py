"""Kernels that share a constant read it in one order, so that the library holds it once.

By itself each kernel would have its weights packed as is best for its own size: one for a prompt,
another for a token. Here the kernel that does most decides, or one that can read a constant only as
it is, such as a table of embeddings; those with default schedules follow where a template can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from luthier.frontend.graph.arrays import Arrays
from luthier.frontend.program import Library
from luthier.schedules import Schedule, ScheduleError, Target, Workload
from luthier.schedules.ops.counts import flops
from luthier.schedules.templates import registry

from .selection import Selections

Shape: TypeAlias = tuple[int, ...] | None  # in which a constant is packed; None as it is


class _Order(NamedTuple):
    """How a constant is packed, and by which kernel's schedule."""

    shape: Shape
    schedule: Schedule


def agreed(library: Library, target: Target, selected: Selections) -> dict[Workload, Schedule]:
    """Schedules of kernels that are not ``selected`` and share constants, but for the defaults."""
    orders: dict[int, _Order] = {}
    found = {}
    for reader in _readers(library, target, selected):
        schedule, packed = reader.schedule, reader.packed
        wanted = {i: orders[c] for i, c in reader.constants.items() if c in orders}
        if wanted and reader.workload not in selected:
            schedule = _following(reader.workload, target, schedule, wanted)
            if schedule != reader.schedule:
                found[reader.workload] = schedule
                packed = _packed(reader.workload, target, schedule)
        for i, constant in reader.constants.items():
            orders.setdefault(constant, _Order(packed[i], schedule))
    return found


@dataclass(frozen=True)
class _Reader:
    """A kernel by itself; ``constants`` that others read, too, by the argument's number."""

    workload: Workload
    schedule: Schedule
    packed: Sequence[Shape]
    constants: Mapping[int, int]

    @property
    def order(self) -> tuple[bool, int]:
        """Those that pack nothing first, then those that do most."""
        packs = any(self.packed[i] is not None for i in self.constants)
        return packs, -flops(self.workload)


def _readers(library: Library, target: Target, selected: Selections) -> list[_Reader]:
    arrays = Arrays()
    read: defaultdict[Workload, dict[int, int]] = defaultdict(dict)
    readers: defaultdict[int, set[Workload]] = defaultdict(set)
    for program in library.programs:
        for call in program.calls:
            for i, value in enumerate(call.args):
                array = program.constants.get(program.base(value))
                if array is not None and call.workload.constants[i]:
                    constant = id(arrays.once(array))
                    read[call.workload][i] = constant
                    readers[constant].add(call.workload)
    found = []
    for workload, constants in read.items():
        shared = {i: c for i, c in constants.items() if len(readers[c]) > 1}
        if shared:
            chosen = selected.get(workload)
            schedule = chosen.schedule if chosen else registry.default(workload, target)
            packed = _packed(workload, target, schedule)
            found.append(_Reader(workload, schedule, packed, shared))
    return sorted(found, key=lambda reader: reader.order)


def _following(
    workload: Workload, target: Target, schedule: Schedule, wanted: Mapping[int, _Order]
) -> Schedule:
    """One whose constants are packed as is wanted, if few changes give one; else as it is."""
    for candidate in _candidates(workload, target, schedule, wanted):
        packed = _packed(workload, target, candidate)
        if all(packed[i] == order.shape for i, order in wanted.items()):
            return candidate
    return schedule


def _candidates(
    workload: Workload, target: Target, schedule: Schedule, wanted: Mapping[int, _Order]
) -> Iterator[Schedule]:
    """The schedule, this with one knob of another kernel's, whose template may be another that has
    a knob of this name, and those of other templates."""
    yield schedule
    spaces = registry.spaces(workload, target)
    (space,) = (s for s in spaces if s.template == schedule.template)
    knobs = dict(schedule.knobs)
    for other in dict.fromkeys(order.schedule for order in wanted.values()):
        for name, choice in other.knobs:
            if choice != knobs.get(name, choice):
                try:
                    yield space.schedule({**knobs, name: choice})
                except ScheduleError:
                    continue
    yield from (each.default_schedule() for each in spaces if each is not space)


def _packed(workload: Workload, target: Target, schedule: Schedule) -> list[Shape]:
    kernel = registry.instantiate(workload, target, schedule)
    return [None if packing is None else packing.shape for packing in kernel.packings]
