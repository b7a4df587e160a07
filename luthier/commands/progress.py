"""How tuning is shown: a live bar on a terminal, a line now and then elsewhere; on stderr."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from .times import clock, milliseconds, ratio

if TYPE_CHECKING:
    from luthier.autotune import Progress as Tuning

Show = Callable[["Tuning"], None]
_PLAIN_SECONDS = 10.0  # between lines where there is no terminal
_FIXED_COLUMNS = 70  # of the terminal, that the bar and the numbers need
_COUNTABLE = 1 << 32  # above it, trials have no limit and time is what passes
_STAGES = {
    "import": "reading the model",
    "workers": "starting workers",
    "trials": "trials",
    "confirm": "confirming winners",
    "model": "comparing the whole model",
    "build": "building",
    "explain": "explaining",
}


class _Latest:
    """What was told last, and when: the time left goes on passing until more is told."""

    def __init__(self) -> None:
        self.step: Tuning | None = None
        self._at = time.monotonic()

    def tell(self, step: Tuning) -> None:
        self.step, self._at = step, time.monotonic()

    @property
    def eta(self) -> float:
        """Seconds."""
        if self.step is None:
            return math.inf
        return max(0.0, self.step.eta - (time.monotonic() - self._at))


@contextmanager
def tuning_display() -> Iterator[Show]:
    """Gives the function that shows one step of the tuner's progress."""
    console = Console(stderr=True)
    latest = _Latest()
    if console.is_terminal:
        with _bar(console, latest) as bar:
            task = bar.add_task("tune", total=1.0)

            def show(now: Tuning) -> None:
                latest.tell(now)
                bar.update(task, completed=fraction(now))

            yield show
        return
    ended = threading.Event()
    lines = _Lines(console, latest)
    beat = threading.Thread(target=lines.beat, args=(ended,), daemon=True)
    beat.start()
    try:
        yield lines.show
    finally:
        ended.set()
        beat.join()


def _bar(console: Console, latest: _Latest) -> Progress:
    room = max(0, console.width - _FIXED_COLUMNS)
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=8),
        _Live(lambda now: _joined(done(now), speed(now), f"ETA {clock(latest.eta)}"), latest),
        _Live(lambda now: _detail(now)[:room], latest, style="dim"),
        console=console,
        transient=True,
    )


class _Live(ProgressColumn):
    """A text that is made anew whenever the bar is drawn, not only when there is news."""

    def __init__(self, text: Callable[[Tuning], str], latest: _Latest, style: str = "") -> None:
        super().__init__()
        self._text, self._latest, self._style = text, latest, style

    def render(self, task: Task) -> Text:
        """The text now."""
        now = self._latest.step
        return Text(self._text(now) if now else "starting", self._style)


class _Lines:
    """A line when a stage begins, and every ten seconds, whether there is news or not.

    Reading the model has none unless it takes so long: what is wrong with it is one line alone.
    """

    def __init__(self, console: Console, latest: _Latest) -> None:
        self._console, self._latest = console, latest
        self._stage, self._printed = "import", time.monotonic()
        self._lock = threading.Lock()

    def show(self, now: Tuning) -> None:
        """Tell the news, if it is time for a line."""
        with self._lock:
            self._latest.tell(now)
            ended = now.stage == "trials" and now.trials >= now.total
            if now.stage != self._stage or ended or self._is_due():
                self._print(now)

    def beat(self, ended: threading.Event) -> None:
        """Print while nobody tells anything, until the end."""
        while not ended.wait(_PLAIN_SECONDS / 10):
            with self._lock:
                if self._latest.step is not None and self._is_due():
                    self._print(self._latest.step)

    def _is_due(self) -> bool:
        return time.monotonic() - self._printed >= _PLAIN_SECONDS

    def _print(self, now: Tuning) -> None:
        self._stage, self._printed = now.stage, time.monotonic()
        what = f"{now.doing}  {now.kernel}".strip()
        line = _joined(done(now), speed(now), f"ETA {clock(self._latest.eta)}", what)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _joined(*texts: str) -> str:
    return "  ".join(text for text in texts if text)


def _detail(now: Tuning) -> str:
    if not now.kernel:
        return now.doing
    best, default = milliseconds(now.kernel_best), milliseconds(now.kernel_default)
    return f"{now.doing}: {now.kernel.split('(')[0]} {best} (default {default})"


def fraction(now: Tuning) -> float:
    """How much is done, 0 to 1."""
    if math.isfinite(now.eta):
        return now.elapsed / max(1e-9, now.elapsed + now.eta)
    return now.trials / max(1, now.total) if now.total < _COUNTABLE else 0.0


def done(now: Tuning) -> str:
    """``37/500 trials``, or the stage."""
    if now.stage != "trials":
        return _STAGES[now.stage]
    total = f"/{now.total}" if now.total < _COUNTABLE else ""
    return f"{now.trials}{total} trials"


def speed(now: Tuning) -> str:
    """The model's time with the default and with the best schedules."""
    if not math.isfinite(now.before):
        return "measuring the default schedules" if now.stage == "trials" else ""
    return f"model {milliseconds(now.before)} -> {milliseconds(now.after)}" + ratio(
        now.before, now.after
    )
