"""Records out of a damaged store: SQLite keeps each line as it is, so it can be found in the bytes.

Whatever the damage, a record whose own bytes are whole is found; its hash says that they are.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from luthier.schedules import LogError

from .parse import LONGEST_LINE, parse_record
from .record import Record

_HEAD = re.compile(rb'\{"hash":"[0-9a-f]{16}",')
_TAIL = re.compile(rb'"tools":\{[^{}]{0,2000}\},"workload":\{')
_TEXT = re.compile(rb"[ -~]{1,%d}" % LONGEST_LINE)


def salvaged(store: Path) -> tuple[list[Record], int]:
    """The records of a store's files, and how many at least were damaged."""
    found: dict[str, Record] = {}
    heads = tails = whole = 0
    for path in (store, store.with_name(store.name + "-wal")):
        with _mapped(path) as data:
            heads += sum(1 for _ in _HEAD.finditer(data))
            tails += sum(1 for _ in _TAIL.finditer(data))
            for record in _records(data):
                found[record.hash] = record
                whole += 1
    return list(found.values()), max(heads, tails) - whole


def _records(data: bytes | mmap.mmap) -> Iterator[Record]:
    for head in _HEAD.finditer(data):
        run = _TEXT.match(data, head.start())
        text = run[0].decode("ascii") if run else ""
        with contextlib.suppress(ValueError, RecursionError, LogError):
            _, end = json.JSONDecoder().raw_decode(text)
            yield parse_record(text[:end])


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except (OSError, ValueError):  # missing or empty
        yield b""
