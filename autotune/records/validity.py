"""Which schedules are valid today, of workloads that may come from strangers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from luthier.schedules import Schedule, ScheduleError, Space, Target, Workload
from luthier.schedules.templates import registry

from .record import Record, normal

Spaces = Callable[[Workload, Target], tuple[Space, ...]]

# What templates raise for workloads that no frontend makes: someone else's record may hold such.
NONSENSE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    ScheduleError,
    TypeError,
    ValueError,
)


class Validity:
    """The spaces of workloads, each asked for once."""

    def __init__(self, spaces: Spaces | None = None) -> None:
        """``spaces`` says which schedules there are (default: the registry of templates)."""
        self._spaces = spaces
        self._known: dict[tuple[str, Target], tuple[Space, ...]] = {}

    def default(self, workload: Workload, target: Target) -> Schedule:
        """The default schedule, in ``normal`` order; raises ScheduleError where there is none."""
        try:
            return normal(self._spaces_of(workload, target)[0].default_schedule())
        except NONSENSE as error:
            raise ScheduleError(f"no template computes the workload {workload.key}") from error

    def holds(self, record: Record, target: Target) -> bool:
        """Whether the template still has this version and, for the target, these knobs."""
        schedule = record.schedule
        with contextlib.suppress(*NONSENSE):
            for space in self._spaces_of(record.workload, target):
                if (space.template, space.version) == (schedule.template, schedule.version):
                    space.schedule(dict(schedule.knobs))
                    return True
        return False

    def nearest(self, record: Record, target: Target) -> Schedule | None:
        """What the record's schedule comes to for the target and its template of today.

        In ``normal`` order; None where the template is gone.
        """
        if self.holds(record, target):
            return record.schedule
        schedule = record.schedule
        with contextlib.suppress(*NONSENSE):
            for space in self._spaces_of(record.workload, target):
                if space.template == schedule.template:
                    return normal(space.nearest(dict(schedule.knobs)))
        return None

    def _spaces_of(self, workload: Workload, target: Target) -> tuple[Space, ...]:
        if self._spaces is None:
            self._spaces = registry.spaces
        key = workload.key, target
        if key not in self._known:
            self._known[key] = self._spaces(workload, target)
        return self._known[key]
