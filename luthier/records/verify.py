"""Checking logs: hashes, schemas and signatures always, times on this machine if asked to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.autotune import Outcome, Record
from luthier.autotune.measure.measurer import Measurer, ReferenceFailed
from luthier.autotune.records.record import horizon
from luthier.autotune.records.retention import is_stale, kinds
from luthier.autotune.records.validity import Validity
from luthier.schedules.target import available_cores, host

from ..arguments import FilePath, validated
from .signature import signer
from .sources import opened


@dataclass(frozen=True)
class SourceCheck:
    """A source: its ``records`` that are sound, how many were ``skipped``, and what is wrong.

    ``signer`` is who signed the pack, None where that was not asked for.
    """

    source: str
    records: int
    skipped: int
    problems: tuple[str, ...]
    signer: str | None


@dataclass(frozen=True)
class Remeasured:
    """A record's time and what the same schedule takes here and now, or how it failed."""

    record: Record
    outcome: Outcome
    seconds: float

    @property
    def ratio(self) -> float:
        """Time now over time then."""
        return self.seconds / self.record.seconds


@dataclass(frozen=True)
class VerifyReport:
    """What was found; ``remeasured`` is the sample that was asked for, or what there was of it."""

    sources: tuple[SourceCheck, ...]
    remeasured: tuple[Remeasured, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged and every schedule that was measured again is right."""
        sound = all(not source.skipped and not source.problems for source in self.sources)
        return sound and all(each.outcome is Outcome.OK for each in self.remeasured)


@validated
def verify(
    sources: Sequence[FilePath],
    *,
    signers: FilePath | None = None,
    sample: int = 0,
    seed: int = 0,
) -> VerifyReport:
    """Check every record's hash, schema and time, and a SQLite file's structure.

    ``signers``: a file of OpenSSH's allowed signers; every source must be a pack that one of them
    signed. ``sample``: measure again so many records of this kind of machine, drawn at random, and
    compare their results with the default schedule's. Raises LogError (a source that cannot be
    opened, or a signature that does not hold), UsageError and ToolchainError.
    """
    kinds_here = {host(threads) for threads in range(1, available_cores() + 1)} if sample else set()
    validity = Validity()
    checked: list[SourceCheck] = []
    here: list[Record] = []
    for source in sources:
        name = signer(Path(source), Path(signers)) if signers is not None else None
        with opened(source) as store:
            count, ahead = 0, []
            for record in store.records():
                count += 1
                ahead += [record] if record.time > horizon() else []
                measurable = record.timing is not None
                if measurable and record.target in kinds_here and not is_stale(record, validity):
                    here.append(record)
            problems = (*store.problems, *store.check(), *_ahead(ahead))
            checked.append(SourceCheck(store.name, count, store.skipped, problems, name))
    unique = {record.hash: record for record in here}
    order = sorted(unique)
    random.Random(seed).shuffle(order)
    drawn = [unique[key] for key in order[:sample]]
    return VerifyReport(tuple(checked), tuple(_remeasured(drawn, seed)))


def _ahead(records: Sequence[Record]) -> list[str]:
    """What is wrong with records from the future."""
    if not records:
        return []
    return [
        f"records with a time that is still to come: {len(records)}, among them {records[0].hash} "
        f"({records[0].time}); they count only where nothing else is known of their schedule"
    ]


def _remeasured(records: Sequence[Record], seed: int) -> Iterator[Remeasured]:
    """Kernel by kernel."""
    for group in kinds(records).values():
        with Measurer(group[0].target, seed=seed, cold=group[0].cold, swept=True) as measurer:
            schedules = [record.schedule for record in group]
            try:
                shown = list(measurer.measure(group[0].workload, schedules))
            except ReferenceFailed:
                shown = []
            for record, measurement in zip(group, shown, strict=False):
                again = measurer.record(record.workload, measurement)
                yield Remeasured(record, again.outcome, again.seconds)
            for record in group[len(shown) :]:
                yield Remeasured(record, Outcome.CRASHED, float("inf"))
