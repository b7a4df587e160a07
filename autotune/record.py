"""The record: one configuration, measured once, as one line that people can read.

A record stands alone. Its ``hash`` is SHA-256 (the first 16 hex digits) over the canonical JSON of
everything else: keys sorted, no spaces, printable ASCII without backslashes. ``docs/log-format.md``
describes every field.
"""

from __future__ import annotations

import functools
import hashlib
import json
import marshal
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from importlib import metadata
from typing import Any, NoReturn, TypeVar

from luthier.schedules import LogError, LuthierError, Schedule, Target, Workload

from .machine import Machine

SCHEMA = 2  # the newest that is read; a record has the oldest that can hold it
LONGEST_LINE = 1 << 20  # bytes
LONGEST_DETAIL = 300  # characters
NOISY_SPREAD = 0.1  # interquartile range over median
_DAY = 86400.0
_KEYS = {
    *("schema", "workload", "target", "schedule", "outcome", "seconds"),
    *("cold", "noisy", "detail", "tools", "time"),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_T = TypeVar("_T")


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
    """

    median: float
    q1: float
    q3: float
    samples: int
    disturbed: bool = False

    @staticmethod
    def of(seconds: Sequence[float], *, disturbed: bool = False) -> Timing:
        """Sum up repeated timings (at least one), to four digits."""
        if len(seconds) == 1:
            q1 = q3 = seconds[0]
        else:
            q1, _, q3 = statistics.quantiles(seconds, n=4, method="inclusive")
        middle = statistics.median(seconds)
        median, low, high = (float(f"{s:.4g}") for s in (middle, q1, q3))
        return Timing(median, low, high, len(seconds), disturbed)

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy for the median to rank kernels that are close."""
        return self.disturbed or self.q3 - self.q1 > NOISY_SPREAD * self.median

    def to_json(self) -> dict[str, Any]:
        """All fields, ``disturbed`` only where it is so."""
        quartiles = {"median": self.median, "q1": self.q1, "q3": self.q3}
        flag = {"disturbed": True} if self.disturbed else {}
        return {**quartiles, "samples": self.samples, **flag}


@dataclass(frozen=True)
class Record:
    """What one trial showed. ``timing`` is present exactly where the outcome is ok.

    ``schedule`` has its knobs in the order of their names (see ``normal``).

    ``cold``: constant inputs were flushed from the caches before each run. ``detail`` says in one
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

    def to_json(self) -> dict[str, Any]:
        """All fields but the hash."""
        t = self.timing
        return {
            "schema": self.machine.schema,
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
        return digest(canonical(self.to_json()))

    @property
    def line(self) -> str:
        """The record's line of a log, without the newline."""
        return f'{{"hash":"{self.hash}",{canonical(self.to_json())[1:]}'

    @staticmethod
    def parse(line: str) -> Record:
        """Read one line of untrusted text; raises LogError that says what is wrong with it."""
        if len(line) > LONGEST_LINE:
            raise LogError(f"a record has at most {LONGEST_LINE} characters")
        try:
            data = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            raise LogError("the line is no JSON object, or was cut off") from error
        if not isinstance(data, dict):
            raise LogError("the line is no JSON object")
        try:
            return _from_json(data, line)
        except LogError:
            raise
        except (LuthierError, ArithmeticError, ValueError, TypeError, RecursionError) as error:
            raise LogError(f"malformed record: {error}") from error


def now() -> str:
    """The time in a record's form."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@functools.lru_cache(maxsize=1)
def tool_versions() -> tuple[tuple[str, str], ...]:
    """Versions of what makes the code: Luthier, TVM and LLVM."""
    import tvm  # noqa: PLC0415 - a second to import

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


def canonical(data: Mapping[str, Any]) -> str:
    """The one JSON text of some data: keys sorted, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(body: str) -> str:
    """A short content hash, 16 hex digits."""
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _refuse_constant(name: str) -> NoReturn:
    raise LogError(f"a record holds no {name}")


def _from_json(data: dict[str, Any], line: str) -> Record:
    schema = data.get("schema")
    if type(schema) is not int or schema < 1:
        raise LogError("the line has no schema version")
    if schema > SCHEMA:
        raise LogError(
            f"the record has schema {schema} and this Luthier reads up to {SCHEMA}; upgrade Luthier"
        )
    claimed = data.pop("hash", None)
    if data.keys() != _KEYS:
        raise LogError(f"missing or unknown fields: {sorted(data.keys() ^ _KEYS)}"[:200])
    head = f'{{"hash":"{claimed}",'
    body = "{" + line[len(head) :] if line.startswith(head) else canonical(data)
    if digest(body) != claimed:
        body = canonical(data)  # someone may have reformatted the line
        if digest(body) != claimed:
            raise LogError("the content does not match its hash")
    if "\\" in body or not body.isascii():
        raise LogError("a record holds printable ASCII only")
    return _checked(data)


def _checked(data: dict[str, Any]) -> Record:
    workload = _interned(data["workload"], Workload.from_json, lambda w: w.to_json())
    machine = _interned(data["target"], Machine.from_json, lambda m: m.to_json())
    schedule = _schedule(data["schedule"])
    outcome = Outcome(data["outcome"])
    timing = _timing(data["seconds"])
    if (outcome is Outcome.OK) != (timing is not None):
        raise LogError("an ok record has timings, and no other")
    if type(data["cold"]) is not bool or data["noisy"] is not (timing is not None and timing.noisy):
        raise LogError("'cold' and 'noisy' are flags, and 'noisy' follows from 'seconds'")
    if not isinstance(data["detail"], str) or len(data["detail"]) > LONGEST_DETAIL:
        raise LogError(f"'detail' is text of at most {LONGEST_DETAIL} characters")
    if not isinstance(data["time"], str) or not _TIME.fullmatch(data["time"]):
        raise LogError("'time' looks like 2025-01-31T12:00:00.000Z")
    tools = _interned(data["tools"], _tools, dict)
    if data["schema"] != machine.schema:
        raise LogError("a target tells its features, cores and 'virtual' from schema 2 on")
    return Record(
        workload, machine, schedule, outcome, timing, data["cold"], data["detail"], tools,
        data["time"],
    )  # fmt: skip


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_parsed: dict[bytes, Any] = {}


def _interned(data: Any, read: Callable[[Any], _T], write: Callable[[_T], Any]) -> _T:
    """Parse, or take what the same text gave before: logs repeat workloads thousands of times."""
    if not isinstance(data, dict):
        raise LogError("a workload, a target and tools are objects")
    key = marshal.dumps(data, 2)  # the fastest exact key; it is never read back
    if key not in _parsed:
        value = read(data)
        if canonical(write(value)) != canonical(data):
            raise LogError("a workload, target or tool is not in canonical form")
        if len(_parsed) > 10_000:
            _parsed.clear()
        _parsed[key] = value
    known: _T = _parsed[key]
    return known


def _schedule(data: Any) -> Schedule:
    if not isinstance(data, dict) or data.keys() != {"template", "version", "knobs"}:
        raise LogError("a schedule has a template, a version and knobs")
    name, version, knobs = data["template"], data["version"], data["knobs"]
    if not isinstance(name, str) or len(name) > 80 or type(version) is not int or version < 1:
        raise LogError("a schedule has a short template name and a positive version")
    if not isinstance(knobs, dict) or len(knobs) > 64:
        raise LogError("a schedule has at most 64 knobs")
    for knob, value in knobs.items():
        short = len(value) <= 80 if isinstance(value, str) else type(value) is int
        if not short or len(knob) > 80 or (isinstance(value, int) and abs(value) >= 1 << 31):
            raise LogError(f"knob '{knob[:80]}' is neither a 32-bit integer nor a short string")
    return Schedule(name, version, tuple(sorted(knobs.items())))


def _timing(data: Any) -> Timing | None:
    if data is None:
        return None
    if not isinstance(data, dict) or data.keys() - {"disturbed"} != {
        "median",
        "q1",
        "q3",
        "samples",
    }:
        raise LogError("'seconds' has median, q1, q3 and samples, and may be disturbed")
    if data.get("disturbed", True) is not True:
        raise LogError("'disturbed' is true or absent")
    q1, median, q3 = data["q1"], data["median"], data["q3"]
    if not all(type(s) in (int, float) for s in (q1, median, q3)):
        raise LogError("seconds are numbers")
    if not 0 < q1 <= median <= q3 <= _DAY:
        raise LogError("seconds are above 0, at most a day, and q1 <= median <= q3")
    samples = data["samples"]
    if type(samples) is not int or not 0 < samples <= 1_000_000:
        raise LogError("'samples' is between 1 and a million")
    return Timing(float(median), float(q1), float(q3), samples, "disturbed" in data)


def _tools(data: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(data, dict) or len(data) > 16:
        raise LogError("'tools' maps at most 16 tools to versions")
    if not all(isinstance(v, str) and len(v) <= 80 and len(k) <= 80 for k, v in data.items()):
        raise LogError("a tool and its version are short strings")
    return tuple(sorted(data.items()))
