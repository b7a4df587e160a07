"""The store keeps what it acknowledged, through anything, and finds it again."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share writers.py

from writers import numbers, writer

from luthier.autotune.records import database
from luthier.autotune.records.pack import Pack
from luthier.autotune.records.store import Store
from luthier.schedules import LogError, Schedule

VERSIONS = Path(__file__).parent / "records"
PACK = Path(__file__).parents[2] / "logs" / "znver3.jsonl"


def later(minutes: float) -> str:
    """A time to come, as records have it."""
    then = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    return then.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


def test_records_come_back(path, make_record):
    records = [make_record(i) for i in range(5)]
    with Store.open(path, create=True) as store:
        assert store.add(records) == 5
    with Store.open(path) as store:
        assert {r.hash: r for r in store.records()} == {r.hash: r for r in records}
        assert (store.count(), store.skipped, store.problems) == (5, 0, [])


def test_a_record_is_kept_once(path, make_record):
    with Store.open(path, create=True) as store:
        assert store.add([make_record(1, time="2025-01-01T00:00:00.000Z")] * 3) == 1
        assert store.add([make_record(1, time="2025-01-01T00:00:00.000Z"), make_record(2)]) == 1
        assert numbers(store) == [1, 2]


def test_one_configuration_on_two_machines_is_two_records(path, make_record, target):
    with Store.open(path, create=True) as store:
        store.add([make_record(1), make_record(1, on=replace(target, threads=8))])
        assert store.count() == 2
        assert len(store.machines()) == 2


def test_nothing_is_left_beside_a_closed_store(path, make_record):
    with Store.open(path, create=True) as store:
        store.add([make_record(1)])
    assert [p.name for p in path.parent.iterdir()] == ["log.db"]


def test_a_store_is_created_only_by_those_who_write(path):
    with pytest.raises(LogError, match=r"cannot open the log .*No such file"):
        Store.open(path)
    assert not path.exists()


def test_a_reader_needs_no_permission_to_write(path, make_record, monkeypatch):
    with Store.open(path, create=True) as store:
        store.add([make_record(1)])
    monkeypatch.setattr(os, "access", lambda *a: False)  # root may write anywhere
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with Store.open(path) as store:
        assert numbers(store) == [1]
        with pytest.raises(LogError, match="readonly"):
            store.add([make_record(2)])
    assert [p.name for p in path.parent.iterdir()] == ["log.db"]


def test_records_that_were_removed_are_gone(path, make_record):
    records = [make_record(i) for i in range(4)]
    with Store.open(path, create=True) as store:
        store.add(records)
        store.remove([records[1].hash, records[3].hash, "0" * 16])
        assert numbers(store) == [0, 2]
    assert records[1].hash.encode() not in path.read_bytes()


def test_records_are_found_by_the_beginning_of_their_hash(path, make_record):
    record = make_record(1)
    with Store.open(path, create=True) as store:
        store.add([record, make_record(2)])
        assert store.find(record.hash[:8]) == [record]
        assert store.find("%") == []


def test_four_processes_write_at_once(tmp_path, path, make_record):
    writers = [writer(tmp_path, make_record(), path, 100 * i, 100 * i + 50) for i in range(4)]
    assert [w.communicate()[0].count("\n") for w in writers] == [50] * 4
    with Store.open(path) as store:
        assert numbers(store) == [100 * i + j for i in range(4) for j in range(50)]
        assert store.skipped == 0


def test_what_was_acknowledged_survives_kill_9(tmp_path, path, make_record):
    acknowledged: set[int] = set()
    for round_ in range(3):
        process = writer(tmp_path, make_record(), path, 1000 * round_, 1000 * (round_ + 1))
        assert process.stdout is not None
        acknowledged |= {int(process.stdout.readline()) for _ in range(20 + round_)}
        process.send_signal(signal.SIGKILL)
        acknowledged |= {int(x) for x in process.stdout.read().split()}
        process.wait()
        process.stdout.close()
    with Store.open(path) as store:
        assert acknowledged <= set(numbers(store))
        assert store.count() <= len(acknowledged) + 3
        assert store.skipped == 0


def test_what_others_add_is_seen(path, make_record):
    with Store.open(path, create=True) as ours, Store.open(path, create=True) as theirs:
        theirs.add([make_record(1)])
        ours.add([make_record(2)])
        assert numbers(ours) == numbers(theirs) == [1, 2]


@pytest.mark.parametrize("create", [False, True])
class TestWhatIsNoStore:
    def test_a_folder_device_or_pipe(self, tmp_path, create):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path, "/dev/null", "/dev/zero", tmp_path / "pipe"):
            with pytest.raises(LogError, match="not a regular file"):
                Store.open(path, create=create)

    @pytest.mark.parametrize("content", [b"\x7fELF\0\0\0", b"# Notes\n\nBuy milk.\n"])
    def test_another_kind_of_file_is_left_alone(self, path, content, create):
        path.write_bytes(content)
        with pytest.raises(LogError, match="is not a tuning log"):
            Store.open(path, create=create)
        assert path.read_bytes() == content

    def test_a_pack_is_told_apart(self, path, make_record, create):
        path.write_text(make_record().line + "\n")
        with pytest.raises(LogError, match=r"is a pack, not a store.*luthier logs import"):
            Store.open(path, create=create)

    @pytest.mark.parametrize(
        "setup", ["CREATE TABLE songs (x)", "CREATE VIEW luthier_v AS SELECT 1"]
    )
    def test_another_program_s_database_is_left_alone(self, path, create, setup):
        with sqlite3.connect(path) as connection:
            connection.execute(setup)
        connection.close()
        before = path.read_bytes()
        with pytest.raises(LogError, match="no store of records"):
            Store.open(path, create=create)
        if not create:
            assert path.read_bytes() == before

    def test_a_newer_store_is_refused_by_name(self, path, create):
        Store.open(path, create=True).close()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE luthier_store SET version = 7")
        connection.close()
        with pytest.raises(LogError, match=r"version 7 and this Luthier reads up to 1; upgrade"):
            Store.open(path, create=create)

    @pytest.mark.parametrize("url", ["mysql://host/db", "sqlite:///x.db", "s3://bucket/pack.jsonl"])
    def test_other_urls(self, url, create):
        with pytest.raises(LogError, match=r"a file's path or a postgresql:// URL"):
            Store.open(url, create=create)

    def test_an_unusable_path(self, tmp_path, create):
        for path in (tmp_path / "nowhere" / "log", "/proc/log", "a\0b"):
            with pytest.raises(LogError) as caught:
                Store.open(path, create=create)
            assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password():
    with pytest.raises(LogError) as caught:
        Store.open("postgresql://me:secret@127.0.0.1:1/db", create=True)
    assert "me:***@127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


class TestLocks:
    """Another process holds the file: whoever wants it waits, and hears Ctrl-C meanwhile."""

    @pytest.fixture
    def held(self, path, make_record):
        with Store.open(path, create=True) as store:
            store.add([make_record(1)])
        with contextlib.closing(
            sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        ) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("CREATE TABLE IF NOT EXISTS luthier_other (x)")
            yield other

    @pytest.mark.parametrize("create", [False, True])
    def test_an_interrupt_is_heard_at_once(self, path, held, create):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        begin = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                Store.open(path, create=create)
        finally:
            timer.join()
            signal.signal(signal.SIGINT, before)
        assert time.monotonic() - begin < 10

    @pytest.mark.parametrize("create", [False, True])
    def test_it_is_waited_for(self, path, held, make_record, create):
        timer = threading.Timer(0.5, held.close)
        timer.start()
        with Store.open(path, create=create) as store:
            assert numbers(store) == [1]
            if create:
                store.add([make_record(2)])
                assert numbers(store) == [1, 2]
        timer.join()

    @pytest.mark.usefixtures("held")
    def test_not_for_ever(self, path, monkeypatch):
        monkeypatch.setattr("luthier.autotune.records.database._WAIT", 0.3)
        with pytest.raises(LogError, match="locked"):
            Store.open(path, create=True)


@pytest.mark.parametrize("number", range(0, 30, 3))
def test_an_interrupt_in_any_statement_is_one_and_costs_nothing(
    path, make_record, monkeypatch, number
):
    """It comes from below as it is, not as an error of the database's library."""
    with Store.open(path, create=True) as store:
        store.add([make_record(1)])
    execute, count = database._PatientCursor.execute, itertools.count()

    def interrupted(self, *arguments):
        if next(count) == number:
            raise KeyboardInterrupt
        return execute(self, *arguments)

    def work() -> None:
        with Store.open(path, create=True) as store:
            store.add([make_record(2)])
            list(store.records())
            store.remove([make_record(2).hash])

    with monkeypatch.context() as patch:
        patch.setattr(database._PatientCursor, "execute", interrupted)
        with contextlib.suppress(KeyboardInterrupt):
            work()
    with Store.open(path, create=True) as store:
        assert 1 in numbers(store)
        assert (store.skipped, store.check()) == (0, [])


def test_a_full_disk_is_told_and_costs_nothing_else(path, make_record):
    with Store.open(path, create=True) as store:
        store.add([make_record(1)])
        pages = store._engine.connect().exec_driver_sql("PRAGMA page_count").scalar()
        store._engine.connect().exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(LogError, match="full"):
            store.add(make_record(i) for i in range(2, 500))
        assert numbers(store) == [1]


class TestTheLatest:
    """What queries say, of records of one kind of machine."""

    @pytest.fixture
    def of(self, path, make_record):
        with Store.open(path, create=True) as store:
            yield lambda *records: (store.add(records), store, list(store.machines()))[1:]

    def test_the_fastest_comes_first(self, of, make_record, workload):
        store, machines = of(*(make_record(n, s) for n, s in ((1, 3e-3), (2, 1e-3), (3, None))))
        assert [r.schedule["number"] for r in store.ranked(workload, machines)] == [2, 1]
        assert len(store.latest(workload, machines)) == 3

    def test_there_may_be_thousands(self, of, make_record, workload):
        store, machines = of(*(make_record(n, (n * 7919 % 1000 + 1) * 1e-6) for n in range(1000)))
        ranked = [r.seconds for r in store.ranked(workload, machines)]
        assert len(ranked) == 1000
        assert ranked == sorted(ranked)

    def test_the_latest_of_a_schedule_counts_whatever_the_order(self, of, make_record, workload):
        times = [f"2025-01-01T00:00:0{i}.000Z" for i in range(4)]
        store, machines = of(
            make_record(1, 3e-3, time=times[2]),
            make_record(1, 1e-3, time=times[0]),
            make_record(2, 2e-3, time=times[1]),
            make_record(2, 9e-3, time=times[0]),
        )
        assert [r.seconds for r in store.ranked(workload, machines)] == [2e-3, 3e-3]
        of(make_record(2, None, time=times[3]))
        assert [r.seconds for r in store.ranked(workload, machines)] == [3e-3]

    def test_a_record_from_the_future_is_corrected_by_any_other(self, of, make_record, workload):
        """Of a wrong clock or a forger; among themselves the latest counts, as always."""
        for number, ahead in enumerate(("2099-01-01T00:00:00.000Z", later(minutes=6))):
            store, machines = of(make_record(number, 1e-5, time=ahead), make_record(5, 1e-3))
            (ours,) = (r for r in store.latest(workload, machines).values() if r.time == ahead)
            assert ours.seconds == 1e-5, "nothing else is known of it"
            of(make_record(number, 2e-3))
            assert store.latest(workload, machines)[ours.schedule].seconds == 2e-3
            of(make_record(number, 1e-6, time="9999-12-31T23:59:59.999Z"))
            assert store.latest(workload, machines)[ours.schedule].seconds == 2e-3
            assert ours.hash not in {
                r.hash for group in store.groups(machines) for r in group.values()
            }
        of(make_record(7, 1e-4, time="2099-01-01T00:00:00.000Z"))
        store, _ = of(make_record(7, 2e-4, time="2099-01-02T00:00:00.000Z"))
        assert next(store.ranked(workload, machines)).seconds == 2e-4

    def test_clocks_may_differ_by_a_little(self, of, make_record, workload):
        store, machines = of(make_record(1, 1e-3), make_record(1, 2e-3, time=later(minutes=1)))
        assert [r.seconds for r in store.ranked(workload, machines)] == [2e-3]

    def test_a_machine_whose_clock_is_behind_sees_its_own_records(
        self, of, make_record, workload, monkeypatch
    ):
        store, machines = of(make_record(1, 1e-3))
        monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
        of(make_record(1, 2e-3))
        assert [r.seconds for r in store.ranked(workload, machines)] == [2e-3]
        monkeypatch.undo()
        assert [r.seconds for r in store.ranked(workload, machines)] == [1e-3]

    def test_other_machines_and_kernels_do_not_mix_in(self, of, make_record, workload, target):
        other = replace(target, threads=7)
        small = replace(workload, inputs=(workload.inputs[0], *workload.inputs[1:]))
        store, _ = of(
            make_record(1, 1e-3), make_record(2, 1e-6, on=other), make_record(3, of=small)
        )
        (ours,) = (k for k, m in store.machines().items() if m.target == target)
        assert {s["number"] for s in store.latest(workload, [ours])} == {1, 3}
        assert store.elsewhere(workload, [ours]) == 1
        assert store.count([ours]) == 2

    def test_warm_records_answer_another_question(self, of, make_record, workload):
        store, machines = of(replace(make_record(1), cold=False))
        assert list(store.ranked(workload, machines)) == []
        assert store.groups(machines) == []

    def test_groups_are_kernels(self, of, make_record, workload):
        other = replace(workload, constants=(False, False, True))
        store, machines = of(make_record(1), make_record(2), make_record(1, of=other))
        assert sorted(map(len, store.groups(machines))) == [1, 2]

    def test_what_was_wrong_anywhere_is_known(self, of, make_record, workload, target):
        store, _ = of(make_record(1), make_record(2, None, on=replace(target, threads=7)))
        assert store.refuted(workload) == {Schedule("fake", 1, (("number", 2), ("order", "rows")))}


def test_a_store_may_be_copied_when_it_is_closed(path, make_record):
    with Store.open(path, create=True) as store:
        store.add([make_record(1)])
    shutil.copy(path, path.with_name("copy.db"))
    with Store.open(path.with_name("copy.db"), create=True) as store:
        assert numbers(store) == [1]


@pytest.mark.parametrize("old", sorted(VERSIONS.glob("*.db")), ids=lambda p: p.stem)
def test_every_past_version_is_read_and_goes_on(path, old, make_record):
    """Each file was written by a Luthier of its time: store_N.db has tables of version N."""
    shutil.copy(old, path)
    with Store.open(path, create=True) as store:
        count = len(list(store.records()))
        assert count == store.count() >= 3
        assert store.add([make_record(1)]) == 1
        assert (store.skipped, store.check()) == (0, [])


@pytest.mark.parametrize("room", [0, 40_000, 400_000])
def test_a_log_that_cannot_grow_is_told_what_to_do(tmp_path, room):
    """The advice for damage, to begin a new log, would be no help."""
    code = f"""
import resource, sys
from luthier.autotune import Pack, Store
from luthier.schedules import LogError
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, resource.RLIM_INFINITY))
try:
    store = Store.open("log", create=True)
    store.add(Pack({str(PACK)!r}).records())
except LogError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "cannot use the log 'log': files may not grow that large: raise the limit (ulimit -f) "
        "and run again, what it holds is safe\n"
    )
    with Store.open(tmp_path / "log", create=True) as store:  # nothing is damaged
        assert store.check() == []
        store.add(itertools.islice(Pack(PACK).records(), 20))
        assert store.count() >= 20


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    told = "No space left on device: make room and run again"
    with pytest.raises(LogError, match=told), database.reported(tmp_path / "log"):
        raise sqlite3.OperationalError("disk I/O error")
    monkeypatch.undo()
    with pytest.raises(LogError, match="begin a new log"), database.reported(tmp_path / "log"):
        raise sqlite3.OperationalError("disk I/O error")


def test_an_empty_file_is_no_log_yet(path):
    path.touch()
    with pytest.raises(LogError, match="is empty, and no log yet; 'luthier tune' begins it"):
        Store.open(path)
    Store.open(path, create=True).close()
    Store.open(path).close()


def test_a_database_without_tables_is_told_as_empty(tmp_path):
    """As an interrupt leaves it that comes while it is made."""
    path = tmp_path / "log.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(LogError, match="is empty, and no log yet; 'luthier tune' begins it"):
        Store.open(path)
    with Store.open(path, create=True) as store:
        assert store.count() == 0
