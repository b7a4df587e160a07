"""The cheapest way through a matrix, against what it is by definition."""

from __future__ import annotations

import numpy as np
from workloads import Builder

from luthier.schedules import Target
from luthier.schedules.execute import LoadedKernel
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.templates.registry import default, instantiate

TARGET = Target("x86-64-v2", "x86-64-v2", 1)


def cheapest(x: np.ndarray) -> float:
    """What the cheapest way costs."""
    costs = np.full((x.shape[0] + 1, x.shape[1] + 1), np.inf)
    costs[0, 0] = 0
    for i, j in np.ndindex(x.shape):
        costs[i + 1, j + 1] = x[i, j] + min(costs[i, j], costs[i, j + 1], costs[i + 1, j])
    return float(costs[-1, -1])


def test_the_way_through_matrices() -> None:
    rng = np.random.default_rng(0)
    for rows, columns in ((7, 5), (1, 4), (6, 1)):
        b = Builder()
        shape = (2, rows + columns)
        b.add("warp", b.input((rows, columns)), shape=shape, dtype="int32")
        kernel = LoadedKernel(instantiate(b.workload, TARGET, default(b.workload, TARGET)), TARGET)
        drawn = [rng.standard_normal((rows, columns)) for _ in range(5)]
        drawn += [rng.integers(0, 3, (rows, columns)) for _ in range(10)]
        drawn += [np.where(x > 1, each, x) for x in drawn[:5] for each in (np.inf, np.nan, -0.0)]
        for x in (each.astype(np.float32) for each in drawn):
            path = kernel.run([x])
            np.testing.assert_array_equal(path, evaluate(b.workload.nodes[0], [x]))
            way = path[:, path[0] >= 0]
            if np.isnan(x).any():
                continue
            steps = np.diff(way, axis=1)
            assert way[:, -1].tolist() == [rows - 1, columns - 1]
            assert ((steps >= 0) & (steps <= 1)).all()
            assert steps.any(0).all()
            unique = np.isfinite(x).all() and len(np.unique(x)) == x.size
            if unique:  # else it may be another: see ``ops.search``
                assert not way[:, 0].any()
                assert np.isclose(x[way[0], way[1]].sum(), cheapest(x), 1e-5, 1e-5)
