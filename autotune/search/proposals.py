"""Which schedules of one kernel to measure next."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Schedule, Space, Target, Workload

from .boosting import Scores
from .features import columns
from .history import History
from .model import CostModel, Examples, Refined

_TIE = np.float32(1e-3)  # of the logarithm of speed: no difference that could be measured
Digits = NDArray[np.int16]  # one row a candidate, one choice's position a knob
Ranked = tuple[Digits, Scores]  # candidates, and [members, candidates]


@dataclass(frozen=True)
class Options:
    """``explore`` is the share of a batch that is drawn at random.

    A space with at most ``enumerable`` combinations is scored as a whole. Of a larger one,
    ``samples`` random schedules, for each batch ``fresh`` more (the oldest are forgotten beyond
    twice ``samples``), and the neighbourhood of the ``parents`` fastest known are, and then
    ``generations`` times the neighbourhood of those with the highest scores.
    """

    explore: float = 0.1
    enumerable: int = 50_000
    samples: int = 2_000
    fresh: int = 500
    parents: int = 8
    generations: int = 2


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
        self._drawn: list[tuple[int, ...]] = []

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

    @cached_property
    def _places(self) -> dict[tuple[int, ...], int]:
        return {row: i for i, row in enumerate(map(tuple, self.whole.tolist()))}

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

    def scored(
        self,
        seen: set[tuple[int, ...]],
        parents: Iterable[Schedule],
        model: Refined,
        rng: random.Random,
    ) -> Ranked:
        """Rows to choose from, none of them seen, and what the model's members think of each."""
        if self.enumerable:
            left = np.ones(len(self.whole), bool)
            left[[self._places[row] for row in seen if row in self._places]] = False
            return self.whole[left], self._score(self.whole[left], model)
        wanted = self._options.samples if not self._drawn else self._options.fresh
        self._drawn += self._rows(self.space.sample(rng) for _ in range(wanted))
        del self._drawn[: -2 * self._options.samples]
        rows = self._fresh(itertools.chain(self._drawn, self._rows(self._around(parents))), seen)
        scores = self._score(rows, model)
        for _ in range(self._options.generations if len(rows) else 0):
            best = np.argsort(-scores.max(axis=0), kind="stable")[: self._options.parents]
            known = {*seen, *map(tuple, rows.tolist())}
            near = self._around(map(self.schedule, rows[best].tolist()))
            more = self._fresh(self._rows(near), known)
            rows = np.concatenate([rows, more])
            scores = np.concatenate([scores, self._score(more, model)], axis=1)
        return rows, scores

    def near(self, schedule: Schedule, seen: set[tuple[int, ...]], model: Refined) -> Ranked:
        """Rows that differ from a schedule's in one knob, none of them seen, with their scores."""
        rows = self._fresh(self._rows(self._around([schedule])), seen)
        return rows, self._score(rows, model)

    def _score(self, rows: Digits, model: Refined) -> Scores:
        knobs = {k.name: np.array(k.choices)[rows[:, i]] for i, k in enumerate(self.space.knobs)}
        if not len(rows):
            return np.empty((model.members, 0), np.float32)
        return model.predict(columns(self._workload, self._target, self.space.template, knobs))

    def _rows(self, schedules: Iterable[Schedule]) -> Iterator[tuple[int, ...]]:
        return (row for s in schedules if (row := self.digits(s)) is not None)

    def _fresh(self, rows: Iterable[tuple[int, ...]], seen: set[tuple[int, ...]]) -> Digits:
        unique = set(rows) - seen
        if self._among is not None:
            unique &= self._places.keys()
        return np.array(sorted(unique), np.int16).reshape(len(unique), len(self.space.knobs))

    def _around(self, schedules: Iterable[Schedule]) -> Iterator[Schedule]:
        for schedule in schedules:
            if self.digits(schedule) is not None:
                yield from self.space.neighbours(schedule)

    def _config(self, row: Sequence[int]) -> dict[str, int | str]:
        return {k.name: k.choices[d] for k, d in zip(self.space.knobs, row, strict=True)}


class KernelSearch:
    """Proposes schedules of one workload from all of its spaces, none of them twice."""

    def __init__(
        self,
        history: History,
        target: Target,
        spaces: Sequence[Space],
        seed: int = 0,
        options: Options | None = None,
        among: Collection[Schedule] | None = None,
    ) -> None:
        """``seed`` fixes what chance decides. ``among``: propose no others than these."""
        self.options = options or Options()
        self._history, self._target = history, target
        workload = history.workload
        self._grids = [Grid(s, target, workload, self.options, among) for s in spaces]
        self._seen: list[set[tuple[int, ...]]] = [set() for _ in spaces]
        self._rng = random.Random(f"{seed} {workload.key}")
        self.exhausted = False

    def propose(self, count: int, model: CostModel, *, near: bool = False) -> list[Schedule]:
        """Up to ``count`` schedules neither known nor proposed before; best guess first.

        ``near``: only such that differ from the fastest known in one knob. Fewer only where there
        are no more; then, without ``near``, ``exhausted`` is set.
        """
        seconds = self._history.seconds
        known = sorted(filter(self._holds, seconds), key=lambda s: seconds[s])
        times = [seconds[s] for s in known]
        refined = model.refined(Examples(self._history.workload, self._target, known, times))
        ranked: list[Ranked] = []
        for grid, seen in zip(self._grids, self._seen, strict=True):
            if near:
                ranked.append(grid.near(known[0], seen, refined))
            else:
                parents = known[: self.options.parents]
                ranked.append(grid.scored(seen, parents, refined, self._rng))
        places = [(g, i) for g, (digits, _) in enumerate(ranked) for i in range(len(digits))]
        if not near:
            self.exhausted = len(places) <= count
        scores = np.concatenate([score for _, score in ranked], axis=1)
        chosen = [places[i] for i in self._choose(scores, count)]
        rows = [(g, tuple(ranked[g][0][i].tolist())) for g, i in chosen]
        for g, row in rows:
            self._seen[g].add(row)
        return [self._grids[g].schedule(row) for g, row in rows]

    def _holds(self, schedule: Schedule) -> bool:
        """Whether a space has it, which then is not proposed any more."""
        found = [grid.digits(schedule) for grid in self._grids]
        for row, seen in zip(found, self._seen, strict=True):
            if row is not None:
                seen.add(row)
        return any(row is not None for row in found)

    def _choose(self, scores: Scores, count: int) -> list[int]:
        """Each member's favourite in turns, and a few at random; between equals chance decides."""
        chance = np.random.default_rng(self._rng.getrandbits(32))
        scores = scores + _TIE * chance.random(scores.shape[1], np.float32)
        left = np.ones(scores.shape[1], bool)
        chosen: list[int] = []
        for turn in range(min(count, scores.shape[1])):
            if self._rng.random() < self.options.explore:
                pick = self._rng.choice(np.flatnonzero(left).tolist())
            else:
                member = scores[turn % len(scores)]
                pick = int(np.where(left, member, -np.inf).argmax())
            left[pick] = False
            chosen.append(pick)
        return chosen
