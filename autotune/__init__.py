"""The tuner: measures schedules, learns which are fast, and keeps records of all it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.schedules.late import late_names

if TYPE_CHECKING:
    from .records.machine import Machine
    from .records.pack import Pack, write_pack
    from .records.record import Outcome, Record, Timing
    from .records.sources import Choice, Sources
    from .records.store import Store
    from .records.trust import Trust
    from .search.explanation import Credit, Explanation, KnobChoice, explain
    from .search.results import KernelResult, Progress, TuneResult
    from .search.tuner import tune

__all__ = [
    "Choice",
    "Credit",
    "Explanation",
    "KernelResult",
    "KnobChoice",
    "Machine",
    "Outcome",
    "Pack",
    "Progress",
    "Record",
    "Sources",
    "Store",
    "Timing",
    "Trust",
    "TuneResult",
    "explain",
    "tune",
    "write_pack",
]

__getattr__ = late_names(
    __name__,
    {
        ".search.explanation": ("Credit", "Explanation", "KnobChoice", "explain"),
        ".records.sources": ("Choice", "Sources"),
        ".records.machine": ("Machine",),
        ".records.pack": ("Pack", "write_pack"),
        ".records.record": ("Outcome", "Record", "Timing"),
        ".search.results": ("KernelResult", "Progress", "TuneResult"),
        ".records.store": ("Store",),
        ".records.trust": ("Trust",),
        ".search.tuner": ("tune",),
    },
)
