"""What measuring a schedule showed: alone, or in turns with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from luthier.schedules import Schedule, Workload

from ..records.machine import Machine
from ..records.record import Outcome, Record, Timing, normal, now, one_line, tool_versions


@dataclass(frozen=True)
class Measurement:
    """What a trial of one schedule showed; ``samples`` are seconds, ascending.

    ``disturbed``: something else kept the machine busy while they were taken. ``limit``: it failed
    for a limit of the machine, which says nothing about the schedule and is not to be recorded.
    ``beside``: median seconds of what it was timed in turns with; None where it was timed alone.
    """

    schedule: Schedule
    outcome: Outcome
    samples: tuple[float, ...] = ()
    detail: str = ""
    disturbed: bool = False
    limit: bool = False
    beside: float | None = None


def recorded(
    workload: Workload,
    machine: Machine,
    measurement: Measurement,
    *,
    cold: bool,
    time: str | None = None,
) -> Record:
    """A measurement as the log keeps it, of now or of another ``time``."""
    return Record(
        workload=workload,
        machine=machine,
        schedule=normal(measurement.schedule),
        outcome=measurement.outcome,
        timing=_timing(measurement),
        cold=cold,
        detail=one_line(measurement.detail),
        tools=tool_versions(),
        time=time or now(),
    )


def _timing(measurement: Measurement) -> Timing | None:
    if not measurement.samples:
        return None
    disturbed, beside = measurement.disturbed, measurement.beside
    return Timing.of(measurement.samples, disturbed=disturbed, default=beside)


def is_quiet(measured: Sequence[Measurement]) -> bool:
    """Whether nothing disturbed a round of measurements."""
    return not any(each.disturbed for each in measured)


def side_by_side(rounds: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """Schedules that were timed in turns, the default first, from their quiet rounds.

    Where none was quiet, or the default's times are noisy, all are marked, lest it lose by its mark
    alone.
    """
    quiet = [measured for measured in rounds if is_quiet(measured)]
    merged = [_merged(runs) for runs in zip(*(quiet or rounds), strict=True)]
    timing = _timing(merged[0])
    if timing is None:
        return merged
    busy = not quiet or timing.noisy
    return [
        replace(each, disturbed=busy, beside=timing.median) if each.samples else each
        for each in merged
    ]


def _merged(runs: Sequence[Measurement]) -> Measurement:
    """One measurement of several of the same schedule; a failure in any of them counts."""
    failed = next((r for r in runs if r.outcome is not Outcome.OK), None)
    return failed or replace(runs[0], samples=tuple(sorted(s for r in runs for s in r.samples)))
