"""Kernels as a manifest describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luthier.schedules import Kernel, Schedule, Workload
from luthier.schedules.ir.kernel import OpenKernel
from luthier.schedules.ir.placement import DENSE, PLACEMENT, Placement

from .selection import Selections
from .typed import each, mapping, matching, parse, text, whole

_PITCH = re.compile(r"(?<=\]):[1-9][0-9]{0,17}(?=\")")


@dataclass(frozen=True)
class AlternativeNote:
    """A schedule of an open kernel, and the conditions on its sizes under which it runs."""

    conditions: tuple[str, ...]
    schedule: Schedule


@dataclass(frozen=True)
class KernelEntry:
    """A kernel of the library; ``source`` is "record" or "default", ``count`` its calls in a run of
    the first entry point with the largest sizes.

    ``record`` is the hash of the tuning record that the schedule came from. A kernel for sizes that
    are open has ``alternatives``, of which the first that is for the sizes runs; its ``workload``
    is that of the largest sizes, ``open`` its text over the sizes, ``schedule`` the first's.
    """

    workload: Workload
    schedule: Schedule
    source: str
    count: int
    record: str | None = None
    placement: Placement = DENSE
    open: str | None = None
    alternatives: tuple[AlternativeNote, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form that manifests have."""
        data = {
            "key": self.workload.key,
            "workload": self.workload.to_json(),
            "schedule": self.schedule.to_json(),
            "source": self.source,
            "record": self.record,
            "count": self.count,
            "placement": str(self.placement),
        }
        if self.open is None:
            return data
        alternatives = [
            {"conditions": list(a.conditions), "schedule": a.schedule.to_json()}
            for a in self.alternatives
        ]
        return {**data, "open": self.open, "alternatives": alternatives}

    @staticmethod
    def from_json(data: Any) -> KernelEntry:
        """Read ``to_json``'s form from untrusted data; raises ValueError and LuthierError."""
        workload, placement = mapping(data["workload"]), data.get("placement", "")
        if "placement" not in data:  # older manifests say it after the tensors' types
            workload = parse(_PITCH.sub("", json.dumps(workload)).encode())
        is_open = "open" in data
        if is_open != ("alternatives" in data):
            raise ValueError("a kernel has one of 'open' and 'alternatives' alone")
        return KernelEntry(
            workload=Workload.from_json(workload),
            schedule=Schedule.from_json(mapping(data["schedule"])),
            source=matching("record|default", data["source"]),
            count=whole(data["count"]),
            record=None if data["record"] is None else matching("[0-9a-f]{16}", data["record"]),
            placement=Placement.parse(matching(PLACEMENT, placement)),
            open=text(data["open"]) if is_open else None,
            alternatives=each(_alternative, data["alternatives"]) if is_open else (),
        )


def _alternative(data: Any) -> AlternativeNote:
    schedule = Schedule.from_json(mapping(mapping(data)["schedule"]))
    return AlternativeNote(each(text, data["conditions"]), schedule)


def note(
    kernel: Kernel | OpenKernel, count: int, selected: Selections, largest: Mapping[str, int]
) -> KernelEntry:
    """What a manifest says of a kernel; ``largest`` are the largest sizes."""
    written = kernel if isinstance(kernel, Kernel) else kernel.alternatives[0].kernel
    chosen = selected.get(written.workload)
    source, record = ("record", chosen.record) if chosen else ("default", None)
    if isinstance(kernel, Kernel):
        return KernelEntry(
            kernel.workload, kernel.schedule, source, count, record, kernel.placement
        )
    alternatives = tuple(
        AlternativeNote(tuple(map(str, a.conditions)), a.kernel.schedule)
        for a in kernel.alternatives
    )
    return KernelEntry(
        kernel.workload.at(largest),
        alternatives[0].schedule,
        source,
        count,
        record,
        placement=kernel.placement,
        open=str(kernel.workload),
        alternatives=alternatives,
    )
