"""The tuner: measures schedules, learns which are fast, and keeps records of all it measured."""

from .explain import Credit, Explanation, KnobChoice, explain
from .log import Log
from .record import Machine, Outcome, Record, Timing
from .tuner import KernelResult, Progress, TuneResult, tune

__all__ = [
    "Credit",
    "Explanation",
    "KernelResult",
    "KnobChoice",
    "Log",
    "Machine",
    "Outcome",
    "Progress",
    "Record",
    "Timing",
    "TuneResult",
    "explain",
    "tune",
]
