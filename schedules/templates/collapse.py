"""Elementwise workloads with fewer dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from .. import ops
from ..ir.workload import Tensor, Workload


def collapse(workload: Workload, keep_last: bool = False) -> Workload:
    """The same elementwise workload with neighbouring dimensions merged where that changes nothing.

    Two dimensions merge when every operand spans both or broadcasts along both. Inputs that no
    node uses are left as they are. ``keep_last`` keeps the last dimension apart.
    """
    if any(not ops.of(node).is_elementwise for node in workload.nodes):
        return workload
    shape = workload.output.shape
    if not shape:
        return workload
    used = {a for node in workload.nodes for a in node.args}
    aligned = {a: _align(workload.tensor(a).shape, len(shape)) for a in used}
    groups = _merge(shape, list(aligned.values()), keep_last)

    def merged(tensor: Tensor, arg: int) -> Tensor:
        if arg not in aligned and arg < len(workload.inputs):
            return tensor
        full = _align(tensor.shape, len(shape))
        dims = (math.prod(full[d] for d in group) for group in groups)
        return Tensor(tuple(dims), tensor.dtype)

    inputs = tuple(merged(t, i) for i, t in enumerate(workload.inputs))
    n = len(inputs)
    nodes = tuple(
        replace(node, out=merged(node.out, n + i)) for i, node in enumerate(workload.nodes)
    )
    return Workload(inputs, workload.constants, nodes)


def _align(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape


def _merge(
    shape: tuple[int, ...], operands: Sequence[tuple[int, ...]], keep_last: bool
) -> list[list[int]]:
    """Groups of dimensions; size-1 dimensions join any group."""
    groups: list[list[int]] = []
    for d in range(len(shape)):
        last = keep_last and d == len(shape) - 1
        if groups and not last and _same_spread(shape, operands, groups[-1], d):
            groups[-1].append(d)
        else:
            groups.append([d])
    return groups


def _same_spread(
    shape: tuple[int, ...], operands: Sequence[tuple[int, ...]], group: list[int], d: int
) -> bool:
    real = [g for g in group if shape[g] != 1]
    if shape[d] == 1 or not real:
        return True
    return all((o[real[-1]] == 1) == (o[d] == 1) for o in operands)
