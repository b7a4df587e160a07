"""Every error that Luthier raises on purpose.

Each class has the exit code that the command line ends with, so a script can distinguish failures::

    LuthierError (1)
    ├── UsageError (2)             the arguments make no sense together
    ├── ModelError (3)             the model cannot be read
    │   └── UnsupportedOperator    it uses an operator that Luthier cannot compile
    ├── LogError (4)               the tuning log cannot be read or written
    ├── ArtifactError (5)          the artifact folder is incomplete or was tampered with
    ├── InputError (6)             wrong array names, shapes or dtypes at run
    ├── TargetError (7)            the machine lacks what the artifact or target needs
    ├── ToolchainError (8)         the C compiler or linker is missing or failed
    ├── AccuracyError (9)          outputs differ from the reference by more than the tolerance
    └── ScheduleError (10)         knobs outside their space
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping

from .redaction import redacted, shown

_LONGEST = 2000


def shortened(text: str) -> str:
    """``text`` with the middle left out where it is very long: names may have any length."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def printable(text: str) -> str:
    """``text`` with what is not printable, or what a terminal obeys, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def of_system(error: OSError) -> str:
    """What the system refused: where, and why."""
    if error.filename is None and error.errno == errno.ENOENT and not _is_somewhere():
        return "the working folder is gone: change into one that is there"
    where = f"{shown(error.filename)}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _is_somewhere() -> bool:
    """Whether the process has a working folder."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _hide_passwords(error: BaseException | None) -> None:
    """Take passwords out of an error that is being handled, and of those that led to it.

    It becomes the cause or context of the next one raised. Python prints it from its own fields, so
    these are what changes. Luthier's own errors were made without passwords.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, LuthierError):
            continue
        each.args = tuple(redacted(a) if isinstance(a, str) else a for a in each.args)
        if isinstance(each, OSError):
            _hide_in_names(each)


def _hide_in_names(error: OSError) -> None:
    """A file's name may be a URL that was taken for a path."""
    for field in ("filename", "filename2"):
        name = getattr(error, field)
        if isinstance(name, str | bytes | os.PathLike):
            setattr(error, field, shown(os.fsdecode(name)))


class LuthierError(Exception):
    """Base of all; the message is one line: what, where, and what to do.

    Names in it may come from a hostile file: what is not printable is escaped. URLs' passwords do
    not show, nor in the errors that it is raised in answer to, which a traceback prints.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(redacted(printable(str(message)))))
        _hide_passwords(sys.exc_info()[1])


class UsageError(LuthierError):
    """The arguments make no sense together."""

    exit_code = 2


class ModelError(LuthierError):
    """The model cannot be read."""

    exit_code = 3


class ModelWarning(UserWarning):
    """The model contradicts itself where it does not matter to what it computes.

    The message is one line, as those of errors are.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(redacted(printable(str(message)))))


class UnsupportedOperator(ModelError):  # noqa: N818 - the name users see
    """The model uses an operator that Luthier cannot compile.

    ``operators`` has the names of the nodes of each that Luthier does not know at all; it is empty
    where it is the way in which a known one is used.
    """

    def __init__(
        self, message: str = "", operators: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        super().__init__(message)
        self.operators: Mapping[str, tuple[str, ...]] = operators or {}


class LogError(LuthierError):
    """The tuning log cannot be read or written."""

    exit_code = 4


class ArtifactError(LuthierError):
    """The artifact folder is incomplete, was tampered with or cannot be written."""

    exit_code = 5


class InputError(LuthierError):
    """Wrong array names, shapes or dtypes at run."""

    exit_code = 6


class TargetError(LuthierError):
    """The machine lacks what the artifact or the target needs."""

    exit_code = 7


class ToolchainError(LuthierError):
    """The C compiler or linker is missing or failed."""

    exit_code = 8


class AccuracyError(LuthierError):
    """Outputs differ from the reference by more than the tolerance."""

    exit_code = 9


class ScheduleError(LuthierError):
    """Knobs outside their space, or a template that does not fit the workload."""

    exit_code = 10
