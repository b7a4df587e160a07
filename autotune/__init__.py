"""The tuner: measures schedules, learns which are fast, and keeps records of all it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.schedules.late import late_names

if TYPE_CHECKING:
    from .explanation import Credit, Explanation, KnobChoice, explain
    from .layers import Choice, Layers
    from .machine import Machine
    from .pack import Pack, write_pack
    from .record import Outcome, Record, Timing
    from .results import KernelResult, Progress, TuneResult
    from .store import Store
    from .trust import Trust
    from .tuner import tune

__all__ = [
    "Choice",
    "Credit",
    "Explanation",
    "KernelResult",
    "KnobChoice",
    "Layers",
    "Machine",
    "Outcome",
    "Pack",
    "Progress",
    "Record",
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
        ".explanation": ("Credit", "Explanation", "KnobChoice", "explain"),
        ".layers": ("Choice", "Layers"),
        ".machine": ("Machine",),
        ".pack": ("Pack", "write_pack"),
        ".record": ("Outcome", "Record", "Timing"),
        ".results": ("KernelResult", "Progress", "TuneResult"),
        ".store": ("Store",),
        ".trust": ("Trust",),
        ".tuner": ("tune",),
    },
)
