"""The tuner: measures schedules, learns which are fast, and keeps records of all it measured.

A name's module is imported when the name is first used: the process that runs candidates forks for
each of them, which takes the longer the more it has imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "explanation": ("Credit", "Explanation", "KnobChoice", "explain"),
    "layers": ("Choice", "Layers"),
    "machine": ("Machine",),
    "pack": ("Pack", "write_pack"),
    "record": ("Outcome", "Record", "Timing"),
    "results": ("KernelResult", "Progress", "TuneResult"),
    "store": ("Store",),
    "trust": ("Trust",),
    "tuner": ("tune",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'luthier.autotune' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
