"""How a store's database is reached: a SQLite file, a PostgreSQL server, or memory."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from luthier.schedules import LogError
from luthier.schedules.files import open_regular
from luthier.schedules.redaction import shown, without_secrets

from .address import is_url
from .parse import LONGEST_LINE
from .salvage import salvaged

_ROOM = 1 << 18  # bytes that a log needs to grow
_PAGE = 16384  # bytes: longer than nearly all records, so that a damaged page costs few
_WAIT = 60.0  # seconds that writers wait for each other
_BUSY = 0.1  # seconds at a time: what SQLite waits, Ctrl-C waits, too
_CONNECT = 10  # seconds to wait for a server
DAMAGE = ("malformed", "not a database", "corrupt", "disk I/O error", "too big")
_MAGIC = b"SQLite format 3\0"
_KINDS = {
    b"\x1f\x8b": "compressed: unpack it with gunzip",
    b"(\xb5/\xfd": "compressed: unpack it with unzstd",
    b"\xfd7zXZ": "compressed: unpack it with unxz",
    b"BZh": "compressed: unpack it with bunzip2",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file with 'git lfs pull'",
    b"<": "a page of markup: is this the file's own address?",
}


def memory() -> sa.Engine:
    """A database that nobody else sees."""
    return _sqlite(lambda: sqlite3.connect(":memory:", check_same_thread=False))


def server(url: str) -> sa.Engine:
    """A PostgreSQL server's database; raises LogError where the URL or the driver is wrong."""
    try:
        parsed = sa.make_url(url.strip()).set(drivername="postgresql+psycopg")
        if "@" in (parsed.host or ""):
            raise LogError(f"'{shown(url)}': in a URL's password, write %40 for @ and %2F for /")
        options = {"connect_timeout": _CONNECT, "application_name": "luthier"}
        return sa.create_engine(
            parsed, isolation_level="AUTOCOMMIT", pool_pre_ping=True, connect_args=options
        )
    except ImportError as error:
        raise LogError(
            f"'{shown(url)}' needs a PostgreSQL driver: pip install 'luthier[postgres]'"
        ) from error
    except (sa.exc.ArgumentError, ValueError):
        raise LogError(f"'{shown(url)}' is no URL such as postgresql://host/database") from None


def file(path: Path, *, create: bool) -> sa.Engine:
    """A SQLite file, which ``create`` makes where it is missing; raises LogError.

    Without ``create`` it is only read, and may lie where nothing can be written.
    """
    _refuse_other_kinds(path, create=create)
    name = quote(str(path.absolute()))
    if create:
        mode = "mode=rwc"
    elif os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        mode = "mode=rw"  # a reader that may not write would leave its -shm file behind
    else:
        mode = "mode=ro&immutable=1"
    uri = f"file:{name}?{mode}"
    engine = _sqlite(
        lambda: sqlite3.connect(
            uri, _BUSY, uri=True, check_same_thread=False, factory=_PatientConnection
        )
    )
    if create:
        with reported(path), engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA page_size={_PAGE}")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("PRAGMA synchronous=FULL")  # survives a power failure
    return engine


def is_cut(path: Path) -> bool:
    """Whether a SQLite file is not as long as it says itself; unknown while someone writes."""
    log = path.with_name(path.name + "-wal")
    with contextlib.suppress(OSError):
        if log.exists() and log.stat().st_size:
            return False
        with path.open("rb") as file:
            head, size = file.read(100), file.seek(0, os.SEEK_END)
        page = int.from_bytes(head[16:18], "big")
        page = 65536 if page == 1 else page
        return size > 0 and size != page * int.from_bytes(head[28:32], "big")
    return False


def is_empty(engine: sa.Engine, path: Path) -> bool:
    """Whether a file is empty, or a database without tables, which an interrupt leaves."""
    if not path.stat().st_size:
        return True
    with contextlib.suppress(sa.exc.DBAPIError), engine.connect() as connection:
        return not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
    return False


@contextlib.contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """All or nothing is written; in SQLite one writer at a time, who knows it from the start."""
    begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"
    with engine.connect() as connection:
        connection.exec_driver_sql(begin)
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(
                sa.exc.SQLAlchemyError
            ):  # an interrupt gives up the connection
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


@contextlib.contextmanager
def reported(where: str | os.PathLike[str]) -> Iterator[None]:
    """A database's errors as a LogError of one line."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        said = without_secrets(str(cause), where)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = lines[0][:200] if lines else type(cause).__name__
        full = "" if is_url(where) else _full(Path(where), reason)
        if full:
            reason = f"{full} and run again, what it holds is safe"
        elif any(word in reason for word in DAMAGE):
            reason += "; save what can be read with 'luthier logs export', and begin a new log"
        hidden = is_url(where)  # what a traceback would show of the cause
        told = LogError(f"cannot use the log '{shown(where)}': {reason}")
        raise told from (None if hidden else error)


class _PatientCursor(sqlite3.Cursor):
    """Statements wait for a lock in Python, where Ctrl-C is heard."""

    def execute(self, sql: str, parameters: Any = ()) -> _PatientCursor:
        _patiently(lambda: super(_PatientCursor, self).execute(sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Any) -> _PatientCursor:
        _patiently(lambda: super(_PatientCursor, self).executemany(sql, parameters))
        return self


class _PatientConnection(sqlite3.Connection):
    def cursor(self, factory: Any = _PatientCursor) -> Any:
        return super().cursor(factory)


def _patiently(step: Callable[[], object]) -> None:
    """Do what another process's lock may forbid, once it allows it; for so long."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            step()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_BUSY / 10)


def _full(path: Path, reason: str) -> str:
    """Why a file cannot grow and what to do, where SQLite's words mean that; else nothing."""
    if not any(words in reason for words in ("disk I/O error", "is full", "unable to open")):
        return ""
    try:
        parts = [path, path.with_name(path.name + "-wal")]
        largest = max((part.stat().st_size for part in parts if part.exists()), default=0)
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit != resource.RLIM_INFINITY and largest + _ROOM > limit:
            return "files may not grow that large: raise the limit (ulimit -f)"
        with tempfile.TemporaryFile(dir=path.absolute().parent) as probe:
            os.posix_fallocate(probe.fileno(), 0, _ROOM)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{error.strerror}: make room"
    return ""


def _sqlite(connect: Callable[[], sqlite3.Connection]) -> sa.Engine:
    engine = sa.create_engine(
        "sqlite://", creator=connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT"
    )

    @sa.event.listens_for(engine, "connect")
    def harden(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        """The file may come from a stranger, or be damaged."""
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * LONGEST_LINE)
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def is_store(head: bytes) -> bool:
    """Whether a file that begins so is a SQLite database."""
    return head.startswith(_MAGIC)


def hint(head: bytes) -> str:
    """What a file that begins so may be instead of a log, as the end of a sentence."""
    kind = next((name for magic, name in _KINDS.items() if head.startswith(magic)), None)
    if kind is None:
        return "; a store is a file of 'luthier tune', a pack one of 'luthier logs export'"
    return f" but {kind}"


def _refuse_other_kinds(path: Path, *, create: bool) -> None:
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            raise LogError(f"the log '{shown(path)}' is not a regular file; give a file's path")
        with open_regular(path) as opened:
            head = opened.read(4096)
    except FileNotFoundError as error:
        if create and path.parent.is_dir():
            return
        raise LogError(f"cannot open the log '{shown(path)}': {error.strerror}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LogError(f"cannot open the log '{shown(path)}': {reason}") from error
    if head.lstrip()[:1] == b"{":
        raise LogError(
            f"'{shown(path)}' is a pack, not a store: give it with --pack, or put it into a "
            f"store with 'luthier logs import'"
        )
    if head and not head.startswith(_MAGIC) and not salvaged(path)[0]:
        raise LogError(f"'{shown(path)}' is not a tuning log{hint(head)}")
