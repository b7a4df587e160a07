"""The log: an append-only JSON Lines file of records that several processes may write at once.

A record is appended by one ``write`` of a whole line under a lock, then synced to the disk, and
nothing is ever rewritten: whatever was acknowledged survives an interrupt, a crash, ``kill -9`` and
a full disk. Lines that cannot be read are skipped and counted, never repaired.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from luthier.schedules import LogError, Schedule, ScheduleError, Space, Target, Workload

from .record import LONGEST_LINE, Outcome, Record

Spaces = Callable[[Workload, Target], tuple[Space, ...]]
_BLOCK = 1 << 22
_SHOWN_PROBLEMS = 5


class Log:
    """The records of a file, indexed by workload and target.

    ``records`` are in the file's order. ``skipped`` counts lines that could not be read;
    ``problems`` tells about the first few.
    """

    def __init__(self, path: str | os.PathLike[str], spaces: Spaces | None = None) -> None:
        """Read the log at ``path``; raises LogError where it is missing or is no log.

        ``spaces`` says which schedules are valid today (default: the registry of templates).
        """
        self.path = Path(path)
        self.records: list[Record] = []
        self.skipped = 0
        self.problems: list[str] = []
        self._spaces = spaces
        self._known_spaces: dict[tuple[str, Target], tuple[Space, ...]] = {}
        self._latest: dict[tuple[str, Target], dict[Schedule, Record]] = {}
        self._by_workload: dict[str, list[Record]] = {}
        self._lines = 0
        self._offset = 0
        self.refresh()

    @classmethod
    def open(cls, path: str | os.PathLike[str], spaces: Spaces | None = None) -> Log:
        """The same for writing: creates an empty log where there is none.

        Raises LogError where the file cannot be written, or is something else than a log.
        """
        with _opened(Path(path), os.O_RDWR | os.O_APPEND | os.O_CREAT):
            return cls(path, spaces)

    def append(self, record: Record) -> None:
        """Add one record; it is on the disk when this returns. Raises LogError.

        What other processes added meanwhile is read, too.
        """
        line = record.line.encode() + b"\n"
        try:
            with _opened(self.path, os.O_RDWR | os.O_APPEND) as fd, _locked(fd, fcntl.LOCK_EX):
                if _is_torn(fd):
                    line = b"\n" + line
                written = os.write(fd, line)
                os.fsync(fd)
        except OSError as error:
            raise LogError(f"cannot write the log '{self.path}': {error.strerror}") from error
        if written < len(line):
            raise LogError(f"cannot write the log '{self.path}': the disk is full")
        self.refresh()

    def refresh(self) -> None:
        """Read what the file holds beyond what was read before; raises LogError."""
        try:
            with _opened(self.path, os.O_RDONLY) as fd, _locked(fd, fcntl.LOCK_SH):
                fresh = self._offset == 0
                for line in _lines(fd, self._offset):
                    self._read(line)
                self._offset = os.fstat(fd).st_size
                if fresh and self.skipped and not self.records and _is_alien(fd):
                    raise LogError(f"'{self.path}' is not a tuning log: no line of it is a record")
        except OSError as error:
            raise LogError(f"cannot read the log '{self.path}': {error.strerror}") from error

    def best(self, workload: Workload, target: Target) -> Record | None:
        """The fastest right record for exactly this kind of machine, or None.

        Of several records of one schedule the latest counts. Records of other machines, of
        templates that have changed since, and of what is less exact than the target asks for never
        count.
        """
        return next(self.ranked(workload, target), None)

    def ranked(self, workload: Workload, target: Target) -> Iterator[Record]:
        """All that ``best`` chooses from, fastest first; noisy ones count as a little slower."""
        latest = self._latest.get((workload.key, target.machine), {})
        right = sorted((r for r in latest.values() if r.timing), key=lambda r: r.rank)
        return (r for r in right if self._is_in_space(r, target))

    def measured(self, workload: Workload, target: Target) -> dict[Schedule, Record]:
        """The latest record of each schedule of today's spaces that was tried on such a machine.

        Schedules have their knobs in ``normal`` order.
        """
        latest = self._latest.get((workload.key, target.machine), {})
        return {s: r for s, r in latest.items() if self._is_in_space(r, target)}

    def groups(self, target: Target) -> list[dict[Schedule, Record]]:
        """The latest records on this kind of machine, a group for each workload."""
        return [group for (_, t), group in self._latest.items() if t == target.machine]

    def foreign(self, workload: Workload, target: Target) -> tuple[Record, ...]:
        """Right records of the workload from other kinds of machines: hints, never truth."""
        records = self._by_workload.get(workload.key, ())
        return tuple(r for r in records if r.target != target.machine and r.outcome is Outcome.OK)

    def _is_in_space(self, record: Record, target: Target) -> bool:
        """Whether the template still has this version and, for the target, these knobs."""
        if self._spaces is None:
            from luthier.schedules import registry  # noqa: PLC0415 - imports TVM

            self._spaces = registry.spaces
        schedule = record.schedule
        key = record.workload.key, target
        with contextlib.suppress(ScheduleError):
            if key not in self._known_spaces:
                self._known_spaces[key] = self._spaces(record.workload, target)
            for space in self._known_spaces[key]:
                if (space.template, space.version) == (schedule.template, schedule.version):
                    space.schedule(dict(schedule.knobs))
                    return True
        return False

    def _read(self, line: bytes) -> None:
        self._lines += 1
        if not line.strip():
            return
        try:
            record = Record.parse(line.decode("ascii").strip())
        except (LogError, UnicodeDecodeError) as error:
            reason = error if isinstance(error, LogError) else "the line is no ASCII text"
            self.skipped += 1
            if len(self.problems) < _SHOWN_PROBLEMS:
                self.problems.append(f"{self.path}:{self._lines}: {reason}")
            return
        self._add(record)

    def _add(self, record: Record) -> None:
        self.records.append(record)
        self._by_workload.setdefault(record.workload.key, []).append(record)
        if not record.cold:  # another question was asked, the answers do not compare
            return
        latest = self._latest.setdefault((record.workload.key, record.target), {})
        before = latest.get(record.schedule)
        if before is None or before.time <= record.time:
            latest[record.schedule] = record


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The file's descriptor; raises LogError for what is no regular file."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LogError(f"cannot open the log '{path}': {reason}") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise LogError(f"the log '{path}' is not a regular file; give a file's path")
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _locked(fd: int, kind: int) -> Iterator[None]:
    """Hold the file's advisory lock, where the file system has one."""
    with contextlib.suppress(OSError):
        fcntl.flock(fd, kind)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


def _is_torn(fd: int) -> bool:
    """Whether the last line lacks its newline: its writer was killed."""
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _is_alien(fd: int) -> bool:
    """Whether the file does not even begin like a record, damaged as it may be."""
    return not os.pread(fd, 4096, 0).lstrip().startswith(b"{")


def _lines(fd: int, offset: int) -> Iterator[bytes]:
    """Lines from ``offset`` on, each cut to LONGEST_LINE + 1 bytes."""
    rest = b""
    while block := os.pread(fd, _BLOCK, offset):
        offset += len(block)
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        rest = rest[: LONGEST_LINE + 1]
    if rest:
        yield rest
