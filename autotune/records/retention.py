"""Which records of many are worth keeping."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from luthier.schedules import Schedule, ScheduleError, Target, Workload

from .record import Outcome, Record, horizon
from .validity import Validity
from .winner import winner

Kind = tuple[str, Target, bool]  # what records compare within: a kernel on a machine, cold or not


def kinds(records: Iterable[Record]) -> dict[Kind, list[Record]]:
    """The records by what they compare within."""
    found: dict[Kind, list[Record]] = {}
    for record in records:
        key = record.workload.key, record.target, record.cold
        found.setdefault(key, []).append(record)
    return found


def latest(records: Iterable[Record]) -> list[Record]:
    """Of each schedule of a kernel on a kind of machine the latest record, the fastest first.

    One from the future is the latest only where there are no others (see ``horizon``). Of the
    default also the latest that was timed in turns with others, if that is another.
    """
    end = horizon()
    found: list[Record] = []
    for group in kinds(records).values():
        newest: dict[Schedule, Record] = {}
        compared: list[Record] = []
        for record in sorted(group, key=lambda r: (r.time <= end, r.time, r.hash)):
            newest[record.schedule] = record
            if record.timing and record.timing.default == record.timing.median:
                compared = [record]
        kept = dict.fromkeys((*newest.values(), *compared))
        found += sorted(kept, key=lambda r: (r.rank, r.hash))
    return found


def winners(records: Iterable[Record], count: int) -> list[Record]:
    """What others need of a kernel on a machine.

    Its ``count`` fastest schedules, the one that is built before all others; its default's record,
    which tells what they won; and the schedules that crashed or gave a wrong result, so that nobody
    tries them again.
    """
    validity = Validity()
    groups = kinds(latest(records)).values()
    return [record for group in groups for record in _winners(group, count, validity)]


def _winners(group: list[Record], count: int, validity: Validity) -> Iterator[Record]:
    default = None
    with contextlib.suppress(ScheduleError):
        default = validity.default(group[0].workload, group[0].target)
    right = [record for record in group if record.timing]
    best = winner(right, default)
    right.sort(key=lambda record: record is not best)
    for number, record in enumerate(right):
        if number < count or record.schedule == default:
            yield record
    wrong = (Outcome.WRONG_RESULT, Outcome.CRASHED)
    yield from (record for record in group if record.outcome in wrong)


def is_stale(record: Record, validity: Validity | None = None) -> bool:
    """Whether the record's template is gone, means something else now, or lacks its knobs.

    Who asks of many records gives one ``validity``, which keeps their spaces.
    """
    return not (validity or Validity()).holds(record, record.target)


def best_of(records: Iterable[Record]) -> dict[tuple[Workload, Target], Record]:
    """The record to build from of each kernel on each kind of machine; cold ones if there are."""
    validity, found = Validity(), dict[tuple[Workload, Target], Record]()
    for group in sorted(kinds(latest(records)).values(), key=lambda group: not group[0].cold):
        default = None
        with contextlib.suppress(ScheduleError):
            default = validity.default(group[0].workload, group[0].target)
        best = winner((record for record in group if record.timing), default)
        if best is not None:
            found.setdefault((best.workload, best.target), best)
    return found
