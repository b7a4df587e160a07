"""How tuning is shown: a live bar on a terminal, a line now and then elsewhere; on stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

if TYPE_CHECKING:
    from luthier.autotune import Progress as Tuning

Show = Callable[["Tuning"], None]
_PLAIN_SECONDS = 10.0  # between lines where there is no terminal
_FIXED_COLUMNS = 70  # of the terminal, that the bar and the numbers need
_COUNTABLE = 1 << 32  # above it, trials have no limit and time is what passes


@contextmanager
def tuning_display() -> Iterator[Show]:
    """Gives the function that shows one step of the tuner's progress."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    bar = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=8),
        TextColumn("{task.fields[trials]}  {task.fields[speed]}  ETA {task.fields[eta]}"),
        TextColumn("[dim]{task.fields[kernel]}"),
        console=console,
        transient=True,
    )
    room = max(0, console.width - _FIXED_COLUMNS)
    with bar:
        task = bar.add_task("tune", total=1.0, trials="starting", speed="", eta="?", kernel="")

        def show(now: Tuning) -> None:
            bar.update(
                task,
                completed=fraction(now),
                trials=trials(now),
                speed=speed(now),
                eta=clock(now.eta),
                kernel=_kernel(now)[:room],
            )

        yield show


def _kernel(now: Tuning) -> str:
    best, default = milliseconds(now.kernel_best), milliseconds(now.kernel_default)
    return f"{now.kernel.split('(')[0]} {best} (default {default})"


def _plain(console: Console) -> Show:
    last = -math.inf

    def show(now: Tuning) -> None:
        nonlocal last
        if time.monotonic() - last < _PLAIN_SECONDS and now.trials < now.total:
            return
        last = time.monotonic()
        line = f"{trials(now)}  {speed(now)}  ETA {clock(now.eta)}  {now.kernel}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return show


def fraction(now: Tuning) -> float:
    """How much is done, 0 to 1."""
    if now.stage == "final":
        return 1.0
    if now.total < _COUNTABLE:
        return now.trials / max(1, now.total)
    return now.elapsed / max(1e-9, now.elapsed + now.eta)


def trials(now: Tuning) -> str:
    """``37/500 trials``, or what the tuner does after them."""
    if now.stage == "final":
        return f"{now.trials} trials, rechecking"
    total = f"/{now.total}" if now.total < _COUNTABLE else ""
    return f"{now.trials}{total} trials"


def speed(now: Tuning) -> str:
    """The model's time with the default and with the best schedules."""
    if not math.isfinite(now.before):
        return "measuring the default schedules"
    return f"model {milliseconds(now.before)} -> {milliseconds(now.after)}" + ratio(
        now.before, now.after
    )


def ratio(before: float, after: float) -> str:
    """`` (1.35x)``, or nothing where either is unknown."""
    known = math.isfinite(before) and math.isfinite(after) and after > 0
    return f" ({before / after:.2f}x)" if known else ""


def milliseconds(seconds: float) -> str:
    """``0.312 ms``."""
    return f"{seconds * 1e3:.3g} ms" if math.isfinite(seconds) else "? ms"


def clock(seconds: float) -> str:
    """``1:05`` for 65 seconds."""
    whole = int(min(seconds, 359_999))
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes}" if whole >= 3600 else minutes
