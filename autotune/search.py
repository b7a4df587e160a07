"""Which schedules of one kernel to measure next."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Schedule, Space, Target, Workload

from .features import columns
from .model import CostModel, Scores
from .record import normal

_SHUFFLE = np.float32(3)  # steps between choices that chance may outweigh
_Row = tuple[float, int, tuple[int, ...]]  # score, grid, digits
Digits = NDArray[np.int16]  # one row a candidate, one choice's position a knob


@dataclass(frozen=True)
class Options:
    """``explore`` is the share of a batch that is drawn at random.

    A space with at most ``enumerable`` combinations is scored as a whole; of a larger one,
    ``samples`` random schedules and the neighbourhood of the ``parents`` fastest known.
    """

    explore: float = 0.2
    enumerable: int = 50_000
    samples: int = 2_000
    parents: int = 8


class Grid:
    """A space as a table of choices' positions, which is scored without making schedules."""

    def __init__(
        self,
        space: Space,
        target: Target,
        workload: Workload,
        options: Options,
        among: Collection[Schedule] | None = None,
    ) -> None:
        """Nothing is enumerated yet. ``among`` are the candidates, where not all of the space."""
        self.space, self._target, self._workload = space, target, workload
        self._options, self._among = options, among
        self._positions = [{c: i for i, c in enumerate(k.choices)} for k in space.knobs]

    @property
    def enumerable(self) -> bool:
        """Whether ``whole`` may be asked for."""
        return self._among is not None or self.space.upper_size <= self._options.enumerable

    @cached_property
    def whole(self) -> Digits:
        """Every valid candidate."""
        if self._among is not None:
            some = sorted(d for s in self._among if (d := self.digits(s)) is not None)
            return np.array(some, np.int16).reshape(len(some), len(self.space.knobs))
        knobs = [range(len(k.choices)) for k in self.space.knobs]
        rows = [d for d in itertools.product(*knobs) if self.space.valid(self._config(d))]
        return np.array(rows, np.int16).reshape(len(rows), len(knobs))

    def digits(self, schedule: Schedule) -> tuple[int, ...] | None:
        """The schedule's row; None where the space does not hold it (any more)."""
        if (schedule.template, schedule.version) != (self.space.template, self.space.version):
            return None
        knobs = dict(schedule.knobs)
        if knobs.keys() != {k.name for k in self.space.knobs}:
            return None
        found = [
            p.get(knobs[k.name]) for p, k in zip(self._positions, self.space.knobs, strict=True)
        ]
        return None if None in found else tuple(d for d in found if d is not None)

    def schedule(self, row: Sequence[int]) -> Schedule:
        """The row's schedule."""
        return self.space.schedule(self._config(row))

    def candidates(
        self, seen: set[tuple[int, ...]], parents: Iterable[Schedule], rng: random.Random
    ) -> Digits:
        """Rows to choose from, none of them seen."""
        if self.enumerable:
            rows = self.whole
            fresh = [i for i, row in enumerate(map(tuple, rows.tolist())) if row not in seen]
            return rows[fresh]
        drawn = [self.space.sample(rng) for _ in range(self._options.samples)]
        near = [n for parent in parents for n in self._around(parent)]
        unique = {d for s in (*drawn, *near) if (d := self.digits(s)) is not None} - seen
        return np.array(sorted(unique), np.int16).reshape(len(unique), len(self.space.knobs))

    def score(self, rows: Digits, model: CostModel, rng: random.Random) -> Scores:
        """The model's opinion; before it has one, nearness to the default, shuffled a little."""
        if model.ready:
            knobs = {
                k.name: np.array(k.choices)[rows[:, i]] for i, k in enumerate(self.space.knobs)
            }
            return model.predict(columns(self._workload, self._target, self.space.template, knobs))
        home = np.array(self.digits(self.space.default_schedule()))
        steps = np.abs(rows - home).sum(axis=1).astype(np.float32)
        shuffle = np.array([rng.random() for _ in steps], np.float32)
        scores: Scores = _SHUFFLE * shuffle - steps
        return scores

    def _around(self, schedule: Schedule) -> Iterable[Schedule]:
        return self.space.neighbours(schedule) if self.digits(schedule) is not None else ()

    def _config(self, row: Sequence[int]) -> dict[str, int | str]:
        return {k.name: k.choices[d] for k, d in zip(self.space.knobs, row, strict=True)}


class KernelSearch:
    """Proposes schedules of one workload from all of its spaces, none of them twice."""

    def __init__(
        self,
        workload: Workload,
        target: Target,
        spaces: Sequence[Space],
        seed: int = 0,
        options: Options | None = None,
        among: Collection[Schedule] | None = None,
    ) -> None:
        """``seed`` fixes what chance decides. ``among``: propose no others than these."""
        self.options = options or Options()
        self._grids = [Grid(s, target, workload, self.options, among) for s in spaces]
        self._seen: list[set[tuple[int, ...]]] = [set() for _ in spaces]
        self._seconds: dict[Schedule, float] = {}
        self._rng = random.Random(f"{seed} {workload.key}")
        self.exhausted = False

    def tell(self, schedule: Schedule, seconds: float) -> None:
        """A schedule was measured (infinite seconds: it failed), now or in an earlier session."""
        for grid, seen in zip(self._grids, self._seen, strict=True):
            if (digits := grid.digits(schedule)) is not None:
                seen.add(digits)
                self._seconds[normal(schedule)] = seconds

    def propose(self, count: int, model: CostModel) -> list[Schedule]:
        """Up to ``count`` schedules that were neither told nor proposed before; best guess first.

        Fewer only where the space has no more to offer; then ``exhausted`` is set.
        """
        fastest = sorted(self._seconds, key=lambda s: self._seconds[s])[: self.options.parents]
        rows: list[_Row] = []
        for g, (grid, seen) in enumerate(zip(self._grids, self._seen, strict=True)):
            digits = grid.candidates(seen, fastest, self._rng)
            if len(digits):
                scores = grid.score(digits, model, self._rng)
                rows += zip(scores.tolist(), itertools.repeat(g), map(tuple, digits.tolist()))
        rows.sort(key=lambda row: -row[0])
        self.exhausted = len(rows) <= count
        chosen = self._choose(rows, count)
        for _, g, row in chosen:
            self._seen[g].add(row)
        return [self._grids[g].schedule(row) for _, g, row in chosen]

    def _choose(self, ranked: list[_Row], count: int) -> list[_Row]:
        """The best, and a few at random."""
        random_count = sum(self._rng.random() < self.options.explore for _ in range(count))
        greedy = max(0, count - random_count)
        rest = ranked[greedy:]
        drawn = self._rng.sample(rest, min(len(rest), count - greedy))
        return ranked[:greedy] + drawn
