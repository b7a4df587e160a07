"""The errors that ``schedules/tir/circular.py`` states, over the whole range of float32."""

from __future__ import annotations

import numpy as np
import pytest
from caller import RUNNABLE
from test_mathfn import computed, ulps

FUNCTIONS = {
    "sin": (np.sin, 2),
    "cos": (np.cos, 2),
    "tan": (np.tan, 4),
    "sinh": (np.sinh, 4),
    "cosh": (np.cosh, 4),
    "asin": (np.arcsin, 3),
    "acos": (np.arccos, 3),
    "atan": (np.arctan, 3),
    "asinh": (np.arcsinh, 4),
    "acosh": (np.arccosh, 4),
    "atanh": (np.arctanh, 4),
}
ODD = ("sin", "tan", "sinh", "asin", "atan", "asinh", "atanh", "round")


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_errors_are_within_what_is_stated(op: str, level: str) -> None:
    function, most = FUNCTIONS[op]
    x, got = computed(op, level)
    with np.errstate(all="ignore"):
        want = function(x.astype(np.float64))
        rounded = want.astype(np.float32)
    assert (np.isnan(got) == np.isnan(want)).all()
    finite = np.isfinite(rounded)
    assert (got[~finite & ~np.isnan(want)] == rounded[~finite & ~np.isnan(want)]).all()
    errors = ulps(got[finite], want[finite])
    assert errors.max() <= most, x[finite][errors.argmax()]


@pytest.mark.parametrize("level", RUNNABLE)
def test_round_is_exact_and_to_even(level: str) -> None:
    x, got = computed("round", level)
    assert (got == np.round(x)).all()
    assert (np.signbit(got) == np.signbit(x)).all()


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", [*FUNCTIONS, "round"])
def test_what_is_not_finite_is_as_numpy_has_it(op: str, level: str) -> None:
    function = FUNCTIONS[op][0] if op in FUNCTIONS else np.round
    x, got = computed(op, level, "special")
    with np.errstate(all="ignore"):
        want = function(x.astype(np.float64)).astype(np.float32)
    strange = ~np.isfinite(x) | ~np.isfinite(want)
    np.testing.assert_array_equal(got[strange], want[strange])
    if op in ODD:
        assert (np.signbit(got[:2]) == [False, True]).all()
