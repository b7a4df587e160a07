"""Which schedule of a kernel is built, by the records of one kind of machine.

Two times compare if they were taken side by side: a schedule wins that was timed in turns with the
default, in the latest such comparison, and was faster. The records of a comparison have one
``time``, and the default's time in each. Where the default was never compared, the fastest wins.
"""

from __future__ import annotations

from collections.abc import Iterable

from luthier.schedules import Schedule

from .record import Record

NOTABLE = 1.01  # so much faster than the default a schedule must be, or the default is kept


def winner(records: Iterable[Record], default: Schedule | None) -> Record | None:
    """The one to build from of right records: the latest of each schedule.

    Of the default also the latest that was compared, if that is another. The default's, where
    nothing beat it; None where there are no records.
    """
    found = list(records)
    known = max((r for r in found if r.schedule == default), key=_compared_first, default=None)
    if known is None:
        return min(found, key=_rank, default=None)
    if known.speedup is None:
        fastest = min(found, key=_rank)
        # The mark of noise must not make the default lose: it may be as fast as it says.
        return known if known.seconds <= fastest.rank else fastest
    beside = (r for r in found if r.time == known.time and r.schedule != default)
    best = max(beside, key=_speedup, default=known)
    return best if _speedup(best)[0] >= NOTABLE else known


def _compared_first(record: Record) -> tuple[bool, str, str]:
    return record.speedup is not None, record.time, record.hash


def _speedup(record: Record) -> tuple[float, str]:
    return record.speedup or 0.0, record.hash


def _rank(record: Record) -> tuple[float, str]:
    return record.rank, record.hash
