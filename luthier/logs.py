"""Tuning logs: what they hold, and how teams share, check and clean them (``luthier logs``).

A *source* is a store (a SQLite file, or a ``postgresql://`` URL) or a pack (a JSON Lines file, or a
URL that fsspec knows).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.autotune import Pack, Record, Sources, Store, write_pack
from luthier.autotune.records import retention
from luthier.autotune.records.address import is_server, is_url
from luthier.autotune.records.validity import Validity
from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.errors import LogError, UsageError
from luthier.schedules.redaction import shown
from luthier.schedules.target import DEFAULT_ACCURACY

from .arguments import FilePath, validated
from .machine.target import resolve
from .records.sources import DEFAULT_LOG, opened, reading
from .records.verify import Remeasured, SourceCheck, VerifyReport, verify

_SHORTEST_PREFIX = 4

__all__ = [
    "BestRecord",
    "DiffReport",
    "KernelDifference",
    "LogStats",
    "MergeReport",
    "PruneReport",
    "Remeasured",
    "SourceCheck",
    "VerifyReport",
    "best",
    "diff",
    "export",
    "import_",
    "merge",
    "prune",
    "show",
    "stats",
    "verify",
]


@dataclass(frozen=True)
class LogStats:
    """What a source holds. ``first`` and ``last`` are times of records, empty where there are none.

    ``machines`` and ``templates`` count their records, ``skipped`` those that cannot be read.
    """

    source: str
    records: int
    kernels: int
    outcomes: Mapping[str, int]
    machines: Mapping[str, int]
    templates: Mapping[str, int]
    first: str
    last: str
    skipped: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class BestRecord:
    """What ``build`` takes for a kernel: ``trust`` tells how close the record's machine is.

    ``schedule`` is the record's, or the default where another machine's record says that it won.
    """

    workload: Workload
    record: Record
    trust: str
    layer: str
    schedule: Schedule


@dataclass(frozen=True)
class MergeReport:
    """What was written: ``records`` are in ``out`` now, ``added`` of them are new there.

    ``skipped`` could not be read; ``problems`` tells about some of them.
    """

    out: str
    records: int
    added: int
    skipped: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class PruneReport:
    """How many records were removed (would be, in a dry run), why, and how many are left.

    ``stale``: their template has changed since. ``superseded``: the same schedule was measured
    again later. ``slow``: others of the kernel are faster.
    """

    log: str
    stale: int
    superseded: int
    slow: int
    left: int
    dry_run: bool


@dataclass(frozen=True)
class KernelDifference:
    """A kernel whose best record differs: seconds, None where a source has none."""

    workload: Workload
    target: Target
    first: float | None
    second: float | None


@dataclass(frozen=True)
class DiffReport:
    """Records that only one of two sources has, and the kernels whose best record differs."""

    only_first: int
    only_second: int
    both: int
    kernels: tuple[KernelDifference, ...]


@validated
def stats(source: FilePath = DEFAULT_LOG) -> LogStats:
    """Count what a source holds; raises LogError."""
    with opened(source) as store:
        kernels: set[str] = set()
        outcomes: Counter[str] = Counter()
        machines: Counter[str] = Counter()
        templates: Counter[str] = Counter()
        times: list[str] = []
        for record in store.records():
            kernels.add(record.workload.key)
            outcomes[record.outcome.value] += 1
            machines[_machine(record)] += 1
            templates[f"{record.schedule.template}@{record.schedule.version}"] += 1
            times.append(record.time)
        return LogStats(
            source=store.name,
            records=sum(outcomes.values()),
            kernels=len(kernels),
            outcomes=dict(outcomes.most_common()),
            machines=dict(machines.most_common()),
            templates=dict(templates.most_common()),
            first=min(times, default=""),
            last=max(times, default=""),
            skipped=store.skipped,
            problems=tuple(store.problems),
        )


@validated
def best(
    log: FilePath = DEFAULT_LOG,
    target: str | Target = "host",
    *,
    packs: Sequence[FilePath] = (),
    threads: int | None = None,
    accuracy: str = DEFAULT_ACCURACY,
) -> tuple[BestRecord, ...]:
    """What ``build`` takes for each kernel that the log or a pack knows, the slowest first.

    Kernels that would get their default schedule are left out. Raises LogError, TargetError and
    UsageError.
    """
    with reading(log, packs, resolve(target, threads, accuracy)) as sources:
        found = [_best(sources, workload) for workload in sources.workloads()]
    return tuple(sorted((b for b in found if b), key=lambda b: -b.record.seconds))


@validated
def show(prefix: str, source: FilePath = DEFAULT_LOG) -> tuple[Record, ...]:
    """The records whose hash begins so (at least 4 hex digits); raises LogError and UsageError."""
    if len(prefix) < _SHORTEST_PREFIX or not set(prefix) <= set("0123456789abcdef"):
        raise UsageError(f"'{prefix:.40}' is not a beginning of a hash: give at least 4 hex digits")
    with opened(source) as store:
        found = tuple(store.find(prefix))
    if not found:
        raise LogError(f"no record of '{store.name}' has a hash that begins with {prefix}")
    return found


@validated
def merge(sources: Sequence[FilePath], out: FilePath) -> MergeReport:
    """Write all records of the sources into the pack ``out``, a path or URL, in a fixed order.

    ``out`` is a union of sets: the order of the sources and their repetition change nothing. It
    replaces a pack there in one step; what was in it is kept if it is one of the sources. Raises
    LogError.
    """
    with _opened(sources) as stores:
        return _written(out, _all(stores), stores)


@validated
def export(source: FilePath, out: FilePath, *, best: int | None = None) -> MergeReport:
    """Write a source's records into the pack ``out``, a path or URL.

    ``best``: for each kernel and machine only so many of the fastest, the default's record, and the
    schedules that crashed or gave a wrong result. Raises LogError and UsageError.
    """
    with opened(source) as store:
        records: Iterable[Record] = store.records()
        if best is not None:
            records = retention.winners(records, best)
        return _written(out, records, [store])


@validated
def import_(sources: Sequence[FilePath], log: FilePath = DEFAULT_LOG) -> MergeReport:
    """Add the sources' records to a store, which is made where it is missing; raises LogError."""
    with _opened(sources) as stores, Store.open(log, create=True) as store:
        added = store.add(_all(stores))
        return _report(store.name, store.count(), added, stores)


@validated
def prune(
    log: FilePath = DEFAULT_LOG,
    *,
    stale: bool = False,
    best: int | None = None,
    dry_run: bool = False,
) -> PruneReport:
    """Remove records of a store that were measured again since, and more if asked to.

    ``stale``: those of templates that have changed. ``best``: all but so many of the fastest of
    each kernel and machine, its default, and schedules that crashed or gave a wrong result. Raises
    LogError and UsageError.
    """
    with Store.open(log, create=Path(log).exists() or is_server(log)) as store:
        every = list(store.records())
        validity = Validity()
        fresh = [r for r in every if not (stale and retention.is_stale(r, validity))]
        newest = retention.latest(fresh)
        kept = newest if best is None else retention.winners(newest, best)
        if not dry_run:
            store.remove({r.hash for r in every} - {r.hash for r in kept})
        return PruneReport(
            store.name,
            len(every) - len(fresh),
            len(fresh) - len(newest),
            len(newest) - len(kept),
            len(kept),
            dry_run,
        )


@validated
def diff(first: FilePath, second: FilePath) -> DiffReport:
    """Compare two sources; raises LogError."""
    with opened(first) as one, opened(second) as other:
        ours, theirs = ({r.hash: r for r in store.records()} for store in (one, other))
    best_ours, best_theirs = (retention.best_of(each.values()) for each in (ours, theirs))
    differences = []
    for workload, target in {**best_ours, **best_theirs}:
        pair = best_ours.get((workload, target)), best_theirs.get((workload, target))
        if pair[0] != pair[1]:
            seconds = [record.seconds if record else None for record in pair]
            differences.append(KernelDifference(workload, target, *seconds))
    return DiffReport(
        len(ours.keys() - theirs.keys()),
        len(theirs.keys() - ours.keys()),
        len(ours.keys() & theirs.keys()),
        tuple(differences),
    )


# ---- underneath ----


@contextlib.contextmanager
def _opened(sources: Sequence[FilePath]) -> Iterator[list[Store | Pack]]:
    with contextlib.ExitStack() as stack:
        found: list[Store | Pack] = []
        for source in sources:
            found.append(opened(source))
            stack.enter_context(found[-1])
        yield found


def _all(sources: Iterable[Store | Pack]) -> Iterator[Record]:
    return (record for source in sources for record in source.records())


def _written(
    out: FilePath, records: Iterable[Record], sources: Sequence[Store | Pack]
) -> MergeReport:
    if is_server(out):
        raise UsageError(f"'{shown(out)}' is a store: use 'luthier logs import'")
    there = not is_url(out) and Path(out).is_file()
    before = {record.hash for record in Pack(out).records()} if there else set()
    written = write_pack(out, records)
    return _report(shown(out), len(written), len(written - before), sources)


def _report(out: str, records: int, added: int, stores: Sequence[Store | Pack]) -> MergeReport:
    problems = tuple(problem for store in stores for problem in store.problems)
    return MergeReport(out, records, added, sum(store.skipped for store in stores), problems)


def _best(sources: Sources, workload: Workload) -> BestRecord | None:
    choice = sources.best(workload)
    if choice is None:
        return None
    return BestRecord(workload, choice.record, choice.trust.value, choice.source, choice.schedule)


def _machine(record: Record) -> str:
    target = record.target
    return f"{record.machine.microarchitecture} ({target.level}), threads: {target.threads}"
