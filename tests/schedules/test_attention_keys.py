"""Attention with keys as lanes, by a template of its own: as ``test_attention``."""

from __future__ import annotations

import random

import numpy as np
import pytest
from attentions import odd_sizes, packed, separate
from caller import RUNNABLE, TARGETS, draw, in_turn, verify

from luthier.schedules.templates.registry import forms

KEYS = {"template": "attention_keys"}
CLOSE = {"relative": 1e-5, "absolute": 2e-6}


@pytest.mark.parametrize(("seed", "level"), in_turn(range(8)))
def test_any_sizes(seed, level):
    workload = separate(odd_sizes(random.Random(seed)), heads_first=seed % 2 == 0)
    verify(workload, level, **KEYS, **CLOSE)


@pytest.mark.parametrize("keys", [1, 15, 16, 17, 48])
def test_panels_of_keys_that_are_full_and_not(keys):
    verify(separate((1, 2, 9, keys, 16, 16), True), RUNNABLE[-1], **KEYS, **CLOSE)


@pytest.mark.parametrize(
    ("axes", "level"), in_turn([(), (0,), (1,), (2,), (3,), (2, 3), (0, 1, 2, 3)]), ids=str
)
def test_a_mask_may_vary_along_any_axes(axes, level):
    full = (2, 3, 21, 11)  # batch, heads, keys, rows
    mask = tuple(n if i in axes else 1 for i, n in enumerate(full))
    workload = separate((2, 3, 11, 21, 8, 5), heads_first=False, mask=mask)
    verify(workload, level, samples=1, **KEYS, **CLOSE)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("empty_is_zero", [False, True])
def test_masked_rows_and_keys(level, empty_is_zero):
    """A third of the scores is -inf, or all of a row."""
    workload = packed(1, 2, 19, 16, empty_is_zero)
    x, mask = draw(workload)
    mask[np.random.default_rng(3).random(mask.shape) < 0.3] = -np.inf
    mask[..., 5] = mask[..., 18] = -np.inf
    verify(workload, level, samples=1, inputs=[x, mask], **KEYS, **CLOSE)


@pytest.mark.parametrize("level", RUNNABLE)
def test_large_scores_do_not_overflow(level):
    workload = separate((1, 2, 9, 80, 4, 4), heads_first=True)
    q, k, v = draw(workload)
    for key in (0, 79):
        far = k.copy()
        far[:, :, key] *= 3e3
        verify(workload, level, inputs=[q, far, v], **KEYS, relative=1e-3, absolute=1e-5)


@pytest.mark.parametrize("level", RUNNABLE)
def test_nan_stays_in_its_row(level):
    workload = separate((1, 1, 10, 33, 4, 4), heads_first=True)
    q, k, v = draw(workload)
    q[0, 0, 3] = np.nan
    verify(workload, level, inputs=[q, k, v], **KEYS, relative=1e-5)


def test_it_is_the_default_where_rows_would_leave_lanes_idle():
    target = TARGETS["x86-64-v3"]

    def first(rows: int) -> str:
        return forms(separate((1, 8, rows, 100, 64, 64), True), target)[0].name

    assert [first(rows) for rows in (9, 17)] == ["attention_keys"] * 2
    assert [first(rows) for rows in (16, 24, 512)] == ["attention"] * 3
