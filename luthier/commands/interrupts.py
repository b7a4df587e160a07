"""Being interrupted, or asked to end, from the first moment of the program to its last.

While modules are imported, an exception would pass through what is half-initialised, and C++ that
aborts: the process ends at once, which loses nothing, since records are on the disk once they are
measured. Else it is a KeyboardInterrupt, which libraries may turn into errors of their own, or lose
where nobody can catch it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

INTERRUPTED = 130
MESSAGE = "interrupted: what was measured is kept, nothing is half-written"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN = 0.1  # seconds after which a lost interrupt is raised again
_came: list[int] = []


def leave_at_once() -> None:
    """From now on, an interrupt ends the process."""
    _handle(_leave)


def raise_from_now() -> None:
    """From now on, an interrupt raises KeyboardInterrupt in the main thread, imports aside."""
    _came.clear()
    _handle(_raise)
    sys.unraisablehook = _unraisable


def came() -> bool:
    """Whether there was an interrupt, whatever became of its exception."""
    return bool(_came)


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Where a signal has its default meaning: ``nohup`` ignores SIGHUP."""
    ours = (signal.SIG_DFL, signal.default_int_handler, _leave, _raise)
    for number in _SIGNALS:
        if signal.getsignal(number) in ours:
            try:
                signal.signal(number, handler)
            except ValueError:  # not the main thread, which hears them all
                return


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, f"luthier: error: {MESSAGE}\n".encode())
    temporary = sys.modules.get("luthier.schedules.temporary")
    if temporary is not None and hasattr(temporary, "remove_all"):  # else it is half-imported
        temporary.remove_all()
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    if _imports(frame):
        _leave(number, frame)
    raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """In a destructor or a callback of C nobody hears an exception: interrupt once more."""
    if lost.exc_type is not None and issubclass(lost.exc_type, KeyboardInterrupt):
        import threading  # noqa: PLC0415 - this module is the first of all

        number = _came[-1] if _came else signal.SIGINT
        main = threading.main_thread().ident or 0
        again = threading.Timer(_AGAIN, signal.pthread_kill, [main, number])
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)
