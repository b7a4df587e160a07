"""The tuner: measures schedules, learns which are fast, and keeps records of all it measured."""

from .log import Log
from .record import Machine, Outcome, Record, Timing
from .tuner import KernelResult, Progress, TuneResult, tune

__all__ = [
    "KernelResult",
    "Log",
    "Machine",
    "Outcome",
    "Progress",
    "Record",
    "Timing",
    "TuneResult",
    "tune",
]
