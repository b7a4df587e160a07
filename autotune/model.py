"""The cost model: gradient-boosted trees that rank candidates before any is built.

XGBoost learns from all records of a target the logarithm of a candidate's speed relative to the
best of its workload, as in TenSet (Zheng et al., NeurIPS 2021). It is fitted from records in every
session: a booster is never stored or loaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.target import available_cores

from .features import Column, schedule_columns
from .record import Record

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class HyperParameters:
    """``rounds`` trees; ``worst`` is the label (log of relative speed) of failures and laggards.

    Below ``least_rows`` examples the model does not answer; beyond ``most_rows`` the oldest
    workloads are left out.
    """

    rounds: int = 150
    learning_rate: float = 0.1
    depth: int = 6
    least_child_weight: float = 1.0
    row_share: float = 0.9
    column_share: float = 0.6
    regularisation: float = 1.0
    worst: float = -3.0
    least_rows: int = 20
    most_rows: int = 20_000


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
    """Predicts, once fitted to enough examples, which of a workload's candidates are fast."""

    def __init__(self, parameters: HyperParameters | None = None, seed: int = 0) -> None:
        """Not fitted yet."""
        self.parameters = parameters or HyperParameters()
        self._seed = seed
        self._booster: Any = None
        self._names: list[str] = []
        self.rows = 0

    @property
    def ready(self) -> bool:
        """Whether it has seen enough to be asked."""
        return self._booster is not None

    def fit(self, groups: Iterable[Examples]) -> None:
        """Learn from scratch; later groups matter most where there are too many."""
        tables, labels, rows = [], [], 0
        for group in reversed(list(groups)):
            try:
                found = _tables(group, self.parameters.worst)
            except (ArithmeticError, LookupError, TypeError, ValueError):
                continue  # a workload of someone else's log that makes no sense
            for table, label in found:
                tables.append(table)
                labels.append(label)
                rows += len(label)
            if rows >= self.parameters.most_rows:
                break
        self.rows = rows
        if rows < self.parameters.least_rows:
            return
        self._names = sorted(set(itertools.chain.from_iterable(tables)))
        matrix = np.concatenate([self._matrix(table) for table in tables])
        self._booster = self._train(matrix, np.concatenate(labels))

    def predict(self, table: Mapping[str, Column]) -> Scores:
        """Expected log of relative speed, higher is better, for the columns of candidates."""
        scores: Scores = self._booster.inplace_predict(self._matrix(table), missing=np.nan)
        return scores

    def contributions(self, table: Mapping[str, Column]) -> dict[str, float]:
        """How far each feature of one candidate moves its prediction: its Shapley value."""
        import xgboost  # noqa: PLC0415 - most of a second to import

        data = xgboost.DMatrix(self._matrix(table), missing=np.nan)
        (values,) = self._booster.predict(data, pred_contribs=True)
        return dict(zip(self._names, values[:-1].tolist(), strict=True))  # the last is the mean

    def _matrix(self, table: Mapping[str, Column]) -> NDArray[np.float32]:
        count = len(next(iter(table.values())))
        matrix = np.full((count, len(self._names)), np.nan, np.float32)
        for i, name in enumerate(self._names):
            if name in table:
                matrix[:, i] = table[name]
        return matrix

    def _train(self, matrix: NDArray[np.float32], labels: Scores) -> Any:
        import xgboost  # noqa: PLC0415 - most of a second to import

        p = self.parameters
        settings = {
            "objective": "reg:squarederror",
            "eta": p.learning_rate,
            "max_depth": p.depth,
            "min_child_weight": p.least_child_weight,
            "subsample": p.row_share,
            "colsample_bytree": p.column_share,
            "lambda": p.regularisation,
            "nthread": available_cores(),
            "seed": self._seed,
            "verbosity": 0,
        }
        data = xgboost.DMatrix(matrix, labels, missing=np.nan, nthread=available_cores())
        return xgboost.train(settings, data, p.rounds)


def _tables(group: Examples, worst: float) -> list[tuple[dict[str, Column], Scores]]:
    """Columns and labels, a pair for each template and version."""
    seconds = np.array(group.seconds, np.float64)
    best = seconds.min(initial=np.inf)
    if not np.isfinite(best):
        return []
    labels = np.maximum(np.log(best) - np.log(seconds), worst).astype(np.float32)
    kinds: dict[tuple[object, ...], list[int]] = {}
    for i, s in enumerate(group.schedules):
        kinds.setdefault((s.template, s.version, tuple(sorted(k for k, _ in s.knobs))), []).append(
            i
        )
    found = []
    for members in kinds.values():
        schedules = [group.schedules[i] for i in members]
        table = schedule_columns(group.workload, group.target, schedules)
        found.append((table, labels[members]))
    return found
