"""NaN and infinity reach what reads them and nothing else, but for Winograd's tiles."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, compare, draw, magnitude, reference, schedules
from workloads import conv, conv_transpose, matmul, pool, separable

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.templates.registry import instantiate

PAD = (1, 1, 1, 1)
Array = np.ndarray

SUMS = {
    "3x3": conv((1, 13, 14, 19), 21, (3, 3), pads=PAD),
    "3x3 of stride 2": conv((1, 13, 14, 19), 21, (3, 3), strides=(2, 2), pads=PAD),
    "1x1": conv((1, 9, 11, 19), 37, (1, 1)),
    "of groups": conv((1, 9, 11, 24), 24, (3, 3), pads=PAD, groups=4),
    "depthwise": conv((1, 9, 11, 21), 21, (3, 3), pads=PAD, groups=21),
    "depthwise after 1x1": separable((1, 9, 11, 7), 21, (3, 3), pads=PAD),
    "dilated": conv((1, 13, 11, 5), 6, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2)),
    "transposed": conv_transpose((1, 7, 6, 9), 11, (3, 3), strides=(2, 2), pads=PAD),
    "product": matmul((2, 9, 17), (2, 17, 35)),
    "maximum": pool("max_pool2d", (1, 9, 11, 21), (3, 3), pads=PAD),
    "mean": pool("avg_pool2d", (1, 9, 11, 21), (3, 3), pads=PAD),
}


def spoilt(workload: Workload, value: float, seed: int) -> tuple[list[Array], tuple[int, ...]]:
    """Random inputs whose first holds ``value`` at one place, and that place."""
    inputs = draw(workload, seed)
    rng = np.random.default_rng(seed)
    at = tuple(int(rng.integers(0, d)) for d in inputs[0].shape)
    inputs[0][at] = value
    return inputs, at


def compiled(chosen: list[Schedule], workload: Workload, target: Target) -> Library:
    return Library([instantiate(workload, target, s) for s in chosen], target)


@pytest.mark.parametrize("level", RUNNABLE[-1:])
@pytest.mark.parametrize("name", SUMS)
def test_sums_of_products_and_windows_keep_them_where_they_are_read(name, level):
    workload = SUMS[name]
    target = replace(TARGETS[level], accuracy="strict")
    chosen = list(schedules(workload, target, 3))
    library = compiled(chosen, workload, target)
    for seed, value in enumerate([np.nan, np.inf, -np.inf]):
        inputs, at = spoilt(workload, value, seed)
        want = reference(workload, inputs)
        lost = (~np.isfinite(want)).sum()
        assert lost < want.size
        assert lost or (name, value) == ("maximum", -np.inf)
        with np.errstate(all="ignore"):
            allowed = 1e-5 + 1e-5 * np.nan_to_num(magnitude(workload, inputs), posinf=0)
        for i, schedule in enumerate(chosen):
            got = library.run(i, inputs, random.Random(i))
            compare(got, want, allowed, f"{schedule}, {value} at {at}")


def reach(at: tuple[int, ...], m: int, kernel: tuple[int, int], size: tuple[int, int]) -> Array:
    """The places whose tile of outputs, ``m`` along each side with taps, reads the place ``at``."""
    marks = []
    for place, taps, extent in zip(at[1:3], kernel, size, strict=True):
        tile = m if taps > 1 else 1
        first = np.arange(extent) // tile * tile - taps // 2  # of what the tile reads
        marks.append((first <= place) & (place < first + tile + taps - 1))
    return marks[0][:, None] & marks[1][None]


WIDEST = {  # by taps along a side and outputs of a tile, the outputs that one input reaches
    (3, 2): 4, (3, 4): 8, (3, 6): 12, (5, 2): 6, (5, 4): 8, (7, 2): 8,
}  # fmt: skip
SPREAD = {
    "3x3": (SUMS["3x3"], {2, 4}),
    "5x5": (conv((1, 13, 14, 9), 21, (5, 5), pads=(2, 2, 2, 2)), {2, 4}),
    "a row": (conv((1, 3, 40, 19), 21, (1, 3), pads=(0, 1, 0, 1)), {2, 4, 6}),
    "a column": (conv((1, 40, 3, 19), 21, (7, 1), pads=(3, 0, 3, 0)), {2}),
}


@pytest.mark.parametrize("level", RUNNABLE[-1:])
@pytest.mark.parametrize("name", SPREAD)
def test_winograd_spreads_them_over_the_tiles_that_read_them(name, level):
    """As docs/models.md says; a tile has all channels."""
    workload, tiles = SPREAD[name]
    kernel = workload.inputs[1].shape[1:3]
    target = TARGETS[level]
    by_tile: dict[object, list[Schedule]] = {}
    for schedule in schedules(workload, target, 12):
        tile = schedule["m"] if schedule.template.startswith("winograd") else 1
        by_tile.setdefault(tile, []).append(schedule)
    assert by_tile.keys() == {1, *tiles}
    chosen = [schedule for found in by_tile.values() for schedule in found[:2]]
    library = compiled(chosen, workload, target)
    for seed, value in enumerate([np.nan, np.inf, -np.inf, np.nan]):
        inputs, at = spoilt(workload, value, seed)
        clean = [np.where(np.isfinite(a), a, 0).astype(a.dtype) for a in inputs]
        want, rest = reference(workload, inputs), reference(workload, clean)
        for i, schedule in enumerate(chosen):
            got = library.run(i, inputs, random.Random(i))
            lost = ~np.isfinite(got).all(axis=(0, 3))
            read = ~np.isfinite(want).all(axis=(0, 3))
            assert (lost >= read).all(), "what reads it has it"
            if not schedule.template.startswith("winograd"):
                assert (lost == read).all(), schedule
                continue
            tile = reach(at, int(schedule["m"]), kernel, got.shape[1:3])
            most = [1 if taps == 1 else WIDEST[taps, schedule["m"]] for taps in kernel]
            assert tile.sum() <= most[0] * most[1]
            assert (lost <= tile).all(), f"{schedule}, {value} at {at}"
            np.testing.assert_allclose(got[:, ~tile], rest[:, ~tile], rtol=1e-3, atol=1e-4)
