"""What the cost model sees of a candidate: numbers from knobs and shapes, nothing is lowered.

Columns have names, so that kernels of different templates share those that mean the same. Extents
and knobs enter as logarithms (base 2); a tile that does not divide its extent enters as the share
of work it wastes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.attention_form import attention
from luthier.schedules.counts import flops, traffic
from luthier.schedules.ops import ANCHORS

Column = NDArray[np.float32]
Values = NDArray[Any]


def extents(workload: Workload) -> dict[str, int]:
    """The loops that knobs may cut, by name."""
    anchors = [n for n in workload.nodes if n.op in ANCHORS] or [workload.nodes[-1]]
    anchor = anchors[-1]
    shape = anchor.out.shape or (1,)
    if anchor.op in ("conv2d", "conv2d_transpose"):
        _, kh, kw, _ = workload.tensor(anchor.args[1]).shape
        rows, columns, out = shape[1:]
        return {
            "rows": rows,
            "columns": columns,
            "inner": out,
            "depth": max(workload.tensor(n.args[1]).shape[3] for n in anchors),
            "window": kh * kw,
        }
    if anchor.op == "matmul":
        depth = workload.tensor(anchor.args[0]).shape[-1]
        rows = shape[-2] if len(shape) > 1 else 1
        batch = math.prod(shape[:-2])
        return {"batch": batch, "rows": rows, "inner": shape[-1], "depth": depth}
    if form := attention(workload, anchor):
        batch = form.batch * form.heads
        return {"batch": batch, "rows": form.rows, "inner": form.width, "depth": form.keys}
    size = max((t.size for t in workload.inputs), default=1)
    return {"outer": math.prod(shape[:-1]), "inner": shape[-1], "depth": size // anchor.out.size}


def columns(
    workload: Workload, target: Target, template: str, knobs: Mapping[str, Values]
) -> dict[str, Column]:
    """Named columns for candidates of one template; ``knobs[name][i]`` is candidate i's choice."""
    count = len(next(iter(knobs.values()))) if knobs else 1
    fixed = {**_of_workload(workload), **_of_target(target), f"template={template}": 1.0}
    found = {name: np.full(count, value, np.float32) for name, value in fixed.items()}
    numeric: dict[str, Column] = {}
    for name, values in knobs.items():
        if values.dtype.kind in "iu":
            numeric[name] = values.astype(np.float32)
        else:
            for choice in np.unique(values):
                found[f"{name}={choice}"] = (values == choice).astype(np.float32)
    logs = {n: np.log2(np.maximum(v, np.float32(0.5))) for n, v in numeric.items()}
    found.update(logs)
    for a, b in itertools.combinations(sorted(logs), 2):
        found[f"{a}*{b}"] = logs[a] + logs[b]
    for (name, values), (loop, extent) in itertools.product(
        numeric.items(), extents(workload).items()
    ):
        tile = np.maximum(values, np.float32(1))
        waste = np.ceil(extent / tile) * tile / max(1, extent) - 1
        found[f"{name} wastes {loop}"] = waste.astype(np.float32)
    return found


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
        **{f"extent {name}": extent for name, extent in extents(workload).items()},
    }
    logs = {name: math.log2(max(value, 2.0**-10)) for name, value in sizes.items()}
    return {**logs, **{f"op={node.op}": 1.0 for node in workload.nodes}}


def _of_target(target: Target) -> dict[str, float]:
    sizes = {"threads": target.threads, "lanes": target.lanes, "l2": target.l2, "l3": target.l3}
    return {name: math.log2(value) for name, value in sizes.items()}
