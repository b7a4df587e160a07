"""Reading records: lines are input from strangers, and nothing in them passes unchecked.

A line is split into its eleven fields' texts. Workloads, targets, tools and schedules recur in
thousands of lines, so what a text meant is remembered; each must be the one text of what it means.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from luthier.schedules import LogError, LuthierError, Schedule, Workload

from .machine import Machine
from .record import LONGEST_DETAIL, SHORTEST, Outcome, Record, Timing, canonical, decoded, digest

SCHEMA = 3  # the newest that is read; a record has the oldest that can hold it
LONGEST_LINE = 1 << 20  # bytes
_LONGEST_KEPT = 1 << 13  # characters of a text that is remembered, so that strangers fill no memory
_LONGEST_SCHEDULE = 1 << 10
_DAY = 86400.0
_FIELDS = (
    *("cold", "detail", "noisy", "outcome", "schedule", "schema", "seconds"),
    *("target", "time", "tools", "workload"),
)
# A line as it is written. Its texts hold no quotes and hardly ever braces; one that does is read
# like a line that somebody has formatted anew.
_LINE = re.compile(
    r'\{"hash":"([0-9a-f]{16})","cold":(true|false),"detail":("[^"\\]*"),"noisy":(true|false),'
    r'"outcome":("[a-z_]+"),"schedule":(\{"knobs":\{[^{}]*\},[^{}]*\}),"schema":([0-9]{1,9}),'
    r'"seconds":(null|\{[^{}]*\}),"target":(\{[^{}]*\}),"time":("[^"\\]*"),"tools":(\{[^{}]*\}),'
    r'"workload":(\{[ -\[\]-~]*\})\}'
)
_HASH = len('"hash":"0123456789abcdef",')
_NUMBER = r"([0-9][0-9.e+-]{0,30})"
_SECONDS = re.compile(
    rf'\{{(?:"default":{_NUMBER},)?(?:"disturbed":(true),)?"median":{_NUMBER},"q1":{_NUMBER},'
    rf'"q3":{_NUMBER},"samples":([0-9]{{1,7}})\}}'
)
_TIME = re.compile(
    r'"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])'
    r'T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)\.[0-9]{3}Z"'
)
_T = TypeVar("_T")


def parse_record(line: str) -> Record:
    """Read one line of untrusted text; raises LogError that says what is wrong with it."""
    if len(line) > LONGEST_LINE:
        raise LogError(f"a record has at most {LONGEST_LINE} characters")
    plain = line.isascii() and "\\" not in line and "\x7f" not in line
    found = _LINE.fullmatch(line) if plain else None
    whole = found and digest("{" + line[1 + _HASH :]) == found[1]
    texts = found.groups() if found and whole else _reformatted(line)
    try:
        record = _record(*texts[1:])
        # Each text is the one of its meaning: what follows from them need not be computed again.
        record.__dict__["hash"] = texts[0]
        if found and whole:
            record.__dict__["line"] = line
        return record
    except LogError:
        raise
    except (LuthierError, ArithmeticError, ValueError, TypeError, RecursionError) as error:
        raise LogError(f"malformed record: {error}") from error


def _reformatted(line: str) -> tuple[str, ...]:
    """The hash and the fields' canonical texts, however the line is written."""
    try:
        data = decoded(line)
    except (ValueError, RecursionError) as error:
        raise LogError("the line is no JSON object, or was cut off") from error
    if not isinstance(data, dict):
        raise LogError("the line is no JSON object")
    _check_schema(data.get("schema"))
    claimed = data.pop("hash", None)
    if data.keys() != set(_FIELDS):
        raise LogError(f"missing or unknown fields: {sorted(data.keys() ^ set(_FIELDS))}"[:200])
    try:
        body = canonical(data)
    except (ValueError, RecursionError) as error:
        raise LogError(f"malformed record: {error}") from error
    if digest(body) != claimed:
        raise LogError("the content does not match its hash")
    if "\\" in body or not body.isprintable():
        raise LogError("a record holds printable ASCII only")
    return (claimed, *(canonical(data[field]) for field in _FIELDS))


def _check_schema(schema: Any) -> None:
    if type(schema) is not int or schema < 1:
        raise LogError("the line has no schema version")
    if schema > SCHEMA:
        raise LogError(
            f"the record has schema {schema} and this Luthier reads up to {SCHEMA}; upgrade Luthier"
        )


def _record(
    cold: str,
    detail: str,
    noisy: str,
    outcome: str,
    schedule: str,
    schema: str,
    seconds: str,
    target: str,
    time: str,
    tools: str,
    workload: str,
) -> Record:
    _check_schema(int(schema) if schema.isdigit() else None)
    machine = _remembered(_machine, target)
    timing = _timing(seconds)
    beside = timing is not None and timing.default is not None
    if schema != ("3" if beside else str(machine.schema)):
        raise LogError(
            "a target tells its features, cores and 'virtual' from schema 2 on, and 'seconds' the "
            "default's in schema 3"
        )
    if outcome not in _OUTCOMES:
        raise LogError(f"'outcome' is one of {', '.join(_OUTCOMES)}")
    if (outcome == '"ok"') != (timing is not None):
        raise LogError("an ok record has timings, and no other")
    if cold not in _FLAGS or noisy not in _FLAGS:
        raise LogError("'cold' and 'noisy' are flags")
    if _FLAGS[noisy] is not (timing is not None and timing.noisy):
        raise LogError("'noisy' follows from 'seconds'")
    if detail[0] != '"' or len(detail) > LONGEST_DETAIL + 2 or not detail.isprintable():
        raise LogError(f"'detail' is printable text of at most {LONGEST_DETAIL} characters")
    if not _TIME.fullmatch(time):
        raise LogError("'time' looks like 2025-01-31T12:00:00.000Z")
    return Record(
        workload=_remembered(_workload, workload),
        machine=machine,
        schedule=_remembered(_schedule, schedule, _LONGEST_SCHEDULE),
        outcome=_OUTCOMES[outcome],
        timing=timing,
        cold=_FLAGS[cold],
        detail=detail[1:-1],
        tools=_remembered(_tools, tools),
        time=time[1:-1],
    )


_FLAGS = {"true": True, "false": False}
_OUTCOMES = {f'"{outcome.value}"': outcome for outcome in Outcome}


def _remembered(read: Callable[[str], _T], text: str, longest: int = _LONGEST_KEPT) -> _T:
    if len(text) <= longest:
        return read(text)
    fresh: Callable[[str], _T] = read.__wrapped__  # type: ignore[attr-defined]
    return fresh(text)


@functools.lru_cache(maxsize=4096)
def _workload(text: str) -> Workload:
    workload = Workload.from_json(_object(text, "a workload"))
    if workload.text != text:
        raise LogError("a workload is not in canonical form")
    return workload


@functools.lru_cache(maxsize=1024)
def _machine(text: str) -> Machine:
    machine = Machine.from_json(_object(text, "a target"))
    if canonical(machine.to_json()) != text:
        raise LogError("a target is not in canonical form")
    return machine


@functools.lru_cache(maxsize=1024)
def _tools(text: str) -> tuple[tuple[str, str], ...]:
    data = _object(text, "the list of tools")
    if len(data) > 16:
        raise LogError("'tools' maps at most 16 tools to versions")
    if not all(isinstance(v, str) and len(v) <= 80 and len(k) <= 80 for k, v in data.items()):
        raise LogError("a tool and its version are short strings")
    if canonical(data) != text:
        raise LogError("the list of tools is not in canonical form")
    return tuple(sorted(data.items()))


@functools.lru_cache(maxsize=32768)
def _schedule(text: str) -> Schedule:
    data = _object(text, "a schedule")
    if data.keys() != {"template", "version", "knobs"}:
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
    schedule = Schedule(name, version, tuple(sorted(knobs.items())))
    if canonical(schedule.to_json()) != text:
        raise LogError("a schedule is not in canonical form")
    return schedule


def _timing(text: str) -> Timing | None:
    if text == "null":
        return None
    found = _SECONDS.fullmatch(text)
    if not found:
        raise LogError(
            "'seconds' has median, q1, q3 and samples, may be disturbed and have the default's"
        )
    beside, disturbed, middle, low, high, count = found.groups()
    median, q1, q3, samples = float(middle), float(low), float(high), int(count)
    default = None if beside is None else float(beside)
    if default is not None and not SHORTEST <= default <= _DAY:
        raise LogError("the default's seconds are from 1e-9 to a day")
    if not SHORTEST <= q1 <= median <= q3 <= _DAY:
        raise LogError("seconds are from 1e-9 to a day, and q1 <= median <= q3")
    if not 0 < samples <= 1_000_000:
        raise LogError("'samples' is between 1 and a million")
    timing = Timing(median, q1, q3, samples, disturbed is not None, default)
    if timing.text != text:
        raise LogError("'seconds' is not in canonical form")
    return timing


def _object(text: str, what: str) -> dict[str, Any]:
    data = decoded(text)
    if not isinstance(data, dict):
        raise LogError(f"{what} is an object")
    return data
