"""The record: one configuration, measured once, as one line that people can read.

A record stands alone. Its ``hash`` is SHA-256 (the first 16 hex digits) over the canonical JSON of
everything else: keys sorted, no spaces, printable ASCII without backslashes. ``docs/log-format.md``
describes every field.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from typing import Any, NoReturn

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.tvm_late import tvm

from .machine import Machine

LONGEST_DETAIL = 300  # characters
NOISY_SPREAD = 0.1  # interquartile range over median
SHORTEST = 1e-9  # seconds: a few instructions, less than any kernel has
_AHEAD = 5 * 60_000  # milliseconds by which other machines' clocks may be ahead
_last = 0  # milliseconds since 1970


class Outcome(str, Enum):
    """How a trial ended. Failures are kept: nobody has to try them again."""

    OK = "ok"
    WRONG_RESULT = "wrong_result"
    BUILD_FAILED = "build_failed"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True)
class Timing:
    """Seconds of one run of the kernel: the median of ``samples`` and their quartiles.

    ``disturbed``: a reference kernel between the timings was slower than it is on a quiet machine.
    ``default`` is the median of the default schedule, timed in turns with this one; None where they
    were not timed together.
    """

    median: float
    q1: float
    q3: float
    samples: int
    disturbed: bool = False
    default: float | None = None

    @staticmethod
    def of(
        seconds: Sequence[float], *, disturbed: bool = False, default: float | None = None
    ) -> Timing:
        """Sum up repeated timings (at least one), to four digits."""
        if len(seconds) == 1:
            q1 = q3 = seconds[0]
        else:
            q1, _, q3 = statistics.quantiles(seconds, n=4, method="inclusive")
        middle = statistics.median(seconds)
        median, low, high = (_rounded(s) for s in (middle, q1, q3))
        beside = None if default is None else _rounded(default)
        return Timing(median, low, high, len(seconds), disturbed, beside)

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy for the median to rank kernels that are close."""
        return self.disturbed or self.q3 - self.q1 > NOISY_SPREAD * self.median

    def to_json(self) -> dict[str, Any]:
        """All fields, ``disturbed`` only where it is so, ``default`` only where it is known."""
        quartiles = {"median": self.median, "q1": self.q1, "q3": self.q3}
        more: dict[str, Any] = {"disturbed": True} if self.disturbed else {}
        if self.default is not None:
            more["default"] = self.default
        return {**quartiles, "samples": self.samples, **more}

    @property
    def text(self) -> str:
        """Canonical JSON of ``to_json``."""
        beside = "" if self.default is None else f'"default":{self.default!r},'
        flag = '"disturbed":true,' if self.disturbed else ""
        return (
            f'{{{beside}{flag}"median":{self.median!r},"q1":{self.q1!r},"q3":{self.q3!r},'
            f'"samples":{self.samples}}}'
        )


@dataclass(frozen=True)
class Record:
    """What one trial showed. ``timing`` is present exactly where the outcome is ok.

    ``schedule`` has its knobs in the order of their names (see ``normal``).

    ``cold``: constant inputs were flushed from the caches before each run; else they stayed there,
    as in a model that fits. ``detail`` says in one
    line why a trial failed. ``tools`` maps tool names to versions; ``time`` is UTC, ISO 8601.
    """

    workload: Workload
    machine: Machine
    schedule: Schedule
    outcome: Outcome
    timing: Timing | None
    cold: bool
    detail: str
    tools: tuple[tuple[str, str], ...]
    time: str

    @property
    def target(self) -> Target:
        """The target that it was measured for."""
        return self.machine.target

    @property
    def seconds(self) -> float:
        """Median seconds; infinite for a failure."""
        return self.timing.median if self.timing else math.inf

    @property
    def rank(self) -> float:
        """Seconds to compare by: noisy records win only where noise does not explain it."""
        noisy = self.timing is not None and self.timing.noisy
        return self.seconds * (1 + NOISY_SPREAD) if noisy else self.seconds

    @property
    def speedup(self) -> float | None:
        """Over the default schedule, timed in turns with it; noise makes it less (see ``rank``).

        None where they were not timed together.
        """
        default = self.timing and self.timing.default
        return default / self.rank if default else None

    @property
    def schema(self) -> int:
        """The oldest version of the record that can tell all this."""
        return 3 if self.timing and self.timing.default is not None else self.machine.schema

    def to_json(self) -> dict[str, Any]:
        """All fields but the hash."""
        t = self.timing
        return {
            "schema": self.schema,
            "workload": self.workload.to_json(),
            "target": self.machine.to_json(),
            "schedule": self.schedule.to_json(),
            "outcome": self.outcome.value,
            "seconds": t and t.to_json(),
            "cold": self.cold,
            "noisy": t is not None and t.noisy,
            "detail": self.detail,
            "tools": dict(self.tools),
            "time": self.time,
        }

    @functools.cached_property
    def hash(self) -> str:
        """Content hash, 16 hex digits."""
        return digest(self._body)

    @functools.cached_property
    def line(self) -> str:
        """The record's line of a log, without the newline."""
        return f'{{"hash":"{self.hash}",{self._body[1:]}'

    @property
    def _body(self) -> str:
        """Canonical JSON of ``to_json``, from texts that records share: logs write thousands."""
        t = self.timing
        return (
            f'{{"cold":{_FLAGS[self.cold]},"detail":{canonical(self.detail)},'
            f'"noisy":{_FLAGS[t is not None and t.noisy]},"outcome":"{self.outcome.value}",'
            f'"schedule":{_text(self.schedule)},"schema":{self.schema},'
            f'"seconds":{t.text if t else "null"},"target":{_text(self.machine)},'
            f'"time":{canonical(self.time)},"tools":{_text(self.tools)},'
            f'"workload":{self.workload.text}}}'
        )


def _rounded(seconds: float) -> float:
    return max(SHORTEST, float(f"{seconds:.4g}"))


def now() -> str:
    """The time in a record's form, later than at the last call though the clock was set back."""
    global _last  # noqa: PLW0603 - of this process
    clock = time.time_ns() // 1_000_000
    _last = _last + 1 if clock <= _last <= clock + _AHEAD else clock
    return _time(_last)


def horizon() -> str:
    """The latest time that a record can be of: a later one is of a clock that is wrong."""
    return _time(time.time_ns() // 1_000_000 + _AHEAD)


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


@functools.lru_cache(maxsize=1)
def tool_versions() -> tuple[tuple[str, str], ...]:
    """Versions of what makes the code: Luthier, TVM and LLVM."""
    llvm = str(tvm.get_global_func("target.llvm_version_major")())
    versions = {"luthier": metadata.version("luthier"), "tvm": tvm.__version__, "llvm": llvm}
    return tuple(sorted(versions.items()))


def normal(schedule: Schedule) -> Schedule:
    """The schedule with its knobs in the order of their names, as records hold it."""
    return Schedule(schedule.template, schedule.version, tuple(sorted(schedule.knobs)))


def one_line(text: str) -> str:
    """``text`` as records keep it: its last line, printable ASCII, cut to LONGEST_DETAIL."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    plain = last.replace("\\", "/").replace('"', "'")
    return "".join(c if " " <= c <= "~" else "?" for c in plain)[:LONGEST_DETAIL]


def canonical(data: Any) -> str:
    """The one JSON text of some data: keys sorted, no spaces."""
    return _ENCODER.encode(data)


def digest(body: str) -> str:
    """A short content hash, 16 hex digits."""
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def decoded(text: str) -> Any:
    """What a JSON text says; raises ValueError, also for NaN and Infinity, and RecursionError."""
    return _DECODER.decode(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"a record holds no {name}")


@functools.lru_cache(maxsize=4096)
def _text(part: Machine | Schedule | tuple[tuple[str, str], ...]) -> str:
    """The canonical text of a machine, of a schedule, or of tools."""
    return canonical(dict(part) if isinstance(part, tuple) else part.to_json())


_FLAGS = ("false", "true")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
