"""Where a command's records come from: one's own log, packs, and what ships with Luthier."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from luthier.autotune import Choice, Pack, Sources, Store, Trust
from luthier.autotune.records.address import is_server, is_url
from luthier.autotune.records.lines import first_byte
from luthier.deploy import Selection
from luthier.frontend import Entry
from luthier.schedules import Schedule, ScheduleError, Target, Workload
from luthier.schedules.errors import UsageError
from luthier.schedules.files import open_regular
from luthier.schedules.templates.registry import spaces

from ..arguments import FilePath
from .runs import Run

DEFAULT_LOG = "luthier.db"
SHIPPED = "shipped with Luthier"


@dataclass(frozen=True)
class LayerHits:
    """How many kernels got their schedule from a source (``layer``), by how close its machine is.

    ``exact``: this kind of machine. ``same_cpu``: the same micro-architecture with other threads or
    caches. ``related``: an ancestor or a sibling of it.
    """

    layer: str
    exact: int
    same_cpu: int
    related: int


def writing(log: FilePath, packs: Sequence[FilePath], target: Target) -> Sources:
    """The sources of a command that measures; raises LogError."""
    return _with_packs(Store.open(log, create=True), packs, target)


def reading(
    log: FilePath | None,
    packs: Sequence[FilePath],
    target: Target,
    workloads: Collection[Workload] | None = None,
) -> Sources:
    """The sources of a command that does not; no records at all where ``log`` is None.

    Of packs those of ``workloads``, or all. The default log may be missing. Raises LogError and
    UsageError.
    """
    if log is None:
        if packs:
            raise UsageError("packs make no sense where no records are wanted")
        return Sources(None, (), target)
    missing = _is_default(log) and not Path(log).exists()
    return _with_packs(None if missing else Store.open(log), packs, target, workloads)


def opened(where: FilePath) -> Store | Pack:
    """A store or a pack, told apart by what it is; raises LogError."""
    if is_server(where):
        return Store.open(where)
    try:
        with open_regular(where) as file:
            is_pack = first_byte(file.read(1024)) in (b"", b"{")
    except (OSError, ValueError):
        is_pack = is_url(where)  # else the store says what is wrong
    return Pack(where) if is_pack else Store.open(where)


def _is_default(log: FilePath) -> bool:
    """Whether it is the default log, however its path is spelled."""
    return not is_url(log) and os.path.abspath(log) == os.path.abspath(DEFAULT_LOG)


def choices(
    entry: Entry, sources: Sources, some: Sequence[Run] | None = None
) -> dict[Workload, Choice]:
    """What the sources say of the workloads of an entry point's programs.

    A kernel for sizes that are open is asked for by its workload of the largest: it gets what is
    best there, or else at the largest of ``some`` runs of which the sources know something that
    fits.
    """
    found: dict[Workload, Choice] = {}
    for program in entry.variants:
        here = [run for run in some or () if run.variant is program]
        for call in program.calls:
            workload = call.workload
            if workload not in found:
                others = (run.workload(call) for run in here if call.open is not None)
                tried = dict.fromkeys((workload, *others))
                known = (choice for each in tried if (choice := sources.best(each)))
                fits = (c for c in known if _fits(c.schedule, workload, sources.target))
                found.update((workload, choice) for choice in itertools.islice(fits, 1))
    return found


def _fits(schedule: Schedule, workload: Workload, target: Target) -> bool:
    for space in spaces(workload, target):
        if (space.template, space.version) == (schedule.template, schedule.version):
            try:
                space.schedule(dict(schedule.knobs))
            except ScheduleError:
                return False
            return True
    return False


def selections(chosen: Mapping[Workload, Choice]) -> dict[Workload, Selection]:
    """What a build needs of the choices."""
    return {w: Selection(choice.schedule, choice.record.hash) for w, choice in chosen.items()}


def hits(chosen: Mapping[Workload, Choice]) -> tuple[LayerHits, ...]:
    """The choices counted, sources by their names."""
    names = sorted({choice.source for choice in chosen.values()})
    return tuple(LayerHits(name, *_counts(chosen, name)) for name in names)


def _counts(chosen: Mapping[Workload, Choice], source: str) -> list[int]:
    kinds = [choice.trust for choice in chosen.values() if choice.source == source]
    return [kinds.count(trust) for trust in (Trust.EXACT, Trust.SAME_CPU, Trust.RELATED)]


def _with_packs(
    own: Store | None,
    packs: Sequence[FilePath],
    target: Target,
    workloads: Collection[Workload] | None = None,
) -> Sources:
    try:
        given = [_stored([Pack(where)], workloads) for where in packs]
        return Sources(own, [*given, *_shipped(workloads)], target)
    except BaseException:
        if own is not None:
            own.close()
        raise


def _shipped(workloads: Collection[Workload] | None) -> list[Store]:
    """The packs of this installation, as one source."""
    folder = resources.files("luthier.packs")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".jsonl"))
    with contextlib.ExitStack() as files:
        paths = [files.enter_context(resources.as_file(folder / name)) for name in names]
        return [_stored([*map(Pack, paths)], workloads, name=SHIPPED)] if paths else []


def _stored(
    packs: Sequence[Pack], workloads: Collection[Workload] | None, name: str | None = None
) -> Store:
    """What counts of packs as one store, which can be asked for the best; raises LogError."""
    store = Store.in_memory(name or packs[0].name)
    for each in packs:
        store.add(each.counting(workloads))
        store.report(each.skipped, each.problems)
    return store
