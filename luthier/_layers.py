"""Where a command's records come from: one's own log, packs, and what ships with Luthier."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from luthier.autotune import Choice, Layers, Store, Trust, pack
from luthier.frontend import Program
from luthier.schedules import Target
from luthier.schedules.errors import UsageError

FilePath = str | os.PathLike[str]

DEFAULT_LOG = "luthier.db"
SHIPPED = "shipped with Luthier"


@dataclass(frozen=True)
class LayerHits:
    """How many kernels got their schedule from a layer, by how close its machine is.

    ``exact``: this kind of machine. ``same_cpu``: the same micro-architecture with other threads or
    caches. ``related``: an ancestor or a sibling of it.
    """

    layer: str
    exact: int
    same_cpu: int
    related: int


def writing(log: FilePath, packs: Sequence[FilePath], target: Target) -> Layers:
    """The layers of a command that measures; raises LogError."""
    return Layers(Store.open(log, create=True), _read(packs), target)


def reading(log: FilePath | None, packs: Sequence[FilePath], target: Target) -> Layers:
    """The layers of a command that does not; no records at all where ``log`` is None.

    The default log may be missing. Raises LogError and UsageError.
    """
    if log is None:
        if packs:
            raise UsageError("packs make no sense where no records are wanted")
        return Layers(None, (), target)
    missing = str(log) == DEFAULT_LOG and not Path(log).exists()
    return Layers(None if missing else Store.open(log), _read(packs), target)


def read_pack(where: FilePath) -> Store:
    """A pack as a store of its own; raises LogError."""
    found = pack.read(where)
    store = Store.in_memory(found.name, found.records.values())
    store.report(found.problems)
    return store


def choices(program: Program, layers: Layers) -> dict[str, Choice]:
    """What the layers say, by key of the dense workload: where a tensor lies changes little."""
    computed = {call.workload.dense for call in program.calls}
    best = {workload.key: layers.best(workload) for workload in computed}
    return {key: choice for key, choice in best.items() if choice}


def hits(chosen: Mapping[str, Choice]) -> tuple[LayerHits, ...]:
    """The choices counted, layers by their names."""
    names = sorted({choice.layer for choice in chosen.values()})
    return tuple(LayerHits(name, *_counts(chosen, name)) for name in names)


def _counts(chosen: Mapping[str, Choice], layer: str) -> list[int]:
    kinds = [choice.trust for choice in chosen.values() if choice.layer == layer]
    return [kinds.count(trust) for trust in (Trust.EXACT, Trust.SAME_CPU, Trust.RELATED)]


def _read(packs: Sequence[FilePath]) -> list[Store]:
    return [*map(read_pack, packs), *_shipped()]


def _shipped() -> list[Store]:
    """The packs of this installation, as one layer."""
    folder = resources.files("luthier.packs")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".jsonl"))
    found = []
    for name in names:
        with resources.as_file(folder / name) as path:
            found.append(pack.read(path))
    if not found:
        return []
    store = Store.in_memory(SHIPPED, (r for each in found for r in each.records.values()))
    store.report(problem for each in found for problem in each.problems)
    return [store]
