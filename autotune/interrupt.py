"""Ctrl-C at a moment when nobody could hear it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C waits until the block ends.

    XGBoost calls back into Python and frees its matrices in ``__del__``: a KeyboardInterrupt raised
    there is printed and lost. Other threads than the main one never get it anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)  # none: set by C
    if came and callable(before):
        before(*came[0])
