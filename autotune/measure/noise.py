"""Whether something else keeps the machine busy, by timing what never changes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import TypeVar

from luthier.schedules.temporary import TemporaryFolder

from ..records.closing import Closing
from .harness import Harness, compile_harness, is_disturbed

_PULSES = 5  # a core that is shared loses it for some of them
_FIRST = 20  # of which one meets a quiet moment
_T = TypeVar("_T")


class Watch(Closing):
    """Times pulses, about a millisecond of arithmetic on ``threads`` threads, around what is timed.

    The fastest one so far tells what quiet is. A context manager.
    """

    def __init__(self, threads: int) -> None:
        """Raises ToolchainError without a C compiler."""
        with TemporaryFolder() as folder:
            self._harness = Harness(str(compile_harness(folder)))
        self._harness.start(threads)
        self._quiet = math.inf
        self.pulse(_FIRST)

    def close(self) -> None:
        """Stop the threads; harmless when repeated."""
        self._harness.stop()

    def pulse(self, count: int = _PULSES) -> bool:
        """Whether the machine is busy now."""
        pulses = [self._harness.pulse() for _ in range(count)]
        self._quiet = min(self._quiet, *pulses)
        return is_disturbed(statistics.median(pulses), self._quiet)

    def over(self, work: Callable[[], _T]) -> tuple[_T, bool]:
        """What ``work`` gives, and whether the machine was busy; done once more if it was."""
        busy = False
        for _ in range(2):
            before = self.pulse()
            result = work()
            busy = self.pulse() or before
            if not busy:
                break
        return result, busy
