"""Kernels that share a constant read it in one order, so that the library holds it once.

By itself each kernel would have its weights packed as is best for its own size: one for a prompt,
another for a token. Here the kernel that does most decides, and those with default schedules
follow it where their template can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
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
    for workload, constants in _sharing(library):
        chosen = selected.get(workload)
        schedule = chosen.schedule if chosen else registry.default(workload, target)
        wanted = {i: orders[c] for i, c in constants.items() if c in orders}
        if wanted and not chosen:
            schedule = _following(workload, target, schedule, wanted)
            found[workload] = schedule
        packed = _packed(workload, target, schedule)
        for i, constant in constants.items():
            orders.setdefault(constant, _Order(packed[i], schedule))
    return {w: s for w, s in found.items() if s != registry.default(w, target)}


def _sharing(library: Library) -> list[tuple[Workload, Mapping[int, int]]]:
    """Workloads that share constants with others, those that do most first, and by the number of
    the argument which constants these are."""
    arrays = Arrays()
    read: defaultdict[Workload, dict[int, int]] = defaultdict(dict)
    readers: defaultdict[int, set[Workload]] = defaultdict(set)
    for program in library.programs:
        for call in program.calls:
            for i, (value, known) in enumerate(
                zip(call.args, call.workload.constants, strict=True)
            ):
                array = program.constants.get(program.base(value)) if known else None
                if array is not None:
                    constant = id(arrays.once(array))
                    read[call.workload][i] = constant
                    readers[constant].add(call.workload)
    shared = {constant for constant, workloads in readers.items() if len(workloads) > 1}
    some = [(w, {i: c for i, c in r.items() if c in shared}) for w, r in read.items()]
    return sorted((each for each in some if each[1]), key=lambda each: -flops(each[0]))


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
    """The schedule, and this with one knob of another kernel's of the same template."""
    yield schedule
    (space,) = (s for s in registry.spaces(workload, target) if s.template == schedule.template)
    knobs = dict(schedule.knobs)
    for other in dict.fromkeys(order.schedule for order in wanted.values()):
        if (other.template, other.version) != (schedule.template, schedule.version):
            continue
        for name, choice in other.knobs:
            if choice != knobs[name]:
                try:
                    yield space.schedule({**knobs, name: choice})
                except ScheduleError:
                    continue


def _packed(workload: Workload, target: Target, schedule: Schedule) -> list[Shape]:
    kernel = registry.instantiate(workload, target, schedule)
    return [None if packing is None else packing.shape for packing in kernel.packings]
