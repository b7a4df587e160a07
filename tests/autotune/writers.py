"""Processes that write to a store at once, and may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from luthier.autotune import Record, Store

WRITER = """
import sys
sys.path[:] = {path!r}
from dataclasses import replace
from luthier.autotune.records.parse import parse_record
from luthier.autotune.records.store import Store
from luthier.schedules import Schedule
record = parse_record(open({template!r}).read())
store = Store.open({store!r}, create=True)
number = {first}
while number < {last}:
    batch = range(number, min(number + {batch}, {last}))
    knobs = [(("number", n), ("order", "rows")) for n in batch]
    schedules = [Schedule("fake", 1, k) for k in knobs]
    store.add([replace(record, schedule=s) for s in schedules])
    print(*batch, flush=True)
    number += {batch}
"""


def writer(
    tmp_path: Path,
    record: Record,
    store: str | os.PathLike[str],
    first: int,
    last: int,
    batch: int = 1,
) -> subprocess.Popen[str]:
    """A process that adds records and prints each number once it is acknowledged."""
    template = tmp_path / "template"
    if not template.exists():  # others that were started may be reading it
        template.write_text(record.line)
    code = WRITER.format(
        path=sys.path,
        template=str(template),
        store=str(store),
        first=first,
        last=last,
        batch=batch,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def numbers(store: Store) -> list[int]:
    return sorted(int(r.schedule["number"]) for r in store.records())
