"""How much a schedule gives the busiest thread to do."""

from __future__ import annotations

import math

import numpy as np

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.ops.counts import flops
from luthier.schedules.templates import loops, registry

from .record import Record
from .validity import NONSENSE

_MOST = math.log2(1.05)  # beyond the default's


def is_light(record: Record, target: Target, default: Schedule) -> bool:
    """Whether the busiest thread has little more to do than with the default schedule."""
    workload, pair = record.workload, (record.schedule, default)
    try:
        theirs, ours = (_busiest_cycles(workload, target, schedule) for schedule in pair)
    except NONSENSE:  # a stranger's workload
        return False
    return theirs <= ours + _MOST


def _busiest_cycles(workload: Workload, target: Target, schedule: Schedule) -> float:
    """The logarithm of a ratio that the workload's schedules share."""
    knobs = {name: np.array([choice]) for name, choice in schedule.knobs}
    with np.errstate(all="ignore"):  # knobs from someone else's log may be absurd
        nest = registry.loops(workload, target, schedule.template, knobs)
        numbers = loops.features(nest, target, flops(workload))
    return float(np.ravel(numbers["busiest cycles"])[0])
