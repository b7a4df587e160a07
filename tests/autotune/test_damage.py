"""A thousand random corruptions: no crash, only damaged records lost, all of them counted."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from luthier.autotune.records.pack import Pack, write_pack
from luthier.autotune.records.record import Record
from luthier.autotune.records.store import Store
from luthier.schedules import LogError

T = TypeVar("T")
RECORDS = 60
ROUNDS = 500  # of packs, and as many of stores


def flip(data: bytearray, rng: random.Random) -> None:
    """One bit."""
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    """Up to 2,000 bytes with noise, or zeros."""
    start, size = rng.randrange(len(data)), rng.randrange(1, 2000)
    noise = rng.randbytes(size) if rng.random() < 0.5 else bytes(size)
    data[start : start + size] = noise[: len(data) - start]


def cut(data: bytearray, rng: random.Random) -> None:
    """The end is lost."""
    del data[rng.randrange(len(data)) :]


def remove(data: bytearray, rng: random.Random) -> None:
    """Some bytes in the middle are lost, so that all behind them move."""
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 5000)]


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, overwrite, cut, remove)


def usable(read: Callable[[], T]) -> T | None:
    """What is read; None where it is refused as a whole, in one line."""
    try:
        return read()
    except LogError as refused:
        told = str(refused)
    assert "\n" not in told
    return None


@pytest.fixture(scope="module")
def rng() -> random.Random:
    return random.Random(20250131)


@pytest.fixture
def records(make_record) -> list[Record]:
    return [make_record(i, 1e-3 * (i + 1)) for i in range(RECORDS)]


def test_packs(tmp_path, records, rng):
    path = tmp_path / "pack.jsonl"
    write_pack(path, records)
    whole, lines = path.read_bytes(), {r.hash: r.line.encode() for r in records}
    for number in range(ROUNDS):
        data = bytearray(whole)
        DAMAGES[number % len(DAMAGES)](data, rng)
        path.write_bytes(data)
        source = Pack(path)
        read = usable(lambda: list(source.records()))  # noqa: B023 - called at once
        if read is None:
            assert not any(line in data for line in lines.values())
            continue
        found = {record.hash: record for record in read}
        assert found.items() <= {r.hash: r for r in records}.items()
        intact = {h for h, line in lines.items() if line in bytes(data).splitlines()}
        assert intact <= found.keys()
        damaged_lines = [line for line in bytes(data).splitlines() if line.strip()]
        assert len(found) + source.skipped == len(damaged_lines)


def stored(path: Path, records: list[Record]) -> bytes:
    with Store.open(path, create=True) as store:
        store.add(records)
    return path.read_bytes()


def test_stores(tmp_path, records, rng):
    path = tmp_path / "log.db"
    whole, lines = stored(path, records), {r.hash: r.line.encode() for r in records}
    workload, machines = records[0].workload, None
    for number in range(ROUNDS):
        data = bytearray(whole)
        DAMAGES[number % len(DAMAGES)](data, rng)
        path.write_bytes(data)
        intact = {h for h, line in lines.items() if line in data}
        store = usable(lambda: Store.open(path))
        if store is None:
            assert not intact
            continue
        with store:
            found = {r.hash: r for r in store.records()}
            machines = list(store.machines())
            for record in store.ranked(workload, machines):
                assert record == found.get(record.hash, record)
            problems = store.check()
            assert found.items() <= {r.hash: r for r in records}.items()
            assert intact <= found.keys()
            if len(found) < len(records):
                assert store.skipped or problems


def test_a_damaged_store_is_not_written_to_and_can_be_saved(tmp_path, records):
    path = tmp_path / "log.db"
    data = bytearray(stored(path, records))
    page = 16384
    data[page : page + 4000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(LogError, match="luthier logs export"):
        Store.open(path, create=True)
    assert path.read_bytes() == data
    with Store.open(path) as store:
        saved = list(store.records())
        assert store.skipped
    with Store.open(tmp_path / "new.db", create=True) as fresh:
        assert fresh.add(saved) == len(saved) > RECORDS / 2


def test_rows_that_make_no_sense_are_skipped(tmp_path, records):
    path = tmp_path / "log.db"
    stored(path, records)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE luthier_records SET line = '{}' WHERE rowid = 1")
        connection.execute("UPDATE luthier_records SET hash = 'feedfeedfeedfeed' WHERE rowid = 2")
        connection.execute("UPDATE luthier_records SET line = zeroblob(900) WHERE rowid = 3")
        connection.execute("UPDATE luthier_machines SET text = '[' ")
    connection.close()
    with Store.open(path) as store:
        assert len(list(store.records())) == RECORDS - 2  # a record is known by its own hash
        assert store.skipped == 2
        assert [m.target for m in store.machines().values()] == [records[0].target]


def test_a_copy_taken_while_someone_writes_is_read_with_its_write_ahead_log(tmp_path, records):
    with Store.open(tmp_path / "log.db", create=True) as store:
        store.add(records)
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"log.db{suffix}", tmp_path / f"copy.db{suffix}")
    with Store.open(tmp_path / "copy.db") as copy:
        assert copy.count() == RECORDS
