"""A record is one readable line; nothing a stranger writes into one gets through unchecked."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.autotune.records.parse import parse_record
from luthier.autotune.records.record import (
    LONGEST_DETAIL,
    Machine,
    Outcome,
    Record,
    Timing,
    canonical,
    digest,
    horizon,
    now,
    one_line,
)
from luthier.schedules import LogError


def signed(data: dict[str, Any]) -> str:
    """A line whose hash is right, whatever it says: a stranger can compute hashes too."""
    body = {k: v for k, v in data.items() if k != "hash"}
    return json.dumps({**body, "hash": digest(canonical(body))})


def test_a_line_reads_back_as_the_same_record(make_record):
    for record in (make_record(3, 1.5e-6), make_record(4, None)):
        line = record.line
        assert "\n" not in line
        assert parse_record(line) == record
        assert parse_record(line).hash == record.hash == json.loads(line)["hash"]


@given(
    detail=st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(one_line),
    tool=st.sampled_from(["{22}", "}", ',"workload":{', "22.1"]).map(one_line),
    seconds=st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=9),
)
def test_a_line_is_the_canonical_json_of_its_record(detail, tool, seconds):
    record = replace(parse_record(_LINE), tools=(("llvm", tool),), timing=Timing.of(seconds))
    for some in (record, replace(record, outcome=Outcome.CRASHED, timing=None, detail=detail)):
        body = canonical(some.to_json())
        assert some.line == f'{{"hash":"{digest(body)}",{body[1:]}'
        again = parse_record(some.line)
        assert (again, again.hash) == (some, some.hash)


def test_a_line_tells_a_person_what_was_measured(make_record):
    data = json.loads(make_record(7, 2e-3).line)
    assert data["schema"] == 2
    assert data["schedule"] == {
        "template": "fake",
        "version": 1,
        "knobs": {"number": 7, "order": "rows"},
    }
    assert data["seconds"]["median"] == 2e-3
    assert data["target"]["microarchitecture"] == "zen3"
    assert data["target"]["features"] == ["avx", "avx2"]
    assert (data["target"]["cores"], data["target"]["virtual"]) == (4, False)
    assert data["workload"]["nodes"][0]["op"] == "matmul"


def test_a_reformatted_line_is_still_the_record(make_record):
    record = make_record()
    pretty = json.dumps(json.loads(record.line), indent=2)
    assert parse_record(pretty) == record


def test_any_other_content_contradicts_the_hash(make_record):
    data = json.loads(make_record(1, 2e-3).line)
    data["seconds"] = {**data["seconds"], "median": 2.1e-3, "q3": 2.1e-3}
    with pytest.raises(LogError, match="hash"):
        parse_record(json.dumps(data))


def test_a_newer_schema_is_refused_by_name(make_record):
    data = {**json.loads(make_record().line), "schema": 4, "future": []}
    with pytest.raises(LogError, match=r"schema 4 .* up to 3; upgrade Luthier"):
        parse_record(json.dumps(data))


def test_a_record_of_schema_1_stays_what_it_was(make_record):
    old = make_record(features=(), cores=0)
    old = replace(old, machine=replace(old.machine, virtual=None))
    data = json.loads(old.line)
    assert data["schema"] == 1
    assert not data["target"].keys() & {"features", "cores", "virtual"}
    assert parse_record(old.line) == old


def test_a_record_tells_the_default_s_time_where_they_were_timed_in_turns(make_record):
    alone = make_record(seconds=2e-3)
    timing = Timing.of([2e-3] * 5, default=3.00004e-3)
    beside = replace(alone, timing=timing)
    assert json.loads(beside.line)["seconds"]["default"] == 3e-3
    assert (alone.schema, beside.schema) == (2, 3)
    assert (alone.speedup, beside.speedup) == (None, 1.5)
    assert parse_record(beside.line) == beside
    noisy = replace(beside, timing=replace(timing, disturbed=True))
    assert parse_record(noisy.line) == noisy
    assert noisy.speedup == pytest.approx(1.5 / 1.1)


@pytest.mark.parametrize("default", [0, -1e-3, 1e-12, 90000.0, "3", True, None, [1]])
def test_an_absurd_time_of_the_default_is_refused(make_record, default):
    data = json.loads(make_record().line)
    data["seconds"]["default"] = default
    with pytest.raises(LogError, match="seconds"):
        parse_record(signed({**data, "schema": 3}))


@pytest.mark.parametrize(("schema", "default"), [(2, 1e-3), (3, None)])
def test_the_schema_says_whether_the_default_s_time_is_there(make_record, schema, default):
    data = json.loads(make_record().line)
    data["schema"] = schema
    if default is not None:
        data["seconds"]["default"] = default
    with pytest.raises(LogError, match="in schema 3"):
        parse_record(signed(data))


def about(**changes: Any) -> dict[str, Any]:
    """A target of schema 2, changed."""
    target = {"level": "x86-64-v3", "cpu": "znver3", "threads": 2, "l1": 1, "l2": 1, "l3": 1}
    names = {"vendor": "v", "microarchitecture": "m"}
    return {"target": {**target, **names, "features": [], "cores": 1, "virtual": True, **changes}}


def seconds(**changes: Any) -> dict[str, Any]:
    return {"seconds": {"median": 1e-3, "q1": 1e-3, "q3": 1e-3, "samples": 5, **changes}}


ABSURD = [
    seconds(median=-1e-3),
    seconds(median=0, q1=0),
    seconds(q3=90000.0, median=90000.0),
    seconds(median="fast"),
    seconds(median=True),
    seconds(q1=2e-3),
    seconds(samples=0),
    seconds(samples=10**30),
    seconds(extra=1),
    seconds(disturbed=False),
    seconds(disturbed=True),
    {"seconds": None},
    {"seconds": []},
    {"outcome": "crashed"},
    {"outcome": "great"},
    {"outcome": ["ok"]},
    {"noisy": True},
    {"cold": 1},
    {"time": "yesterday"},
    {"detail": "x" * (LONGEST_DETAIL + 1)},
    {"detail": "\x1b[31m"},
    {"detail": "\u202e"},
    {"tools": {"tvm": 1}},
    {"tools": {str(i): "1" for i in range(17)}},
    {"schedule": {"template": "fake", "version": 0, "knobs": {}}},
    {"schedule": {"template": "fake", "version": 1, "knobs": {"a": 1 << 40}}},
    {"schedule": {"template": "fake", "version": 1, "knobs": {"a": 1.5}}},
    {"schedule": {"template": "fake", "version": 1, "knobs": {"a": "x" * 81}}},
    {"schedule": {"template": "fake", "version": 1, "knobs": {"a": [1]}}},
    {"schedule": {"template": "fake", "version": 1, "knobs": {str(i): i for i in range(65)}}},
    {"schedule": "fast"},
    {"workload": {"inputs": [], "nodes": []}},
    {"workload": {"inputs": ["float32[-1]"], "nodes": [{"op": "a", "args": [0], "out": "x"}]}},
    {"workload": {"inputs": [], "nodes": [{"op": "a", "args": [1e999], "out": "float32[1]"}]}},
    {"workload": "conv2d"},
    {"workload": []},
    {"target": {}},
    about(cores=0),
    about(cores=1 << 40),
    about(cores="many"),
    about(features="avx2"),
    about(features=["avx2", 7]),
    about(features=["x" * 50]),
    about(features=["a"] * 200),
    about(virtual=None),
    about(extra=1),
    {**about(), "schema": 1},
    {"target": None},
    {"schema": 0},
    {"schema": True},
    {"schema": "1"},
    {"surprise": 1},
]


@pytest.mark.parametrize("change", ABSURD, ids=lambda c: str(c)[:60])
def test_absurd_values_are_refused(make_record, change):
    data = {**json.loads(make_record(0, 1e-3).line), **change}
    try:
        line = signed(data)
    except ValueError:  # no JSON for infinity: spell it as a number too large
        line = json.dumps(data).replace("Infinity", "1e999")
    with pytest.raises(LogError) as caught:
        parse_record(line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tools":{}', '"tools":{"llvm":"\\u001b[31m"}'),
        ('"tools":{}', '"tools":{"llvm":"\x1b[31m"}'),
        ('"tools":{}', '"tools":{"tvm":"1","llvm":"2"}'),
        ('"tools":{}', '"tools":{"llvm":"1","llvm":"2"}'),
        ('"tools":{}', '"tools":{ }'),
        ('"template":"pointwise"', '"template":"\\u202e"'),
        ('"vendor":"AuthenticAMD"', '"vendor":"\\u001b"'),
        ('"vendor":"AuthenticAMD"', '"vendor":"\x7f"'),
        ('"grain":1024', '"grain":1024,"grain":1024'),
        ('"samples":3', '"samples":03'),
        ('"cold":true', '"cold": true'),
    ],
)
def test_a_right_hash_makes_no_other_text_a_record(old, new):
    """Of a line that looks as it is written: a stranger may hash whatever bytes there are."""
    body = "{" + _LINE[len('{"hash":"0123456789abcdef",') :]
    assert old in body
    body = body.replace(old, new)
    with pytest.raises(LogError):
        parse_record(f'{{"hash":"{digest(body)}",{body[1:]}')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 5000])
def test_numbers_beyond_json_or_reason_are_refused(make_record, number):
    line = make_record(0, 1e-3).line.replace("0.001", number)
    assert number in line
    with pytest.raises(LogError):
        parse_record(line)


@pytest.mark.parametrize(
    "line",
    ["", "null", "[]", "3", "{}", '{"schema":1}', "{" * 10_000, "[" * 100_000, "x" * (1 << 21)],
    ids=lambda line: line[:12] or "empty",
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(LogError):
        parse_record(line)


def test_every_cut_of_a_line_is_refused(make_record):
    line = make_record().line
    for end in range(len(line)):
        with pytest.raises(LogError):
            parse_record(line[:end])


@given(st.data())
def test_no_damage_passes_or_crashes(data):
    line = _LINE
    at = data.draw(st.integers(0, len(line) - 1))
    char = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    damaged = line[:at] + char + line[at + 1 :]
    if json.loads(line) == _json(damaged):  # '1e-05' may become '1E-05'
        assert parse_record(damaged).line == line
    else:
        with pytest.raises(LogError):
            parse_record(damaged)


def _json(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_arbitrary_json_in_any_field_is_refused_or_read(value):
    for field in json.loads(_LINE):
        data = {**json.loads(_LINE), field: value}
        try:
            parse_record(json.dumps(data))
        except LogError:
            continue
        assert value == json.loads(_LINE)[field]


def _line() -> str:
    from luthier.schedules import Schedule, Target, Tensor, Workload, node

    workload = Workload((Tensor((4,)),), (False,), (node("relu", (0,), Tensor((4,))),))
    machine = Machine(Target("x86-64-v3", "znver3", 2), "AuthenticAMD", "zen3")
    schedule = Schedule("pointwise", 1, (("grain", 1024),))
    timing = Timing.of([1e-6, 2e-6, 1.5e-6])
    time = "2025-01-31T12:00:00.000Z"
    return Record(workload, machine, schedule, Outcome.OK, timing, True, "", (), time).line


_LINE = _line()


def test_quartiles_show_the_spread_and_mark_noise():
    calm = Timing.of([1.00, 1.01, 1.02, 1.01, 1.00])
    busy = Timing.of([1.0, 1.0, 1.5, 2.0, 1.0, 1.4])
    assert not calm.noisy
    assert busy.noisy
    assert busy.q1 <= busy.median <= busy.q3
    assert Timing.of([2e-3], disturbed=True).noisy
    assert Timing.of([2e-3]) == Timing(2e-3, 2e-3, 2e-3, 1)


def test_details_become_one_plain_line():
    assert one_line('Traceback\n  C:\\x said "no" \x1b[0m\n\n') == "C:/x said 'no' ?[0m"
    assert len(one_line("x" * 10_000)) == LONGEST_DETAIL
    assert one_line("") == ""


def test_disturbed_timings_are_marked_and_quiet_ones_carry_no_mark(make_record):
    quiet = make_record()
    noisy = replace(quiet, timing=Timing.of([1e-3], disturbed=True))
    assert "disturbed" not in quiet.line
    assert parse_record(noisy.line) == noisy
    assert noisy.to_json()["noisy"] is True
    assert quiet.seconds == noisy.seconds
    assert quiet.rank == quiet.seconds < noisy.rank


def test_failures_take_infinitely_long(make_record):
    assert math.isinf(make_record(0, None).seconds)


def test_times_rise_though_the_clock_is_set_back(monkeypatch):
    monkeypatch.setattr(
        "luthier.autotune.records.record._last", 0
    )  # other tests make many in a moment
    first = now()
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000_000_000_000)
    set_back = [now() for _ in range(3)]
    assert set_back == [f"2001-09-09T01:46:40.00{i}Z" for i in range(3)]
    monkeypatch.setattr("time.time_ns", lambda: 999_999_990_000_000_000)
    assert now() == "2001-09-09T01:46:40.003Z"
    assert horizon() == "2001-09-09T01:51:30.000Z"
    monkeypatch.undo()
    assert first <= now() < horizon()


@pytest.mark.parametrize(
    "time",
    [
        *("2025-13-01T00:00:00.000Z", "2025-00-01T00:00:00.000Z", "2025-01-32T00:00:00.000Z"),
        *("2025-01-01T24:00:00.000Z", "2025-01-01T00:60:00.000Z", "9999-99-99T99:99:99.999Z"),
        *("2025-01-01 00:00:00.000Z", "2025-01-01T00:00:00.000z", "2025-01-01T00:00:00Z"),
    ],
)
def test_no_time_that_is_none(make_record, time):
    line = replace(make_record(), time=time).line
    with pytest.raises(LogError, match="time"):
        parse_record(line)


@pytest.mark.parametrize("seconds", [0.0, -1e-3, 1e-10, 5e-324, 86401.0, 1e308])
def test_no_time_that_no_kernel_takes(make_record, seconds):
    timing = Timing(seconds, seconds, seconds, 1)
    with pytest.raises(LogError, match="seconds"):
        parse_record(replace(make_record(), timing=timing).line)


def test_a_clock_that_shows_no_time_makes_a_record_that_can_be_read(make_record):
    record = replace(make_record(), timing=Timing.of([0.0, 0.0, 1e-12]))
    assert parse_record(record.line).seconds == 1e-9
