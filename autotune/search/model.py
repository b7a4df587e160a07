"""The cost model: which candidates of a workload are fast, before any is built.

Three beliefs, each a correction of the one before it. All are logarithms of a candidate's speed
relative to others of its workload, as in TenSet (Zheng et al., NeurIPS 2021).

1. An analytic guess from the loop nest, as long as there are no records.
2. What the records of all workloads say (``CostModel.fit``).
3. What was measured of the workload itself (``CostModel.refined``), in milliseconds.

Each is an ensemble: its members see other samples of the records, and where they disagree nobody
knows. A search that lets them choose in turns explores as much as they disagree (Osband and Van
Roy, *Bootstrapped Thompson Sampling and Deep Exploration*, 2015).

Boosters are fitted from records in every session: none is ever stored or loaded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Schedule, Target, Workload

from ..records.record import Record
from ..records.validity import NONSENSE
from .boosting import Booster, Scores, Table, Trees, matrix
from .features import BESIDE, schedule_columns


@dataclass(frozen=True)
class HyperParameters:
    """``members`` of each ensemble; ``general`` trees learn from all workloads, ``own`` from one.

    ``worst`` is how far behind the best (log of speed) failures and laggards are taken to be. Below
    ``least_rows`` examples the general trees are not grown; beyond ``most_rows`` the oldest
    workloads are left out. ``bench.cost_model`` chose them; its table is in bench/RESULTS.md.
    """

    members: int = 4
    general: Trees = field(default_factory=lambda: Trees(150, learning_rate=0.1, depth=6))
    own: Trees = field(default_factory=lambda: Trees(40, learning_rate=0.2, depth=4))
    worst: float = -3.0
    least_rows: int = 20
    most_rows: int = 50_000


@dataclass(frozen=True)
class Examples:
    """What was measured of one workload; failures took infinitely many ``seconds``."""

    workload: Workload
    target: Target
    schedules: Sequence[Schedule]
    seconds: Sequence[float]


def examples(group: Mapping[Schedule, Record]) -> Examples:
    """The records of one workload on one kind of machine, as the model learns from them."""
    records = list(group.values())
    schedules, seconds = [r.schedule for r in records], [r.seconds for r in records]
    return Examples(records[0].workload, records[0].target, schedules, seconds)


class CostModel:
    """What the records of all workloads say of any candidate."""

    def __init__(self, parameters: HyperParameters | None = None, seed: int = 0) -> None:
        """Not fitted yet: it guesses."""
        self.parameters = parameters or HyperParameters()
        self.seed = seed
        self._members: list[Booster] = []
        self._names: list[str] = []
        self.rows = 0

    @property
    def ready(self) -> bool:
        """Whether it has seen enough records to be more than a guess."""
        return bool(self._members)

    def fit(self, groups: Iterable[Examples]) -> None:
        """Learn from scratch; later groups matter most where there are too many."""
        tables: list[tuple[Table, Scores]] = []
        sizes: list[int] = []
        for group in reversed(list(groups)):
            found = _tables(group, self.parameters.worst)
            if found:
                middle = np.concatenate([labels for _, labels in found]).mean()
                tables += [(table, labels - middle) for table, labels in found]
                sizes.append(sum(len(labels) for _, labels in found))
            if sum(sizes) >= self.parameters.most_rows:
                break
        self.rows = sum(sizes)
        if self.rows < self.parameters.least_rows:
            return
        self._names, rows, labels = _stacked(tables)
        trees, seeds = self.parameters.general, range(self.parameters.members)
        groups_of_rows = sizes if trees.objective.startswith("rank:") else None
        self._members = [
            Booster(rows, labels, trees, seed=self.seed + s, groups=groups_of_rows) for s in seeds
        ]

    def refined(self, own: Examples) -> Refined:
        """The same, corrected by what was measured of one workload."""
        return Refined(self, own)

    def predict(self, table: Table) -> Scores:
        """[members, candidates]: expected log of speed relative to others of the workload.

        Higher is better. What it learns is relative to the mean of a workload's records, so that
        trees need not tell how fast a workload's candidates are on the whole.
        """
        if not self._members:
            return np.tile(_guess(table), (self.parameters.members, 1))
        rows = matrix(table, self._names)
        return np.stack([member.predict(rows) for member in self._members])

    def contributions(self, table: Table) -> dict[str, float]:
        """How far each feature of one candidate moves the prediction: its mean Shapley value.

        The model must be ``ready``.
        """
        rows = matrix(table, self._names)
        values = np.mean([member.contributions(rows)[0] for member in self._members], axis=0)
        return dict(zip(self._names, values[:-1].tolist(), strict=True))  # the last is the mean


class Refined:
    """A cost model and what was measured of one workload."""

    def __init__(self, model: CostModel, own: Examples) -> None:
        """Fit an ensemble of few trees to what the model got wrong."""
        self._model = model
        self.members = model.parameters.members
        self._members: list[tuple[Booster, float]] = []
        found = _tables(own, model.parameters.worst)
        if sum(len(labels) for _, labels in found) < 2:
            return
        self._names, rows, labels = _stacked(found, without=BESIDE)
        believed = np.concatenate([model.predict(table) for table, _ in found], axis=1)
        rng = np.random.default_rng(model.seed)
        for number, before in enumerate(believed):
            drawn = rng.integers(0, len(labels), len(labels))
            drawn[0] = labels.argmax()  # the best one known is always seen
            offset = float((labels[drawn] - before[drawn]).mean())
            booster = Booster(
                rows[drawn],
                labels[drawn],
                model.parameters.own,
                seed=model.seed + number,
                before=before[drawn] + np.float32(offset),
            )
            self._members.append((booster, offset))

    def predict(self, table: Table) -> Scores:
        """[members, candidates]: expected log of speed relative to the best one measured."""
        believed = self._model.predict(table)
        if not self._members:
            return believed
        rows = matrix(table, self._names)
        return np.stack(
            [
                booster.predict(rows, before + np.float32(offset))
                for (booster, offset), before in zip(self._members, believed, strict=True)
            ]
        )


def _guess(table: Table) -> Scores:
    """That a candidate is as slow as its busiest thread's arithmetic."""
    guess: NDArray[np.float32] = -np.float32(math.log(2)) * table["busiest cycles"]
    return guess


def _stacked(
    tables: Sequence[tuple[Table, Scores]], *, without: str | None = None
) -> tuple[list[str], NDArray[np.float32], Scores]:
    """The names of all columns, the rows of all tables in their order, and the labels.

    Columns whose name ends with ``without`` are left out.
    """
    every = set(itertools.chain.from_iterable(table for table, _ in tables))
    names = sorted(name for name in every if without is None or not name.endswith(without))
    rows = np.concatenate([matrix(table, names) for table, _ in tables])
    return names, rows, np.concatenate([labels for _, labels in tables])


def _tables(group: Examples, worst: float) -> list[tuple[Table, Scores]]:
    """Columns and labels, a pair for each template and version.

    Nothing of a workload, or of schedules, that make no sense: someone else's log may have such.
    """
    seconds = np.array(group.seconds, np.float64)
    best = seconds.min(initial=np.inf)
    if not np.isfinite(best):
        return []
    labels = np.maximum(np.log(best) - np.log(seconds), worst).astype(np.float32)
    kinds: dict[tuple[object, ...], list[int]] = {}
    for i, s in enumerate(group.schedules):
        kind = (s.template, s.version, tuple(sorted(k for k, _ in s.knobs)))
        kinds.setdefault(kind, []).append(i)
    found: list[tuple[Table, Scores]] = []
    for members in kinds.values():
        schedules = [group.schedules[i] for i in members]
        try:
            table = schedule_columns(group.workload, group.target, schedules)
        except NONSENSE:
            continue
        found.append((table, labels[members]))
    return found
