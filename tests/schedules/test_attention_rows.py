"""Attention of few queries, by a template of its own: as ``test_attention``, row by row."""

from __future__ import annotations

import random

import numpy as np
import pytest
from attentions import packed, separate
from caller import RUNNABLE, TARGETS, draw, in_turn, verify

from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.templates.registry import forms

ROWS = {"template": "attention_rows"}
CLOSE = {"relative": 1e-5, "absolute": 2e-6}


@pytest.mark.parametrize(("seed", "level"), in_turn(range(8)))
def test_any_sizes(seed, level):
    rng = random.Random(seed)
    rows = rng.randint(1, TARGETS[level].lanes(FLOAT32) // 4)
    depth = rng.choice([rng.randint(1, 40), 16, 64, 80])
    sizes = (rng.randint(1, 2), rng.randint(1, 3), rows, rng.randint(1, 90), depth)
    workload = separate((*sizes, rng.randint(1, 150)), heads_first=seed % 2 == 0)
    verify(workload, level, **ROWS, **CLOSE)


@pytest.mark.parametrize("keys", [1, 15, 16, 17, 48])
def test_groups_of_keys_that_are_full_and_not(keys):
    verify(separate((1, 2, 1, keys, 16, 16), True), RUNNABLE[-1], **ROWS, **CLOSE)


@pytest.mark.parametrize(
    ("axes", "level"), in_turn([(), (0,), (1,), (2,), (3,), (2, 3), (0, 1, 2, 3)]), ids=str
)
def test_a_mask_may_vary_along_any_axes(axes, level):
    full = (2, 3, 21, 1)  # batch, heads, keys, rows
    mask = tuple(n if i in axes else 1 for i, n in enumerate(full))
    workload = separate((2, 3, 1, 21, 8, 5), heads_first=False, mask=mask)
    verify(workload, level, samples=1, **ROWS, **CLOSE)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("empty_is_zero", [False, True])
def test_masked_keys(level, empty_is_zero):
    """Some of the scores are -inf, or all of a row."""
    rows = TARGETS[level].lanes(FLOAT32) // 4
    workload = packed(1, 3, rows, 16, empty_is_zero)
    x, mask = draw(workload)
    mask[..., rows - 1] = -np.inf
    verify(workload, level, samples=1, inputs=[x, mask], **ROWS, **CLOSE)


@pytest.mark.parametrize("level", RUNNABLE)
def test_large_scores_do_not_overflow(level):
    workload = separate((1, 2, 1, 80, 4, 4), heads_first=True)
    q, k, v = draw(workload)
    for key in (0, 79):
        far = k.copy()
        far[:, :, key] *= 3e3
        verify(workload, level, samples=2, inputs=[q, far, v], relative=1e-3, absolute=1e-5)


@pytest.mark.parametrize("level", RUNNABLE)
def test_nan_stays_in_its_row(level):
    workload = separate((1, 3, 1, 33, 4, 4), heads_first=True)
    q, k, v = draw(workload)
    q[0, 1] = np.nan
    verify(workload, level, inputs=[q, k, v], **ROWS, relative=1e-5)


def test_rows_are_few_where_they_would_fill_a_quarter_of_the_lanes():
    target = TARGETS["x86-64-v4"]
    few, more = (separate((1, 1, rows, 9, 4, 4), True) for rows in (4, 5))
    assert [f.name for f in forms(few, target)] == ["attention_rows", "attention_keys", "attention"]
    assert "attention_rows" not in [f.name for f in forms(more, target)]
