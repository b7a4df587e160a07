"""What a limit of the machine looks like: it says nothing about the schedule that met it.

Memory, disk, processes, descriptors or CPU time may be short for everyone, or for this user
(``ulimit``, a container); and the system or a person may end a process.
"""

from __future__ import annotations

import resource
import signal

from luthier.schedules import ToolchainError

_SIGNALS = frozenset(
    {
        *(signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
        *(signal.SIGXCPU, signal.SIGXFSZ, signal.SIGUSR1, signal.SIGUSR2),
    }
)
_WORDS = (  # what libraries say that end the process, or raise errors of their own
    *("cannot allocate memory", "bad_alloc", "memoryerror", "out of memory", "virtual memory"),
    *("no space left", "disk quota", "file too large", "too many open files"),
    *("resource temporarily unavailable", "io failure", "cannot create temporary"),
)


def is_limit(error: BaseException) -> bool:
    """Whether an error in this process is the machine's."""
    from_system = isinstance(error, OSError) and error.errno is not None
    return from_system or isinstance(error, (MemoryError, ToolchainError)) or tells(str(error))


def is_outside(number: int) -> bool:
    """Whether a signal that ended a process was sent to it: no code brings it upon itself."""
    return number in _SIGNALS


def tells(said: str) -> bool:
    """Whether the last words of a process are of a limit."""
    return any(word in said.lower() for word in _WORDS)


def signal_name(number: int) -> str:
    """``SIGSEGV``; real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def clamp(kind: int, wanted: int) -> None:
    """Limit this process, by no more than it may: ``kind`` is one of ``resource.RLIMIT_*``."""
    _, hard = resource.getrlimit(kind)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (limit, limit))
