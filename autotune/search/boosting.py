"""Gradient-boosted trees over tables of named columns (Chen and Guestrin, *XGBoost*, KDD 2016)."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.target import available_cores

from .features import Column

Table = Mapping[str, Column]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Trees:
    """How many trees, and how each may grow; XGBoost's names are in ``settings``."""

    rounds: int
    learning_rate: float
    depth: int
    least_child_weight: float = 1.0
    row_share: float = 0.8
    column_share: float = 0.5
    regularisation: float = 1.0
    objective: str = "reg:squarederror"

    def settings(self, seed: int) -> dict[str, Any]:
        """As XGBoost wants them."""
        return {
            "objective": self.objective,
            "eta": self.learning_rate,
            "max_depth": self.depth,
            "min_child_weight": self.least_child_weight,
            "subsample": self.row_share,
            "colsample_bytree": self.column_share,
            "lambda": self.regularisation,
            "nthread": available_cores(),
            "seed": seed,
            "verbosity": 0,
        }


def warm_up() -> None:
    """Import XGBoost beside whatever comes next, since that takes a second or two."""
    name = "import of xgboost"
    threading.Thread(
        target=importlib.import_module, args=("xgboost",), name=name, daemon=True
    ).start()


def matrix(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    """One row a candidate; NaN where the table has no such column."""
    count = len(next(iter(table.values())))
    found = np.full((count, len(names)), np.nan, np.float32)
    for i, name in enumerate(names):
        if name in table:
            found[:, i] = table[name]
    return found


class Booster:
    """A sum of trees that corrects ``before``, what was believed without it."""

    def __init__(
        self,
        rows: NDArray[np.float32],
        labels: Scores,
        trees: Trees,
        *,
        seed: int,
        before: Scores | None = None,
        groups: Sequence[int] | None = None,
    ) -> None:
        """Fit. ``groups``: how many neighbouring rows are of one workload, to rank within."""
        import xgboost  # noqa: PLC0415 - most of a second to import

        data = self._data(rows, before)
        data.set_info(label=labels, group=groups)
        self._booster: Any = xgboost.train(trees.settings(seed), data, trees.rounds)

    def predict(self, rows: NDArray[np.float32], before: Scores | None = None) -> Scores:
        """The corrected belief about each row."""
        scores: Scores = self._booster.inplace_predict(rows, missing=np.nan, base_margin=before)
        return scores

    def contributions(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, columns + 1]: each column's Shapley value, and after them the mean."""
        values: NDArray[np.float32] = self._booster.predict(self._data(rows), pred_contribs=True)
        return values

    @staticmethod
    def _data(rows: NDArray[np.float32], before: Scores | None = None) -> Any:
        import xgboost  # noqa: PLC0415 - most of a second to import

        threads = available_cores()
        return xgboost.DMatrix(rows, missing=np.nan, nthread=threads, base_margin=before)
