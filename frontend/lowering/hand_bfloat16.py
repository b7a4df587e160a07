"""Values that only products of bfloat16 read lie in memory as bfloat16.

Those round what they read: whoever computes it rounds it once instead, in half of the bytes, and
the results are the same. Whether a kernel takes or gives such a value its template says, of the
one that is the default; what anything else reads, or a model gives, stays float32.

What lies side by side in one value lies so together. The largest of some numbers, rounded, is the
largest of them rounded: what a pool reads and what it gives lie so together, too, where they may.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from luthier.schedules import Node, Target, Tensor, Workload
from luthier.schedules.emit.bfloat16 import bfloat16_layouts
from luthier.schedules.errors import ScheduleError
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.templates.registry import default
from luthier.schedules.templates.rounding import BFLOAT16, ROUNDS

from ..program import Call, Program

_OPERANDS: Mapping[str, int] = {
    "attention": 3,
    "conv2d": 1,
    "conv2d_transpose": 1,
    "matmul": 1,
    "matmul_few_bits": 1,
}
"""How many of these operators' first operands may lie so."""


def hand_bfloat16(program: Program, target: Target) -> Program:
    """The program where each value lies in memory as what all that read it make of it."""
    if not bfloat16_layouts(target):
        return program
    if len({call.result for call in program.calls}) != len(program.steps):
        return program
    for through in (True, False):
        for group in _Groups(program, through).members():
            program = _handed(program, group, target) or program
    return program


class _Groups:
    """Values of float32 by what decides for all of them: the value that they lie in, and, if
    ``through`` pools, one of those before and after these."""

    def __init__(self, program: Program, through: bool) -> None:
        self.program, self.to = program, dict[int, int]()
        for call in program.calls if through else ():
            if _is_pool(call):
                before, after = self.of(call.args[0]), self.of(call.result)
                if before != after:  # all may lie side by side
                    self.to[after] = before

    def of(self, value: int) -> int:
        """What stands for the group of a value."""
        found = self.program.place(value).whole
        while found in self.to:
            found = self.program.place(self.to[found]).whole
        return found

    def members(self) -> list[frozenset[int]]:
        """Groups of values, views among them, which calls alone make and read."""
        found: dict[int, set[int]] = defaultdict(set)
        program = self.program
        for value in range(len(program.values)):
            found[self.of(value)].add(value)
        made = {call.result for call in program.calls} | set(program.views) | set(program.pieces)
        given = {value for _, value in program.outputs}
        return [
            frozenset(group)
            for group in found.values()
            if group <= made
            and not group & given
            and all(program.values[value].element == FLOAT32 for value in group)
        ]


def _is_pool(call: Call) -> bool:
    return [node.op for node in call.workload.nodes] == ["max_pool2d"]


def _handed(program: Program, group: frozenset[int], target: Target) -> Program | None:
    """The program where these values lie so; None where that may not be, or nobody reads them."""
    changed, products = {}, False
    for call in program.calls:
        reads = group & set(call.args)
        if not reads and call.result not in group:
            continue
        if reads and call.result in group:
            workload = _of_pool(call, target)
        elif reads:
            workload, products = _taking(call, group, target), True
        else:
            workload = _giving(call.workload, target)
        if workload is None:
            return None
        changed[call.result] = replace(call, workload=workload)
    if not products:
        return None
    values = [
        Tensor(tensor.shape, BFLOAT16.name) if value in group else tensor
        for value, tensor in enumerate(program.values)
    ]
    steps = tuple(changed.get(call.result, call) for call in program.calls)
    return replace(program, values=tuple(values), steps=steps)


def _of_pool(call: Call, target: Target) -> Workload | None:
    """A pool of numbers of bfloat16; None of any other call."""
    workload = call.workload
    if not _is_pool(call):
        return None
    (node,), (source,) = workload.nodes, workload.inputs
    out = Tensor(node.out.shape, BFLOAT16.name)
    inputs = (Tensor(source.shape, BFLOAT16.name),)
    changed = replace(workload, inputs=inputs, nodes=(replace(node, out=out),))
    return changed if _is_alike(workload, changed, target) else None


def _taking(call: Call, group: frozenset[int], target: Target) -> Workload | None:
    """What a call computes where what it reads of a group is in bfloat16; None where its kernels do
    not round it first."""
    workload = call.workload
    first, *rest = workload.nodes
    places = {i for i, arg in enumerate(call.args) if arg in group}
    operands = set(first.args[: _OPERANDS.get(first.op, 0)])
    others = {*first.args[_OPERANDS.get(first.op, 0) :], *(a for n in rest for a in n.args)}
    if not places <= operands - others:
        return None
    inputs = tuple(
        Tensor(tensor.shape, BFLOAT16.name) if i in places else tensor
        for i, tensor in enumerate(workload.inputs)
    )
    changed = replace(workload, inputs=inputs)
    return changed if _is_alike(workload, changed, target, ROUNDS) else None


def _giving(workload: Workload, target: Target) -> Workload | None:
    """The same with its result in bfloat16; None where that takes other kernels."""
    *nodes, last = workload.nodes
    out = Tensor(last.out.shape, BFLOAT16.name)
    if last.op == "attention":
        changed = replace(workload, nodes=(*nodes, replace(last, out=out)))
    else:
        number = len(workload.inputs) + len(nodes)
        changed = replace(workload, nodes=(*workload.nodes, Node("cast", (number,), out)))
    return changed if _is_alike(workload, changed, target) else None


def _is_alike(
    before: Workload, after: Workload, target: Target, names: frozenset[str] | None = None
) -> bool:
    """Whether one template, of those with these ``names``, is the default for both."""
    try:
        found = {default(each, target).template for each in (before, after)}
    except ScheduleError:
        return False
    return len(found) == 1 and (names is None or found <= names)
