"""Which schedule a kernel is built with, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luthier.schedules import Schedule, Workload


@dataclass(frozen=True)
class Selection:
    """A record's schedule; ``record`` is the record's hash, where it is known."""

    schedule: Schedule
    record: str | None = None


Selections = Mapping[Workload, Selection]  # the others get their defaults
