"""What the cost model sees of a candidate: numbers from knobs and shapes, nothing is lowered.

Columns have names, so that kernels of different templates share those that mean the same. The loop
nest that the knobs imply enters as ratios to the machine (``schedules.loops``), as in Ansor (Zheng
et al., OSDI 2020, appendix B), which reads such numbers off the lowered program instead. Sizes and
knobs enter as logarithms (base 2). What a candidate's loop nest has beyond the default schedule's
enters too: that carries over to workloads of other sizes better than its numbers alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.ops.counts import flops, traffic
from luthier.schedules.templates import loops, registry

BESIDE = " beside the default's"  # how the names of such columns end
Column = NDArray[np.float32]
Values = NDArray[Any]


def columns(
    workload: Workload, target: Target, template: str, knobs: Mapping[str, Values]
) -> dict[str, Column]:
    """Named columns for candidates of one template; ``knobs[name][i]`` is candidate i's choice.

    Raises ScheduleError where there is no such template.
    """
    count = len(next(iter(knobs.values()))) if knobs else 1
    fixed = {**_of_workload(workload), **_of_target(target), f"template={template}": 1.0}
    found: dict[str, Any] = dict(fixed)
    for name, values in knobs.items():
        if values.dtype.kind in "iu":
            found[name] = np.log2(np.maximum(values, np.float32(0.5)))
        else:
            found |= {f"{name}={choice}": values == choice for choice in np.unique(values)}
    with np.errstate(all="ignore"):  # knobs from someone else's log may be absurd
        nest = _of_nest(workload, target, template, knobs)
        found |= nest
        for name, value in _of_default(workload, target).items():
            found[name + BESIDE] = nest[name] - value
    return {
        name: np.broadcast_to(np.asarray(value, np.float32), (count,))
        for name, value in found.items()
    }


@functools.lru_cache(maxsize=256)
def _of_default(workload: Workload, target: Target) -> dict[str, float]:
    """The numbers of the default schedule's loop nest."""
    default = registry.default(workload, target)
    knobs = {name: np.array([choice]) for name, choice in default.knobs}
    found = _of_nest(workload, target, default.template, knobs)
    return {name: float(np.ravel(value)[0]) for name, value in found.items()}


def _of_nest(
    workload: Workload, target: Target, template: str, knobs: Mapping[str, Values]
) -> dict[str, NDArray[np.float64]]:
    nest = registry.loops(workload, target, template, knobs)
    return loops.features(nest, target, flops(workload))


def schedule_columns(
    workload: Workload, target: Target, schedules: Sequence[Schedule]
) -> dict[str, Column]:
    """The same for schedules of one template and version."""
    knobs = [dict(s.knobs) for s in schedules]
    table = {name: np.array([k[name] for k in knobs]) for name in knobs[0]}
    return columns(workload, target, schedules[0].template, table)


def _of_workload(workload: Workload) -> dict[str, float]:
    work, moved = flops(workload), traffic(workload)
    constants = zip(workload.inputs, workload.constants, strict=True)
    sizes = {
        "operations": work,
        "bytes": moved,
        "constant bytes": sum(t.nbytes for t, constant in constants if constant),
        "intensity": work / max(1.0, moved),
        "nodes": len(workload.nodes),
        "last extent": (workload.output.shape or (1,))[-1],
    }
    logs = {name: math.log2(max(value, 2.0**-10)) for name, value in sizes.items()}
    return {**logs, **{f"op={node.op}": 1.0 for node in workload.nodes}}


def _of_target(target: Target) -> dict[str, float]:
    caches = {"l2": target.l2, "l3": target.l3}
    sizes = {"threads": target.threads, "lanes": target.lanes(FLOAT32), **caches}
    return {name: math.log2(value) for name, value in sizes.items()}
