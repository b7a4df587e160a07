"""Fused attention: any sizes, masks and places of the operands; stable, and honest about NaN."""

from __future__ import annotations

import random

import numpy as np
import pytest
from attentions import odd_sizes, packed, separate
from caller import RUNNABLE, TARGETS, draw, in_turn, verify
from workloads import Builder

from luthier.schedules import ScheduleError
from luthier.schedules.templates.registry import spaces


@pytest.mark.parametrize(("seed", "level"), in_turn(range(6)))
def test_any_sizes(seed, level):
    workload = separate(odd_sizes(random.Random(seed)), heads_first=seed % 2 == 0)
    verify(workload, level, template="attention", relative=1e-5, absolute=2e-6)


@pytest.mark.parametrize(
    ("axes", "level"), in_turn([(), (0,), (1,), (2,), (3,), (2, 3), (0, 1, 2, 3)]), ids=str
)
def test_a_mask_may_vary_along_any_axes(axes, level):
    full = (2, 3, 21, 37)  # batch, heads, keys, rows
    mask = tuple(n if i in axes else 1 for i, n in enumerate(full))
    workload = separate((2, 3, 37, 21, 8, 5), heads_first=False, mask=mask)
    verify(workload, level, samples=1, relative=1e-5, absolute=2e-6)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("empty_is_zero", [False, True])
def test_masked_rows_and_keys(level, empty_is_zero):
    """A third of the scores is -inf, also all of a row and of first blocks."""
    workload = packed(1, 2, 67, 16, empty_is_zero)
    x, mask = draw(workload)
    rng = np.random.default_rng(3)
    mask[rng.random(mask.shape) < 0.3] = -np.inf
    mask[..., 5] = mask[..., 66] = -np.inf
    mask[:, :, :40, 9] = -np.inf
    verify(workload, level, samples=1, inputs=[x, mask], relative=1e-5, absolute=2e-6)


@pytest.mark.parametrize("level", RUNNABLE)
def test_large_scores_do_not_overflow(level):
    """The largest score comes in the last block of keys, or in the first, far from the others."""
    workload = separate((1, 1, 40, 80, 4, 4), heads_first=True)
    q, k, v = draw(workload)
    for key in (0, 79):
        far = k.copy()
        far[:, :, key] *= 3e3
        verify(workload, level, samples=2, inputs=[q, far, v], relative=1e-3, absolute=1e-5)


@pytest.mark.parametrize("level", RUNNABLE)
def test_nan_stays_in_its_row(level):
    workload = separate((1, 1, 20, 33, 4, 4), heads_first=True)
    q, k, v = draw(workload)
    q[0, 0, 7] = np.nan
    verify(workload, level, inputs=[q, k, v], relative=1e-5)


@pytest.mark.parametrize("broken", ["q", "k", "v", "o", "sizes", "scale"])
def test_a_node_that_reads_outside_its_operands_has_no_template(broken):
    """Records come from strangers: their numbers must not reach memory."""
    b = Builder()
    x = b.input((1, 8, 4))
    good = {
        "sizes": (1, 1, 8, 8, 4, 4),
        "scale": 1.0,
        **dict.fromkeys("qkvo", (0, 32, 4, 4)),
    }
    bad = {"sizes": (1, 1, 9, 8, 4, 4), "scale": "inf"}.get(broken, (1, 32, 4, 4))
    b.add("attention", x, x, x, shape=(1, 8, 4), empty_is_zero=False, **{**good, broken: bad})
    with pytest.raises(ScheduleError, match="no template"):
        spaces(b.workload, TARGETS["x86-64-v3"])
