"""The log keeps what it acknowledged, through anything, and uses nothing it should not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from luthier.autotune.log import Log
from luthier.schedules import Knob, LogError, Space

APPENDER = """
import sys
sys.path[:] = {path!r}
from luthier.autotune.log import Log
from luthier.autotune.record import Record
line = open({template!r}).read()
log = Log.open({log!r})
number = {first}
while number < {last}:
    record = Record.parse(line)
    knobs = (("number", number), ("order", "rows"))
    schedule = type(record.schedule)("fake", 1, knobs)
    log.append(type(record)(**{{**record.__dict__, "schedule": schedule}}))
    print(number, flush=True)
    number += 1
"""


def appender(tmp_path, record, first: int, last: int) -> subprocess.Popen[str]:
    """A process that appends records and prints each number once it is acknowledged."""
    template = tmp_path / "template"
    template.write_text(record.line)
    code = APPENDER.format(
        path=sys.path, template=str(template), log=str(tmp_path / "log"), first=first, last=last
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def numbers(log: Log) -> list[int]:
    return [r.schedule["number"] for r in log.records]


def test_records_come_back_in_order(tmp_path, make_record, open_log):
    log = open_log(tmp_path / "log")
    for i in range(5):
        log.append(make_record(i))
    again = Log(tmp_path / "log")
    assert again.records == log.records
    assert numbers(again) == [0, 1, 2, 3, 4]
    assert again.skipped == 0


def test_a_log_is_read_only_by_those_who_read(tmp_path):
    with pytest.raises(LogError, match="cannot open"):
        Log(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"{broken\n",
        b"\xff\xfe\x00binary\n",
        b'{"schema":99}\n',
        b"x" * (3 << 20) + b"\n",
        b"\0" * 4096 + b"\n",
    ],
    ids=["json", "binary", "newer", "endless", "zeros"],
)
def test_damaged_lines_are_skipped_counted_and_reported(tmp_path, make_record, open_log, damage):
    path = tmp_path / "log"
    log = open_log(path)
    log.append(make_record(1))
    with path.open("ab") as file:
        file.write(damage)
    log.append(make_record(2))
    before = path.read_bytes()
    again = open_log(path)
    assert numbers(again) == [1, 2]
    assert again.skipped == 1
    assert again.problems[0].startswith(f"{path}:2: ")
    assert path.read_bytes() == before


def test_blank_lines_are_no_damage(tmp_path, make_record, open_log):
    path = tmp_path / "log"
    path.write_text(f"\n{make_record(1).line}\n\n  \n{make_record(2).line}\r\n\n")
    log = open_log(path)
    assert numbers(log) == [1, 2]
    assert log.skipped == 0


def test_an_appender_leaves_a_torn_line_behind_it(tmp_path, make_record, open_log):
    path = tmp_path / "log"
    line = make_record(1).line
    path.write_text(f"{line}\n{line[: len(line) // 2]}")
    open_log(path).append(make_record(2))
    log = Log(path)
    assert numbers(log) == [1, 2]
    assert log.skipped == 1


def test_a_whole_line_without_its_newline_counts(tmp_path, make_record, open_log):
    path = tmp_path / "log"
    path.write_text(make_record(1).line)
    open_log(path).append(make_record(2))
    log = Log(path)
    assert numbers(log) == [1, 2]
    assert log.skipped == 0


def test_four_processes_append_at_once(tmp_path, make_record):
    writers = [appender(tmp_path, make_record(), 100 * i, 100 * i + 50) for i in range(4)]
    assert [w.communicate()[0].count("\n") for w in writers] == [50] * 4
    log = Log(tmp_path / "log")
    assert log.skipped == 0
    assert sorted(numbers(log)) == [100 * i + j for i in range(4) for j in range(50)]


def test_what_was_acknowledged_survives_kill_9(tmp_path, make_record):
    acknowledged: list[int] = []
    for round_ in range(3):
        writer = appender(tmp_path, make_record(), 10_000 * round_, 10_000 * (round_ + 1))
        assert writer.stdout is not None
        acknowledged += [int(writer.stdout.readline()) for _ in range(20 + round_)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(x) for x in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
    log = Log(tmp_path / "log")
    assert set(acknowledged) <= set(numbers(log))
    assert len(numbers(log)) <= len(acknowledged) + 3
    assert log.skipped <= 3


def test_refresh_reads_what_others_appended(tmp_path, make_record, open_log):
    ours, theirs = open_log(tmp_path / "log"), open_log(tmp_path / "log")
    theirs.append(make_record(1, 1e-3))
    ours.append(make_record(2, 2e-3))
    ours.refresh()
    assert sorted(numbers(ours)) == [1, 2]
    assert ours.best(make_record().workload, make_record().target).schedule["number"] == 1


def test_a_folder_is_no_log(tmp_path):
    for opened in (Log, Log.open):
        with pytest.raises(LogError, match="log"):
            opened(tmp_path)


def test_a_device_or_pipe_is_no_log(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", "/dev/zero", tmp_path / "pipe"):
        with pytest.raises(LogError, match="not a regular file"):
            Log(path)


@pytest.mark.parametrize("content", [b"\x7fELF\0\0\0", b"# Notes\n\nBuy milk.\n"])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(LogError, match="is not a tuning log"):
        Log.open(path)
    assert path.read_bytes() == content


def test_an_unwritable_place_is_told_at_once(tmp_path):
    with pytest.raises(LogError, match="No such file or directory") as caught:
        Log.open(tmp_path / "nowhere" / "log")
    assert "\n" not in str(caught.value)
    with pytest.raises(LogError):
        Log.open("/proc/log")
    with pytest.raises(LogError):
        Log.open("a\0b")


def test_a_full_disk_is_told_and_costs_one_line(tmp_path, make_record, open_log, monkeypatch):
    log = open_log(tmp_path / "log")
    log.append(make_record(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100]))
    with pytest.raises(LogError, match="disk is full"):
        log.append(make_record(2))
    monkeypatch.undo()
    log.append(make_record(3))
    assert numbers(log) == [1, 3]
    again = Log(tmp_path / "log")
    assert numbers(again) == [1, 3]
    assert again.skipped == 1


class TestBest:
    def test_the_fastest_right_record_wins(self, tmp_path, make_record, open_log, workload, target):
        log = open_log(tmp_path / "log")
        assert log.best(workload, target) is None
        for number, seconds in ((1, 3e-3), (2, 1e-3), (3, 2e-3), (4, None)):
            log.append(make_record(number, seconds))
        assert log.best(workload, target).schedule["number"] == 2
        assert [r.schedule["number"] for r in log.ranked(workload, target)] == [2, 3, 1]

    def test_the_latest_of_one_schedule_counts(
        self, tmp_path, make_record, open_log, workload, target
    ):
        log = open_log(tmp_path / "log")
        log.append(make_record(1, 1e-3, time="2025-01-01T00:00:00.000Z"))
        log.append(make_record(2, 2e-3, time="2025-01-01T00:00:01.000Z"))
        log.append(make_record(1, 3e-3, time="2025-01-01T00:00:02.000Z"))
        log.append(make_record(2, 5e-3, time="2024-01-01T00:00:00.000Z"))
        assert log.best(workload, target).seconds == 2e-3
        log.append(make_record(2, None, time="2025-01-01T00:00:03.000Z"))
        assert log.best(workload, target).seconds == 3e-3

    def test_other_machines_are_told_apart_and_never_used(
        self, tmp_path, make_record, open_log, workload, target
    ):
        log = open_log(tmp_path / "log")
        others = [
            replace(target, level="x86-64-v4"),
            replace(target, cpu="znver4"),
            replace(target, threads=4),
            replace(target, l2=1 << 20),
            replace(target, l3=1 << 20),
        ]
        for i, other in enumerate(others):
            log.append(make_record(i, 1e-6, on=other))
        assert log.best(workload, target) is None
        assert len(log.foreign(workload, target)) == len(others)
        assert log.measured(workload, target) == {}
        log.append(make_record(9, 1.0))
        assert log.best(workload, target).schedule["number"] == 9
        assert len(log.foreign(workload, target)) == len(others)

    def test_stale_versions_and_unknown_knobs_are_not_used(
        self, tmp_path, make_record, open_log, workload, target
    ):
        log = open_log(tmp_path / "log")
        log.append(make_record(1, 1e-6, version=2))
        log.append(make_record(5000, 1e-6))
        assert log.best(workload, target) is None
        log.append(make_record(2, 1.0))
        assert log.best(workload, target).schedule["number"] == 2

    def test_the_space_is_that_of_the_accuracy_asked_for(
        self, tmp_path, make_record, workload, target
    ):
        """Records tell of the machine alone; what is not exact enough is not in the space."""
        path = tmp_path / "log"
        strict = replace(target, accuracy="strict")

        def halved(workload, target):
            most = 500 if target.accuracy == "strict" else 1000
            knobs = Knob("number", tuple(range(most)), ""), Knob("order", ("rows",), "")
            return (Space("fake", 1, knobs, {"number": 0, "order": "rows"}),)

        log = Log.open(path, halved)
        log.append(make_record(700, 1e-6))
        assert log.best(workload, strict) is None
        assert log.measured(workload, strict) == {}
        log.append(make_record(300, 1.0))
        assert log.best(workload, strict).schedule["number"] == 300
        assert len(log.measured(workload, strict)) == 1
        assert log.foreign(workload, strict) == ()
        assert log.best(workload, target).schedule["number"] == 700

    def test_records_of_warm_weights_answer_another_question(
        self, tmp_path, make_record, open_log, workload, target
    ):
        log = open_log(tmp_path / "log")
        log.append(replace(make_record(1), cold=False))
        assert log.best(workload, target) is None


def test_records_open_at_ten_thousand_a_second_at_least(tmp_path, make_record):
    path = tmp_path / "log"
    with path.open("w") as file:
        for i in range(1000):
            file.write(make_record(i).line + "\n")
    begin = time.process_time()
    log = Log(path)
    spent = time.process_time() - begin
    assert len(log.records) == 1000
    assert spent < 0.1  # it takes 0.02 s on a machine of 2025
