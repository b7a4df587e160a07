"""Where rows are gathered, and the kernels' knob."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ... import ops
from ...emit.lanes import side
from ...ir.core import needed
from ...ir.size import at_least
from ...ir.workload import Node, Workload
from ...target.target import Target
from ..by_grain import ByGrain


class Gathered(NamedTuple):
    """``core`` is the value made of rows of ``data`` that are gathered: what follows it is
    elementwise."""

    core: int
    data: tuple[int, ...]


@dataclass(frozen=True)
class Across(ByGrain):
    """Elementwise operators over rows that are gathered by the same columns, as a resize does."""

    gathered: Gathered

    name = "across"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "output elements"

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Across | None:
        """Of any type, where there are rows for a vector, and a vector of rows fits into L2."""
        found = gathered(workload)
        if found is None:
            return None
        shape = workload.output.shape
        rows = side(workload.tensor(found.core).element.bytes, target)
        read = [workload.tensor(value) for value in found.data]
        held = sum(rows * t.element.bytes * t.shape[-1] for t in read)
        if math.prod(shape[:-1]) < rows or 2 * held > target.l2:
            return None
        return cls(workload, target, found)

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return at_least(self.workload.output.size // (6 * self.target.threads), 4096)


def gathered(workload: Workload) -> Gathered | None:
    """What of a workload is gathered along the last axis, if its kernels can have rows as lanes."""
    n, shape = len(workload.inputs), workload.output.shape
    takes = {n + i for i, node in enumerate(workload.nodes) if _gathers(workload, node)}
    if not takes or not all(ops.of(node).is_fusible for node in workload.nodes):
        return None
    above = {n + i: set(node.args) for i, node in enumerate(workload.nodes)}
    core = _core(workload, takes, above)
    data = {workload.nodes[take - n].args[0] for take in takes}
    # Down to what is gathered; the columns are known apart from it.
    direct = {v: args & data if v in takes else args for v, args in above.items() if v not in data}
    between = needed([core], direct) - data
    are_rows = all(
        workload.tensor(value).shape[:-1] == shape[:-1] and not takes & needed([value], above)
        for value in data
    )
    if takes - between or not are_rows or workload.tensor(core).shape != shape:
        return None
    is_alike = all(value in takes or _is_alike(workload, value) for value in between)
    return Gathered(core, tuple(sorted(data))) if is_alike else None


def _is_alike(workload: Workload, value: int) -> bool:
    """Whether a value is computed from others of its place, or is an input alike in all rows."""
    n = len(workload.inputs)
    if value < n:
        return all(size == 1 for size in workload.inputs[value].shape[:-1])
    node = workload.nodes[value - n]
    return ops.of(node).is_elementwise or node.op == "broadcast_to"


def _gathers(workload: Workload, node: Node) -> bool:
    if node.op != "take":
        return False
    data, columns = (workload.tensor(arg) for arg in node.args)
    return node.attr("axis") == len(data.shape) - 1 and len(columns.shape) == 1


def _core(workload: Workload, takes: set[int], above: dict[int, set[int]]) -> int:
    """The first value from which elementwise operators lead to the result, and nothing else that
    was gathered."""
    n = len(workload.inputs)
    value = n + len(workload.nodes) - 1
    while value not in takes and ops.of(workload.nodes[value - n]).is_elementwise:
        args = [arg for arg in above[value] if takes & needed([arg], above)]
        if len(args) != 1 or workload.tensor(args[0]).shape != workload.output.shape:
            break
        value = args[0]
    return value
