"""Packs: records as JSON Lines, for git and object storage.

A pack that was written here is sorted and holds each record once, so that two versions of it differ
where their records do, and merging packs is a union of sets: associative, commutative, idempotent.
Reading takes any order; lines that cannot be read are skipped and counted.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO

from luthier.schedules import LogError, Workload
from luthier.schedules.files import open_regular, whole_file
from luthier.schedules.redaction import shown, without_secrets

from .address import is_url
from .closing import Closing
from .condensed import Condensed
from .database import hint, is_store
from .lines import lines
from .machine import Machine
from .parse import LONGEST_LINE, parse_record
from .record import Record

MOST_PROBLEMS = 5  # of a source that are told
_BLOCK = 1 << 22
_LOCAL = ("file", "local")  # schemes of URLs whose rest is a path of this machine
_MOST = 1 << 32  # bytes


class Pack(Closing):
    """A pack at a path, or at a URL that fsspec knows, as a source of records.

    Whoever reads its records learns what is wrong with the other lines: ``skipped`` counts them and
    ``problems`` tells about the first few.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.name = shown(where)
        self.skipped = 0
        self.problems: list[str] = []
        self._where = where
        self._alien = b""  # the beginning of a line that is of something else

    def close(self) -> None:
        """Nothing is held open between readings."""

    def records(self) -> Iterator[Record]:
        """The records in the file's order, each once; raises LogError.

        A file without a single record is a pack only if it is empty.
        """
        told: set[str] = set()
        for number, text in self._texts():
            record = self._parsed(number, text)
            if record is not None and record.hash not in told:
                told.add(record.hash)
                yield record
        self._refuse_alien(bool(told))

    def counting(self, workloads: Collection[Workload] | None = None) -> Iterator[Record]:
        """Those that may count (see ``Condensed``), of these kernels or of all; raises LogError.

        Whether other kernels' lines can be read is not looked at.
        """
        condensed, found = Condensed(workloads), False
        for number, text in self._texts():
            if condensed.take(number, text):
                found = True
                continue
            record = self._parsed(number, text)
            if record is not None:
                found = True
                if not condensed.take(number, record.line.encode()):
                    yield record
        self._refuse_alien(found)
        for number, text in condensed.lines():
            record = self._parsed(number, text)
            if record is not None:
                yield record

    def find(self, prefix: str) -> list[Record]:
        """Records whose hash begins so; raises LogError."""
        return [record for record in self.records() if record.hash.startswith(prefix)]

    def check(self) -> list[str]:
        """What is wrong with the file beyond its lines: nothing can be."""
        return []

    def _texts(self) -> Iterator[tuple[int, bytes]]:
        """Lines that are not blank, with their numbers, from the first on."""
        self.skipped, self.problems, self._alien = 0, [], b""
        with _opened(self._where) as file:
            for number, text in enumerate(lines(_blocks(file, self.name), LONGEST_LINE), 1):
                if text:
                    yield number, text

    def _parsed(self, number: int, text: bytes) -> Record | None:
        """A line's record; one that has none is counted."""
        try:
            return parse_record(text.decode("ascii"))
        except (LogError, UnicodeDecodeError) as error:
            reason = error if isinstance(error, LogError) else "the line is no ASCII text"
        self.skipped += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"{self.name}:{number}: {reason}")
        if not self._alien and not text.startswith(b"{"):
            self._alien = text[:100]
        return None

    def _refuse_alien(self, found: bool) -> None:
        if self._alien and not found:
            raise LogError(f"'{self.name}' is {_alien(self._alien)}")


def _alien(line: bytes) -> str:
    """What a file with such a line is, which is not a record, and what to do."""
    if is_store(line):
        return (
            "a store, not a pack: give it with --log, or make a pack of it with 'luthier logs "
            "export'"
        )
    return f"not a tuning log{hint(line)}"


def write_pack(where: str | os.PathLike[str], records: Iterable[Record]) -> set[str]:
    """Write a pack; returns the hashes of its records. Raises LogError.

    A file appears whole or not at all; an object behind a URL as its file system does it, which
    object storage does so, too.
    """
    found: dict[str, tuple[str, ...]] = {}
    for record in records:
        if record.hash not in found:
            found[record.hash] = (*_place(record), f"{record.line}\n")
    lines = [line for *_, line in sorted(found.values())]
    if is_url(where):
        with _remote(str(where), "wb") as file:
            file.writelines(line.encode("ascii") for line in lines)
    else:
        _write_file(Path(where), lines)
    return set(found)


def _write_file(path: Path, lines: Iterable[str]) -> None:
    try:
        with whole_file(path) as file:
            file.writelines(line.encode("ascii") for line in lines)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LogError(f"cannot write the pack '{shown(path)}': {reason}") from error


def _place(record: Record) -> tuple[str, ...]:
    """Where a record stands: its kernel's together, in them its machine's, the oldest first."""
    return record.workload.text, _machine(record.machine), str(record.schedule), record.time


@functools.lru_cache(maxsize=1024)
def _machine(machine: Machine) -> str:
    return str(sorted(machine.to_json().items()))


@contextlib.contextmanager
def _opened(where: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    name = shown(where)
    try:
        if is_url(where):
            with _remote(str(where), "rb") as file:
                yield file
        else:
            with open_regular(where) as file:
                yield file
    except OSError as error:
        raise LogError(f"cannot read the pack '{name}': {error.strerror or error}") from error
    except ValueError as error:
        raise LogError(f"cannot read the pack '{name}': {error}") from error


@contextlib.contextmanager
def _remote(url: str, mode: str) -> Iterator[IO[bytes]]:
    try:
        import fsspec  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise LogError(
            f"'{shown(url)}' needs fsspec: pip install 'luthier[remote]', and the file system's "
            f"own package"
        ) from error
    scheme, rest = url.strip().split("://", 1)
    if scheme.lower() in _LOCAL and shown(url) != url.strip():
        raise LogError(f"'{shown(url)}': a file has no user or password; give the pack's path")
    try:
        with fsspec.open(f"{scheme.lower()}://{rest}", mode) as file:
            yield file
    except LogError:
        raise
    except Exception as error:  # every file system has errors of its own
        said = without_secrets(str(error), url).strip() or type(error).__name__
        verb = "read" if mode == "rb" else "write"
        raise LogError(
            f"cannot {verb} the pack '{shown(url)}': {said.splitlines()[0][:200]}"
        ) from None  # a traceback would show what was left out


def _blocks(file: IO[bytes], name: str) -> Iterator[bytes]:
    left = _MOST
    while block := file.read(_BLOCK):
        left -= len(block)
        if left < 0:
            raise LogError(f"the pack '{name}' is larger than {_MOST >> 30} GiB")
        yield block
