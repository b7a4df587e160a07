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
from .record import Outcome, Record, canonical, digest, horizon

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


# Statements are built once, which takes SQLAlchemy longer than SQLite takes to answer them; each
# function below gives one with its values.
Asked = tuple[sa.Select[Any], dict[str, Any]]
MACHINE_ROWS = sa.select(MACHINES.c.machine, MACHINES.c.text)
_LINES = sa.select(RECORDS.c.hash, RECORDS.c.line)
_KEYS: sa.BindParameter[Any] = sa.bindparam("machines", expanding=True)
_IN_MACHINES = RECORDS.c.machine.in_(_KEYS)
_OF_WORKLOAD = RECORDS.c.workload == sa.bindparam("workload")
_COLD: sa.BindParameter[bool] = sa.bindparam("cold", type_=sa.Boolean)


def _latest() -> sa.Select[Any]:
    """Without what is superseded: by one from the future only what is from the future, too."""
    newer = RECORDS.alias()
    ours, theirs = (table.c.time <= sa.bindparam("horizon") for table in (RECORDS, newer))
    superseded = sa.exists().where(
        newer.c.workload == RECORDS.c.workload,
        newer.c.schedule == RECORDS.c.schedule,
        newer.c.machine.in_(_KEYS),
        newer.c.cold == _COLD,
        sa.or_(
            sa.and_(theirs, ~ours),
            sa.and_(sa.or_(theirs, ~ours), newer.c.time > RECORDS.c.time),
            sa.and_(newer.c.time == RECORDS.c.time, newer.c.hash > RECORDS.c.hash),
        ),
    )
    return _LINES.where(_IN_MACHINES, RECORDS.c.cold == _COLD, ~superseded)


_GROUPS = _latest().order_by(RECORDS.c.workload, RECORDS.c.hash)
_LATEST = _latest().where(_OF_WORKLOAD).order_by(RECORDS.c.time, RECORDS.c.hash)
_RANKED = (
    _latest()
    .where(_OF_WORKLOAD, RECORDS.c.rank.is_not(None))
    .order_by(RECORDS.c.rank, RECORDS.c.hash)
    .offset(sa.bindparam("first"))
    .limit(sa.bindparam("count"))
)
_OF_SCHEDULE = (
    _LINES.where(
        _IN_MACHINES,
        RECORDS.c.cold == _COLD,
        _OF_WORKLOAD,
        RECORDS.c.schedule == sa.bindparam("schedule"),
    )
    .order_by(
        (RECORDS.c.time <= sa.bindparam("horizon")).desc(),
        RECORDS.c.time.desc(),
        RECORDS.c.hash.desc(),
    )
    .limit(16)
)
_AT = _latest().where(_OF_WORKLOAD, RECORDS.c.time == sa.bindparam("time"))
_WRONG = (Outcome.WRONG_RESULT.value, Outcome.CRASHED.value)
_REFUTED = _LINES.where(_OF_WORKLOAD, RECORDS.c.outcome.in_(_WRONG))
_ELSEWHERE = (
    sa.select(sa.func.count())
    .select_from(RECORDS)
    .where(_OF_WORKLOAD, ~_IN_MACHINES, RECORDS.c.rank.is_not(None))
)
_PAGE = (
    _LINES.where(RECORDS.c.hash > sa.bindparam("after"))
    .order_by(RECORDS.c.hash)
    .limit(sa.bindparam("count"))
)
_MACHINE = _LINES.where(RECORDS.c.machine == sa.bindparam("machine")).limit(5)


def groups(machines: Collection[str], cold: bool) -> Asked:
    """The latest record of each kernel's schedules on these machines, by kernel."""
    return _GROUPS, {"machines": list(machines), "cold": cold, "horizon": horizon()}


def latest(machines: Collection[str], workload: str, cold: bool) -> Asked:
    """Of each schedule of a workload the latest record on these machines, by time."""
    return _LATEST, _of(machines, workload, cold)


def ranked(machines: Collection[str], workload: str, cold: bool, first: int, count: int) -> Asked:
    """The right ones of ``latest``, fastest first: ``count`` of them from number ``first`` on."""
    return _RANKED, {**_of(machines, workload, cold), "first": first, "count": count}


def of_schedule(machines: Collection[str], workload: str, cold: bool, schedule: Schedule) -> Asked:
    """The latest few records of a schedule on these machines, the latest first."""
    return _OF_SCHEDULE, {**_of(machines, workload, cold), "schedule": schedule_key(schedule)}


def at(machines: Collection[str], workload: str, cold: bool, time: str) -> Asked:
    """Those of ``latest`` that are of this time."""
    return _AT, {**_of(machines, workload, cold), "time": time}


def _of(machines: Collection[str], workload: str, cold: bool) -> dict[str, Any]:
    asked = {"machines": list(machines), "workload": workload, "cold": cold}
    return {**asked, "horizon": horizon()}


def refuted(workload: str) -> Asked:
    """Records, of any machine, of schedules that gave wrong results or crashed."""
    return _REFUTED, {"workload": workload}


def elsewhere(machines: Collection[str], workload: str) -> Asked:
    """How many right records of a workload are of other machines."""
    return _ELSEWHERE, {"machines": list(machines), "workload": workload}


def page(after: str, count: int) -> Asked:
    """Records in the order of their hashes."""
    return _PAGE, {"after": after, "count": count}


def beginning(prefix: str) -> Asked:
    """Records whose hash begins so."""
    begins = RECORDS.c.hash.startswith(prefix, autoescape=True)
    return _LINES.where(begins).order_by(RECORDS.c.hash), {}


def of(machine: str) -> Asked:
    """A few records of a machine."""
    return _MACHINE, {"machine": machine}
