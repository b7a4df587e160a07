"""The tables of a store, the same in SQLite and in PostgreSQL, and what is asked of them.

A row holds a record's whole line, so that a record can be trusted, or saved from a damaged file,
without anything else; the other columns only find it. ``docs/log-format.md`` describes them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from luthier.schedules import Schedule

from .machine import Machine
from .record import Outcome, Record, canonical, digest

VERSION = 1  # of the tables; a newer one is refused by name
_METADATA = sa.MetaData()
_LOCK = 0x4C757468696572  # any number that no other program takes

VERSIONS = sa.Table("luthier_store", _METADATA, sa.Column("version", sa.Integer, nullable=False))
MACHINES = sa.Table(
    "luthier_machines",
    _METADATA,
    sa.Column("machine", sa.String(16), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)
RECORDS = sa.Table(
    "luthier_records",
    _METADATA,
    sa.Column("hash", sa.String(16), primary_key=True),
    sa.Column("workload", sa.String(16), nullable=False),
    sa.Column("machine", sa.String(16), nullable=False),
    sa.Column("schedule", sa.String(16), nullable=False),
    sa.Column("time", sa.String(24), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("cold", sa.Boolean, nullable=False),
    sa.Column("rank", sa.Float),  # seconds to compare by, NULL for a failure
    sa.Column("line", sa.Text, nullable=False),
    sa.Index("luthier_best", "workload", "machine", "rank"),
    sa.Index("luthier_latest", "workload", "schedule", "machine", "time"),
)
# What a SQLite file holds that no store does: other programs' tables, views, triggers.
ALIEN = sa.text(
    "SELECT count(*) FROM sqlite_master "
    "WHERE type NOT IN ('table', 'index') OR tbl_name NOT LIKE 'luthier_%'"
)


def create(connection: sa.Connection) -> None:
    """Make the tables where they are missing, in a transaction of one's own."""
    if connection.dialect.name == "postgresql":  # where two would get in each other's way
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    _METADATA.create_all(connection)
    if connection.execute(sa.select(VERSIONS.c.version)).first() is None:
        connection.execute(sa.insert(VERSIONS).values(version=VERSION))


def row(record: Record) -> dict[str, Any]:
    """A record's row."""
    return {
        "hash": record.hash,
        "workload": record.workload.key,
        "machine": machine_key(record.machine),
        "schedule": schedule_key(record.schedule),
        "time": record.time,
        "outcome": record.outcome.value,
        "cold": record.cold,
        "rank": record.rank if record.timing else None,
        "line": record.line,
    }


def machine_row(machine: Machine) -> dict[str, str]:
    """A machine's row."""
    return {"machine": machine_key(machine), "text": canonical(machine.to_json())}


def machine(text: str) -> Machine:
    """The machine of a row; raises LuthierError and ValueError."""
    return Machine.from_json(json.loads(text))


@functools.lru_cache(maxsize=1024)
def machine_key(machine: Machine) -> str:
    """A short content hash of a machine."""
    return digest(canonical(machine.to_json()))


def schedule_key(schedule: Schedule) -> str:
    """A short content hash of a schedule, whose knobs are in the order of their names."""
    return digest(str(schedule))


def latest(machines: Collection[str], workload: str | None = None) -> sa.Select[Any]:
    """Of each schedule of a workload (or of all) the latest cold record on these machines."""
    newer = RECORDS.alias()
    superseded = sa.exists().where(
        newer.c.workload == RECORDS.c.workload,
        newer.c.schedule == RECORDS.c.schedule,
        newer.c.machine.in_(machines),
        newer.c.cold,
        sa.or_(
            newer.c.time > RECORDS.c.time,
            sa.and_(newer.c.time == RECORDS.c.time, newer.c.hash > RECORDS.c.hash),
        ),
    )
    query = sa.select(RECORDS.c.hash, RECORDS.c.line).where(
        RECORDS.c.machine.in_(machines), RECORDS.c.cold, ~superseded
    )
    return query if workload is None else query.where(RECORDS.c.workload == workload)


def ranked(machines: Collection[str], workload: str, first: int, count: int) -> sa.Select[Any]:
    """The right ones of ``latest``, fastest first: ``count`` of them from number ``first`` on."""
    query = latest(machines, workload).where(RECORDS.c.rank.is_not(None))
    return query.order_by(RECORDS.c.rank, RECORDS.c.hash).offset(first).limit(count)


def refuted(workload: str) -> sa.Select[Any]:
    """Records, of any machine, of schedules that gave wrong results or crashed."""
    wrong = (Outcome.WRONG_RESULT.value, Outcome.CRASHED.value)
    query = sa.select(RECORDS.c.hash, RECORDS.c.line)
    return query.where(RECORDS.c.workload == workload, RECORDS.c.outcome.in_(wrong))


def page(after: str, count: int) -> sa.Select[Any]:
    """Records in the order of their hashes."""
    query = sa.select(RECORDS.c.hash, RECORDS.c.line).where(RECORDS.c.hash > after)
    return query.order_by(RECORDS.c.hash).limit(count)


def beginning(prefix: str) -> sa.Select[Any]:
    """Records whose hash begins so."""
    query = sa.select(RECORDS.c.hash, RECORDS.c.line)
    return query.where(RECORDS.c.hash.startswith(prefix, autoescape=True)).order_by(RECORDS.c.hash)


def of(machine: str) -> sa.Select[Any]:
    """A few records of a machine."""
    query = sa.select(RECORDS.c.hash, RECORDS.c.line)
    return query.where(RECORDS.c.machine == machine).limit(5)
