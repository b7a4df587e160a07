"""The store: records in a database, a SQLite file of one's own or a team's PostgreSQL server.

Several processes may write at once. A record that was added is on the disk when ``add`` returns,
and survives an interrupt, a crash, ``kill -9`` and a power failure. Nothing is ever changed; only
``remove`` removes. What cannot be read is skipped and counted, never repaired.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from luthier.schedules import LogError, LuthierError, Schedule, Workload
from luthier.schedules.redaction import shown

from . import database, tables
from .address import is_server, is_url
from .closing import Closing
from .machine import Machine
from .pack import MOST_PROBLEMS
from .parse import parse_record
from .record import Record
from .salvage import salvaged
from .tables import MACHINES, RECORDS, VERSIONS

_PAGE = 1000  # records at once
_WINNERS = 4  # of a kernel at first: most ask for one or two
_ATTEMPTS = 5  # to reach a server that went away
_T = TypeVar("_T")
Keys = Collection[str]  # of machines
Latest = dict[Schedule, Record]


class Store(Closing):
    """Records in a database. ``name`` tells where, without a password.

    ``skipped`` counts what could not be read; ``problems`` tells about the first few.
    """

    def __init__(
        self, engine: sa.Engine, name: str, path: Path | None = None, url: str | None = None
    ) -> None:
        """See ``open`` and ``in_memory``."""
        self.name, self._where = name, url or name
        self.problems: list[str] = []
        self._unread: set[str] = set()
        self._lost = 0
        self._engine, self._path = engine, path
        self._damaged = False
        self._machines: dict[str, Machine] = {}
        self._knows_machines = False

    @classmethod
    def open(cls, where: str | os.PathLike[str], *, create: bool = False) -> Store:
        """The store at a path, or at a ``postgresql://`` URL; raises LogError.

        ``create`` makes it where it is missing, and is needed to add records.
        """
        if is_server(where):
            store = cls(database.server(str(where)), shown(where), url=str(where))
        elif is_url(where):
            raise LogError(f"'{shown(where)}': a log is a file's path or a postgresql:// URL")
        else:
            path = Path(where)
            store = cls(database.file(path, create=create), shown(where), path)
        try:
            if create:
                store._create()
            store._check_version()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def in_memory(cls, name: str, records: Iterable[Record] = ()) -> Store:
        """A store of these records, which ends with the process."""
        store = cls(database.memory(), name)
        with database.transaction(store._engine) as connection:
            tables.create(connection)
        store.add(records)
        return store

    @property
    def skipped(self) -> int:
        """How many records could not be read so far."""
        return len(self._unread) + self._lost

    def report(self, skipped: int, problems: Sequence[str]) -> None:
        """Count what could not be read when the records were brought here."""
        self._lost += skipped
        self.problems += problems[: max(0, MOST_PROBLEMS - len(self.problems))]

    def close(self) -> None:
        """Let go of the database; harmless when repeated."""
        self._engine.dispose()

    # ---- writing ----

    def add(self, records: Iterable[Record]) -> int:
        """Add what is not there yet; returns how many. Raises LogError.

        A thousand at a time, and of these all or nothing.
        """
        added = 0
        rest = iter(records)
        while batch := list(itertools.islice(rest, _PAGE)):
            added += self._again(lambda batch=batch: self._add(batch))  # type: ignore[misc]
        return added

    def remove(self, hashes: Collection[str]) -> None:
        """Delete records, all or nothing; raises LogError."""
        self._refuse_damage()
        with database.reported(self._where), database.transaction(self._engine) as connection:
            for some in _batches(sorted(hashes)):
                connection.execute(sa.delete(RECORDS).where(RECORDS.c.hash.in_(some)))

    # ---- reading ----

    def machines(self) -> dict[str, Machine]:
        """The machines that records are of, by the key that queries take.

        Those that were there when this was first asked, and of what was added here since.
        """
        if not self._knows_machines:
            for key, text in self._select(tables.MACHINE_ROWS):
                if key not in self._machines:
                    self._learn(key, text)
            self._knows_machines = True
        return dict(self._machines)

    def find(self, prefix: str) -> list[Record]:
        """Records whose hash begins so: hex digits, at least four of them."""
        return list(self._parsed(self._select(*tables.beginning(prefix))))

    def count(self, machines: Collection[str] | None = None) -> int:
        """How many records there are, of these machines or of all."""
        query = sa.select(sa.func.count()).select_from(RECORDS)
        if machines is not None:
            query = query.where(RECORDS.c.machine.in_(machines))
        return int(self._select(query)[0][0])

    def records(self) -> Iterator[Record]:
        """All records, in the order of their hashes; of a damaged file what can be saved."""
        told: set[str] = set()
        for record in self._records():
            told.add(record.hash)
            yield record
        if not self._damaged and self._is_unsound():
            yield from (record for record in self._records() if record.hash not in told)

    def ranked(self, workload: Workload, machines: Keys, *, cold: bool = True) -> Iterator[Record]:
        """The latest record of each schedule that was right, fastest first."""
        first, count = 0, _WINNERS
        while machines:
            rows = self._select(*tables.ranked(machines, workload.key, cold, first, count))
            yield from self._of(workload, rows)
            if len(rows) < count:
                return
            first, count = first + count, 4 * count

    def asked(self, workload: Workload, asked: tables.Asked) -> Iterator[Record]:
        """A workload's records by a statement of ``tables``."""
        return self._of(workload, self._select(*asked))

    def latest(self, workload: Workload, machines: Keys, *, cold: bool = True) -> Latest:
        """The latest record of each schedule, failures too, the first measured first."""
        found = self.asked(workload, tables.latest(machines, workload.key, cold))
        return {record.schedule: record for record in found}

    def groups(self, machines: Keys, *, cold: bool = True) -> list[Latest]:
        """The latest records on these machines, a group for each workload."""
        found: dict[str, Latest] = {}
        for record in self._parsed(self._select(*tables.groups(machines, cold))):
            found.setdefault(record.workload.key, {})[record.schedule] = record
        return list(found.values())

    def refuted(self, workload: Workload) -> set[Schedule]:
        """Schedules that gave a wrong result or crashed, on whatever machine."""
        return {r.schedule for r in self.asked(workload, tables.refuted(workload.key))}

    def elsewhere(self, workload: Workload, machines: Collection[str]) -> int:
        """How many right records of the workload are of other machines."""
        return int(self._select(*tables.elsewhere(machines, workload.key))[0][0])

    def check(self) -> list[str]:
        """What a database that is a file finds wrong with itself; nothing in a sound one."""
        if self._path is None or self._damaged:
            return []
        found = self._select(sa.text("PRAGMA integrity_check(5)"))
        return [] if self._damaged else [str(line) for (line,) in found if line != "ok"]

    # ---- underneath ----

    def _create(self) -> None:
        with database.reported(self._where), database.transaction(self._engine) as connection:
            alien = self._path is not None and connection.execute(tables.ALIEN).scalar()
            if not alien:
                tables.create(connection)

    def _check_version(self) -> None:
        """Raises LogError for what is not a store, or a newer one."""
        if self._path is not None and database.is_cut(self._path):
            self._salvage("it is shorter or longer than it should be")
        version = self._version()
        if version < 1 and not self._salvage("its tables are not what they should be"):
            if self._path is not None and database.is_empty(self._engine, self._path):
                raise LogError(f"'{self.name}' is empty, and no log yet; 'luthier tune' begins it")
            raise LogError(f"'{self.name}' is a database, but no store of records")
        if version > tables.VERSION:
            raise LogError(
                f"the store '{self.name}' has version {version} and this Luthier reads up to "
                f"{tables.VERSION}; upgrade Luthier"
            )

    def _version(self) -> int:
        """Of the tables; 0 where they are none of a store."""
        try:
            if self._path is not None and not self._damaged and self._select(tables.ALIEN)[0][0]:
                return 0
            found = self._select(sa.select(VERSIONS.c.version))
        except LogError as error:
            if "luthier_store" in str(error):
                return 0
            raise
        version = found[0][0] if found else 0
        return version if type(version) is int else 0

    def _is_unsound(self) -> bool:
        """Whether a file contradicts itself; then what can be saved from it is read."""
        if self._path is None:
            return False
        found = self._select(sa.text("PRAGMA quick_check(1)"))
        if not self._damaged and found[0][0] != "ok":
            self._salvage(str(found[0][0]).splitlines()[-1])
        return self._damaged

    def _records(self) -> Iterator[Record]:
        last = ""
        while rows := self._select(*tables.page(last, _PAGE)):
            yield from self._parsed(rows)
            keys = [key for key, _ in rows if isinstance(key, str) and key > last]
            if not keys:
                return
            last = max(keys)

    def _add(self, records: Sequence[Record]) -> int:
        self._refuse_damage()
        rows = {row["hash"]: row for row in map(tables.row, records)}
        machines = {tables.machine_key(r.machine): r.machine for r in records}
        with database.transaction(self._engine) as connection:
            for some in _batches(sorted(rows)):
                known = sa.select(RECORDS.c.hash).where(RECORDS.c.hash.in_(some))
                for (hash_,) in connection.execute(known):
                    del rows[hash_]
            for key in machines.keys() - self._machines.keys():
                self._insert(connection, MACHINES, [tables.machine_row(machines[key])])
            if rows:
                self._insert(connection, RECORDS, list(rows.values()))
        self._machines.update(machines)
        return len(rows)

    def _insert(self, connection: sa.Connection, table: sa.Table, rows: list[Any]) -> None:
        """Rows that another process added meanwhile stay as they are."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)

    def _again(self, step: Callable[[], _T]) -> _T:
        """Do a step that may be repeated; a server that went away may come back."""
        for attempt in range(_ATTEMPTS):
            with database.reported(self._where):
                try:
                    return step()
                except sa.exc.OperationalError:
                    if self._path is not None or attempt == _ATTEMPTS - 1:
                        raise
            time.sleep(2**attempt)
        raise AssertionError

    def _select(self, query: sa.Executable, values: dict[str, Any] | None = None) -> Sequence[Any]:
        with database.reported(self._where):
            try:
                with self._engine.connect() as connection:
                    return connection.execute(query, values).all()
            except sa.exc.DatabaseError as error:
                words = (*database.DAMAGE, "no such table")
                damaged = any(word in str(error.orig) for word in words)
                if not damaged or not self._salvage(str(error.orig)):
                    raise
            with self._engine.connect() as connection:
                return connection.execute(query, values).all()

    def _salvage(self, reason: str) -> bool:
        """Read what can be saved from a damaged file; whether there is anything."""
        if self._path is None or self._damaged:
            return False
        records, lost = salvaged(self._path)
        if not records and not lost:
            return False
        saved = Store.in_memory(self.name, records)
        self._engine.dispose()
        self._engine, self._damaged, self._knows_machines = saved._engine, True, False
        self._lost += max(1, lost)
        self.problems.append(f"{self.name}: the file is damaged ({reason})"[:300])
        return True

    def _refuse_damage(self) -> None:
        if self._damaged:
            raise LogError(
                f"the log '{self.name}' is damaged: save what can be read with 'luthier logs "
                f"export', and begin a new one"
            )

    def _parsed(self, rows: Iterable[Any]) -> Iterator[Record]:
        for key, line in rows:
            try:
                if not isinstance(line, str):
                    raise LogError("the row holds no text")
                yield parse_record(line)
            except LogError as error:
                if key not in self._unread and len(self.problems) < MOST_PROBLEMS:
                    self.problems.append(f"{self.name}: record {key!s:.16}: {error}")
                self._unread.add(key)

    def _of(self, workload: Workload, rows: Iterable[Any]) -> Iterator[Record]:
        return (r for r in self._parsed(rows) if r.workload.key == workload.key)

    def _learn(self, key: str, text: object) -> None:
        """A machine by its row or, where that is damaged, by one of its records."""
        found: list[Machine] = []
        with contextlib.suppress(LuthierError, ValueError, RecursionError):
            found.append(tables.machine(str(text)))
        if not any(tables.machine_key(machine) == key for machine in found):
            found = [record.machine for record in self._parsed(self._select(*tables.of(key)))]
        for machine in found:
            if tables.machine_key(machine) == key:
                self._machines[key] = machine


def _batches(items: Sequence[_T], size: int = 500) -> Iterator[Sequence[_T]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]
