"""The tuner: measures schedules, learns which are fast, and keeps records of all it measured."""

from .explain import Credit, Explanation, KnobChoice, explain
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
