"""Values that only products of bfloat16 read lie in memory as bfloat16.

Those round what they read: whoever computes it rounds it once instead, in half of the bytes, and
the results are the same. Whether a kernel takes or gives such a value its template says, of the
one that is the default; what anything else reads, or a model gives, stays float32.
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
    calls = {call.result: call for call in program.calls}
    if len(calls) != len(program.steps):
        return program
    readers = _readers(program)
    values = list(program.values)
    for value in [value for value in calls if value in readers]:
        made = _giving(calls[value].workload, target)
        read = {r: _taking(calls[r], value, program, target) for r in readers[value]}
        if made is None or None in read.values():
            continue
        for result, workload in {value: made, **read}.items():
            assert workload is not None
            calls[result] = replace(calls[result], workload=workload)
        for other, tensor in enumerate(values):
            if program.base(other) == value:
                values[other] = Tensor(tensor.shape, BFLOAT16.name)
    return replace(program, values=tuple(values), steps=tuple(calls.values()))


def _readers(program: Program) -> dict[int, list[int]]:
    """The results of the calls that read each value, or views of it; of values of float32 that
    calls alone read, as they lie."""
    found: dict[int, list[int]] = defaultdict(list)
    for call in program.calls:
        for value in dict.fromkeys(map(program.base, call.args)):
            found[value].append(call.result)
    kept = {program.base(value) for _, value in program.outputs}
    kept |= {value for value in found if value in program.parts}
    kept |= {part.whole for part in program.parts.values()}
    return {
        value: some
        for value, some in found.items()
        if value not in kept and program.values[value].element == FLOAT32
    }


def _taking(call: Call, value: int, program: Program, target: Target) -> Workload | None:
    """What a call computes where this value, which it reads, is in bfloat16; None where its kernels
    do not round it first."""
    workload = call.workload
    first, *rest = workload.nodes
    places = {i for i, arg in enumerate(call.args) if program.base(arg) == value}
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
