"""Timings that something else on the machine disturbed are repeated, then marked.

Pulses are seconds of something that never changes; on a quiet machine it takes 1 here.
"""

from __future__ import annotations

import math

from luthier.autotune.measure.harness import Harness, compile_harness
from luthier.autotune.measure.measurement import Measurement, side_by_side
from luthier.autotune.measure.messages import Ran
from luthier.autotune.measure.runner import timed
from luthier.autotune.records.record import Outcome
from luthier.schedules import Schedule

CANDIDATE = Schedule("pointwise", 1, (("grain", 1024),))


def timing(*pulses: float, quiet: float = 1.0):
    tries = iter(([1e-3], [2e-3]))
    left = iter(pulses)
    shown = timed(lambda: next(tries), lambda: next(left), quiet)
    assert not list(left)
    return shown


def test_a_quiet_timing_is_taken_once():
    shown = timing(1.05, 1.01)
    assert shown == Ran(Outcome.OK, samples=(1e-3,), pulse=1.01)


def test_a_disturbed_one_is_taken_again():
    for first in ((1.5, 1.0), (1.0, 1.5)):
        shown = timing(*first, 1.02, 1.0)
        assert (shown.samples, shown.disturbed) == ((2e-3,), False)


def test_it_is_marked_when_noise_lasts():
    assert timing(1.5, 1.0, 1.0, 2.0).disturbed


def test_the_first_timing_of_a_session_has_its_own_pulses_to_go_by():
    assert not timing(1.5, 1.5, quiet=math.inf).disturbed
    assert timing(1.5, 2.0, 2.0, 1.5, quiet=math.inf).disturbed


def test_real_pulses_are_short(tmp_path):
    """Candidates are many: what is timed between them must not take longer than they do."""
    harness = Harness(str(compile_harness(tmp_path)))
    harness.start(2)
    assert 1e-4 < min(harness.pulse() for _ in range(20)) < 4e-3


def measured(*samples: float, disturbed: bool = False) -> Measurement:
    return Measurement(CANDIDATE, Outcome.OK, samples, disturbed=disturbed)


def test_only_rounds_in_which_all_were_undisturbed_count():
    """What else ran slowed one of the two, and not the other."""
    quiet = [measured(2e-3), measured(1e-3)]
    noisy = [measured(2e-3), measured(3e-3, disturbed=True)]
    default, other = side_by_side([noisy, quiet, quiet])
    assert (default.samples, other.samples) == ((2e-3, 2e-3), (1e-3, 1e-3))
    assert not default.disturbed
    assert not other.disturbed


def test_where_no_round_was_quiet_all_are_marked():
    noisy = [measured(2e-3, disturbed=True), measured(3e-3)]
    assert [m.disturbed for m in side_by_side([noisy, noisy])] == [True, True]


def test_each_tells_the_time_of_the_default_in_the_same_rounds():
    rounds = [[measured(2e-3), measured(1e-3)], [measured(4e-3), measured(1e-3)]]
    assert [m.beside for m in side_by_side(rounds)] == [3e-3, 3e-3]
    failed = Measurement(CANDIDATE, Outcome.CRASHED)
    assert [m.beside for m in side_by_side([[measured(1e-3), failed]])] == [1e-3, None]
    assert [m.beside for m in side_by_side([[failed, measured(1e-3)]])] == [None, None]


def test_a_default_does_not_lose_by_its_mark_alone():
    default, slower = measured(1e-3, 1e-3, 2e-3, 2e-3), measured(*(1.55e-3,) * 4)
    assert [m.disturbed for m in side_by_side([[default, slower]])] == [True, True]
    assert [m.disturbed for m in side_by_side([[slower, default]])] == [False, False]
    failed = Measurement(CANDIDATE, Outcome.CRASHED)
    assert [m.disturbed for m in side_by_side([[failed, slower]])] == [False, False]
