"""What is shown while tuning: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import math

import pytest

from luthier.autotune import Progress
from luthier.commands import progress
from luthier.commands.progress import clock, fraction, milliseconds, ratio, tuning_display


def step(trials: int = 37, total: int = 500, **changes: object) -> Progress:
    values = {
        "stage": "trials",
        "kernel": "matmul+relu(float32[1,64], float32[64,10]) -> float32[1,10]",
        "trials": trials,
        "total": total,
        "kernel_default": 2e-3,
        "kernel_best": 1.5e-3,
        "before": 10e-3,
        "after": 8e-3,
        "elapsed": 30.0,
        "eta": 90.0,
    }
    return Progress(**{**values, **changes})


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool, *steps: Progress) -> str:
    stream = io.StringIO()
    console = progress.Console
    monkeypatch.setattr(
        progress, "Console", lambda stderr: console(
            file=stream, force_terminal=terminal, width=160, color_system=None
        )
    )  # fmt: skip
    with tuning_display() as show:
        for now in steps:
            show(now)
    return stream.getvalue()


def test_a_terminal_sees_kernel_trials_best_and_time_left(monkeypatch):
    text = shown(monkeypatch, True, step())
    assert "37/500 trials" in text
    assert "model 10 ms -> 8 ms (1.25x)" in text
    assert "ETA 01:30" in text
    assert "matmul+relu 1.5 ms (default 2 ms)" in text


def test_elsewhere_the_first_and_the_last_step_are_lines(monkeypatch):
    text = shown(monkeypatch, False, *(step(n, 100) for n in range(1, 101)))
    first, last = text.splitlines()
    assert first.startswith("1/100 trials  model 10 ms -> 8 ms (1.25x)  ETA 01:30  matmul+relu(")
    assert last.startswith("100/100 trials")
    assert "\x1b" not in text


def test_a_kernel_s_name_is_no_markup(monkeypatch):
    text = shown(monkeypatch, False, step(kernel="take(int64[1]) [bold]x[/bold]"))
    assert "take(int64[1]) [bold]x[/bold]" in text


def test_without_a_number_of_trials_time_is_what_passes():
    assert fraction(step(50, 200)) == 0.25
    assert fraction(step(50, 1 << 40, elapsed=30.0, eta=90.0)) == 0.25
    assert fraction(step(stage="final")) == 1
    assert progress.trials(step(50, 1 << 40)) == "50 trials"
    assert progress.trials(step(50, stage="final")) == "50 trials, rechecking"


def test_what_is_not_known_yet():
    assert progress.speed(step(before=math.inf)) == "measuring the default schedules"
    assert milliseconds(math.inf) == "? ms"
    assert ratio(math.inf, 1.0) == ratio(1.0, math.inf) == ratio(1.0, 0.0) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (65, "01:05"), (3600, "1:00:00"), (1e12, "99:59:59"), (math.inf, "99:59:59")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text
