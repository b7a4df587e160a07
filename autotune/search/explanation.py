"""Why a winner won: its knobs beside the default's, and what the cost model credits it with.

The credit is the difference of two Shapley values: how far a feature moves the model's prediction
for the winner, less how far it moves that for the default (Lundberg and Lee, *A Unified Approach
to Interpreting Model Predictions*, 2017; XGBoost computes them exactly for trees). It is what the
model believes, which is not a proof of what the processor does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.templates import registry

from ..records.record import Record, normal
from ..records.sources import Sources
from .features import schedule_columns
from .model import CostModel, examples

MOST_CREDITS = 5


@dataclass(frozen=True)
class KnobChoice:
    """A knob in the default schedule and in the winner; None where the template has no such."""

    name: str
    default: int | str | None
    best: int | str | None


@dataclass(frozen=True)
class Credit:
    """``speedup`` is the factor that the model credits to a feature of the winner's.

    ``default`` and ``best`` are the feature's values as the model sees them (see ``features``), NaN
    where the template has no such feature. They differ: where trees split by a feature that did not
    change, what they say of it belongs to others.
    """

    feature: str
    speedup: float
    default: float
    best: float


@dataclass(frozen=True)
class Explanation:
    """A kernel's winner. ``default_seconds`` is infinite where the default was never measured.

    ``credits`` are the largest first, none where the default won or too few records are there.
    """

    workload: Workload
    best: Record
    default_seconds: float
    tried: int
    knobs: tuple[KnobChoice, ...]
    credits: tuple[Credit, ...]

    @property
    def speedup(self) -> float:
        """Of the winner over the default."""
        return self.default_seconds / self.best.seconds


def explain(
    workloads: Iterable[Workload], sources: Sources, seed: int = 0
) -> tuple[Explanation, ...]:
    """Explain the best of one's own records of each workload that has one."""
    model = CostModel(seed=seed)
    model.fit(map(examples, sources.groups()))
    found = (_explained(workload, sources, model) for workload in workloads)
    return tuple(explanation for explanation in found if explanation)


def _explained(workload: Workload, sources: Sources, model: CostModel) -> Explanation | None:
    target = sources.target
    best = sources.winner(workload)
    if best is None:
        return None
    default = normal(registry.default(workload, target))
    tried = sources.measured(workload)
    known = tried.get(default)
    weighed = model.ready and best.schedule != default
    return Explanation(
        workload,
        best,
        _beside(best) or (known.seconds if known else math.inf),
        len(tried),
        _knobs(default, best.schedule),
        _credits(workload, target, (default, best.schedule), model) if weighed else (),
    )


def _beside(best: Record) -> float | None:
    """The default's seconds when it was timed in turns with the best."""
    return best.timing.default if best.timing else None


def _knobs(default: Schedule, best: Schedule) -> tuple[KnobChoice, ...]:
    old, new = dict(default.knobs), dict(best.knobs)
    if default.template != best.template:
        old, new = {"template": default.template, **old}, {"template": best.template, **new}
    return tuple(KnobChoice(name, old.get(name), new.get(name)) for name in old | new)


def _credits(
    workload: Workload, target: Target, pair: tuple[Schedule, Schedule], model: CostModel
) -> tuple[Credit, ...]:
    tables = [schedule_columns(workload, target, [schedule]) for schedule in pair]
    default, best = (model.contributions(table) for table in tables)
    values = [{name: float(column[0]) for name, column in table.items()} for table in tables]
    changed = {name for name in best if values[0].get(name) != values[1].get(name)}
    gains = {name: best[name] - default[name] for name in changed}
    most = sorted(gains, key=lambda name: (-abs(gains[name]), name))[:MOST_CREDITS]
    return tuple(
        Credit(
            name,
            math.exp(gains[name]),
            values[0].get(name, math.nan),
            values[1].get(name, math.nan),
        )
        for name in most
        if gains[name]
    )
