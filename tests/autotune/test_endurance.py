"""A session that lasts: many trials, no hang, no failure, and no memory kept."""

from __future__ import annotations

import pytest

from bench.endurance import MOST_GROWTH, endure


@pytest.mark.slow
@pytest.mark.alone
def test_hundreds_of_trials_leave_nothing_behind():
    """``python -m bench.endurance`` does the same with thousands."""
    shown = endure(300)
    assert shown.outcomes == {"ok": 300}
    assert shown.peak < MOST_GROWTH
    assert shown.slowest < 60
