"""Every error that Luthier raises on purpose.

Each class has the exit code that the command line ends with, so a script can tell failures apart::

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

import re
from collections.abc import Mapping
from urllib.parse import unquote

_WORD = re.compile(r"[^\s'\"]+")
_SCHEME = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}:/+", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;]([^\s?&;='\"]+)=)[^\s&;'\"]*")
_OPTION = re.compile(r"\b((?:ssl)?password\s?=\s?)(?:'[^']*'|[^\s'&;]+)", re.IGNORECASE)
_SECRET = re.compile(
    r"passw|passphrase|pwd|secret|token|signature|credential|(api|access|account|auth)[-_]?key|"
    r"^(sig|key)$",
    re.IGNORECASE,
)


def is_secret(parameter: str) -> bool:
    """Whether a parameter of a URL with such a name, percent-encoded or not, is a password."""
    return _SECRET.search(unquote(parameter)) is not None


def redacted(text: str) -> str:
    """``text`` with the passwords of all URLs in it replaced by ``***``; takes linear time."""
    hidden = _PARAMETER.sub(lambda m: f"{m[1]}***" if is_secret(m[2]) else m[0], text)
    hidden = _WORD.sub(lambda word: _without_password(word[0]), hidden)
    return _OPTION.sub(r"\1***", hidden)


def _without_password(word: str) -> str:
    """A word that may be a URL: its password ends at the last @, whatever it holds.

    pathlib leaves one slash of two. A user without a password is a token in the web's URLs.
    """
    end = word.rfind("@")
    for scheme in _SCHEME.finditer(word, 0, max(0, end)):
        begin = scheme.end()
        colon = word.find(":", begin, end)
        if colon >= 0 and not {"/", "@"} & set(word[begin:colon]):
            return f"{word[:colon]}:***{word[end:]}"
        is_token = scheme[0].lower().startswith("http") and "/" not in word[begin:end]
        if colon < 0 and is_token:
            return f"{word[:begin]}***{word[end:]}"
    return word


_LONGEST = 2000


def shortened(text: str) -> str:
    """``text`` with the middle left out where it is very long: names may have any length."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def printable(text: str) -> str:
    """``text`` with what is not printable, or what a terminal obeys, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class LuthierError(Exception):
    """Base of all; the message is one line: what, where, and what to do.

    Names in it may come from a hostile file: what is not printable is escaped. URLs' passwords do
    not show.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(redacted(printable(str(message)))))


class UsageError(LuthierError):
    """The arguments make no sense together."""

    exit_code = 2


class ModelError(LuthierError):
    """The model cannot be read."""

    exit_code = 3


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
