"""What is shown while tuning: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import math

import pytest

from luthier.autotune import Progress
from luthier.autotune.search.results import STAGES
from luthier.commands import progress
from luthier.commands.progress import fraction, tuning_display
from luthier.commands.times import clock, milliseconds, ratio


def step(trials: int = 37, total: int = 500, **changes: object) -> Progress:
    values = {
        "stage": "trials",
        "doing": "measuring",
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
    assert first.startswith(
        "1/100 trials  model 10 ms -> 8 ms (1.25x)  ETA 01:30  measuring  matmul+relu("
    )
    assert last.startswith("100/100 trials")
    assert "\x1b" not in text


def test_a_kernel_s_name_is_not_markup(monkeypatch):
    text = shown(monkeypatch, False, step(kernel="take(int64[1]) [bold]x[/bold]"))
    assert "take(int64[1]) [bold]x[/bold]" in text


def test_without_a_number_of_trials_the_bar_shows_time():
    assert fraction(step(50, 200, eta=math.inf)) == 0.25
    assert fraction(step(50, 1 << 40, elapsed=30.0, eta=90.0)) == 0.25
    assert fraction(step(50, 1 << 40, eta=math.inf)) == 0
    assert progress.done(step(50, 1 << 40)) == "50 trials"


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_name_and_begins_with_a_line(monkeypatch, stage):
    text = shown(monkeypatch, False, step(stage="workers"), step(stage=stage, doing="at it"))
    assert progress.done(step(stage=stage)) in text.splitlines()[-1]
    if stage != "workers":
        assert "at it" in text.splitlines()[-1]


class TestTime:
    """It passes though nothing is reported."""

    @pytest.fixture
    def clock(self, monkeypatch):
        passed = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: passed[0])
        return passed

    @pytest.mark.parametrize(("seconds", "left"), [(0, "01:30"), (60, "00:30"), (500, "00:00")])
    def test_a_bar_counts_down_between_two_steps(self, clock, seconds, left):
        latest = progress._Latest()
        latest.tell(step())
        console = progress.Console(file=io.StringIO(), width=160, color_system=None)
        bar = progress._bar(console, latest)
        bar.add_task("tune", total=1.0)
        clock[0] = seconds
        console.print(bar.get_renderable())
        assert f"ETA {left}" in console.file.getvalue()

    def test_lines_go_on_while_something_takes_long(self, clock):
        """Every ten seconds, with the time that is left then."""

        class Ended:
            def wait(self, seconds: float) -> bool:
                clock[0] += seconds
                return clock[0] > 35

        latest = progress._Latest()
        console = progress.Console(file=io.StringIO(), width=160, color_system=None)
        lines = progress._Lines(console, latest)
        lines.show(step(stage="model", doing="building it", eta=60.0))
        lines.beat(Ended())
        etas = [line.partition("ETA ")[2][:5] for line in console.file.getvalue().splitlines()]
        assert etas == ["01:00", "00:50", "00:40", "00:30"]


def test_unknown_times_are_shown_as_such():
    assert progress.speed(step(before=math.inf)) == "measuring the default schedules"
    assert milliseconds(math.inf) == "? ms"
    assert ratio(math.inf, 1.0) == ratio(1.0, math.inf) == ratio(1.0, 0.0) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (65, "01:05"), (3600, "1:00:00"), (1e12, "99:59:59"), (math.inf, "?")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text
