"""Concatenations of so many open sizes that no few kernels are for all of them.

Each piece is a call of its own, whose result lies in the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.core import needed, numbering
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.placement import Placement
from luthier.schedules.ir.workload import node
from luthier.schedules.templates.choices import Choices

from ..program import Branch, Call, Loop, OpenTensor, Part, Program, Step

_MANY = 1 << 16  # choices of the sizes of one workload


def in_pieces(program: Program) -> Program:
    """The program whose calls for many choices of sizes join nothing."""
    pieces = _Pieces(program)
    steps = pieces.steps(program.steps)
    if not pieces.parts:
        return program
    return replace(
        program,
        values=(*program.values, *pieces.values),
        open={**program.open, **pieces.open},
        parts={**program.parts, **pieces.parts},
        steps=steps,
    )


class _Pieces:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._largest = {symbol.name: symbol.most for symbol in program.symbols}
        self.values: list[Tensor] = []
        self.open: dict[int, OpenTensor] = {}
        self.parts: dict[int, Part] = {}

    def steps(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        return tuple(one for step in steps for one in self._step(step))

    def _step(self, step: Step) -> Iterator[Step]:
        if isinstance(step, Loop | Branch):
            yield step.over(self.steps)
            return
        joint = self._joint(step, step.open) if isinstance(step, Call) and step.open else None
        if not isinstance(step, Call) or step.open is None or joint is None:
            yield step
            return
        workload, first = step.open.workload, len(step.args)
        whole, root = step.result, first + len(workload.nodes) - 1
        if joint != root:
            whole = self._value(workload.nodes[joint - first].out)
        begin: Any = 0
        for arg in workload.nodes[joint - first].args:
            inputs, piece = _leading_to(workload, arg)
            result = self._value(piece.output)
            self.parts[result] = Part(whole, begin)
            begin = begin + math.prod(piece.output.shape)
            yield self._call(step, inputs, (), piece, result)
        if joint != root:
            inputs, rest = _leading_to(workload, root, joint)
            yield self._call(step, inputs, (whole,), rest, step.result)

    def _joint(self, call: Call, open_: OpenWorkload) -> int | None:
        """What joins others, which would lie in it densely, in a workload of too many choices."""
        workload, first = open_.workload, len(call.args)
        joints = [i for i, each in enumerate(workload.nodes, first) if each.op == "concat"]
        if not joints:
            return None
        joint = workload.nodes[joints[-1] - first]
        if joint is workload.nodes[-1] and (
            call.result in self._program.parts or call.placement.output is not None
        ):
            return None
        outer = joint.out.shape[: cast(int, joint.attr("axis"))]
        if any(str(size) != "1" for size in outer):
            return None
        many = Choices(open_, self._program.symbols).count > _MANY
        return joints[-1] if many else None

    def _value(self, tensor: Tensor) -> int:
        """A new one, of a type over sizes."""
        value, open_ = (
            len(self._program.values) + len(self.values),
            OpenTensor(tensor.shape, tensor.dtype),
        )
        self.values.append(open_.at(self._largest))
        if open_.names:
            self.open[value] = open_
        return value

    def _call(
        self, call: Call, inputs: Sequence[int], more: tuple[int, ...], workload: Workload, to: int
    ) -> Call:
        """What does a piece of a call's work, of some of its arguments and then of others."""
        written = OpenWorkload(workload)
        pitches = [*(call.placement.pitch(i) for i in inputs), *(None for _ in more)]
        output = call.placement.output if to == call.result else None
        return Call(
            written.at(self._largest),
            (*(call.args[i] for i in inputs), *more),
            to,
            call.source,
            Placement.of(pitches, output),
            written if written.names else None,
        )


def _leading_to(
    workload: Workload, value: int, known: int | None = None
) -> tuple[list[int], Workload]:
    """Which inputs one of a workload's values needs, and what computes it from these, and from one
    that is ``known``."""
    first = len(workload.inputs)
    needs = {first + i: each.args for i, each in enumerate(workload.nodes) if first + i != known}
    order = sorted(needed((value,), needs))
    inputs = [v for v in order if v < first]
    made = [v for v in order if v >= first and v != known]
    number = numbering([*inputs, *(v for v in order if v == known), *made])
    nodes = [workload.nodes[v - first] for v in made]
    nodes = [replace(each, args=tuple(number[a] for a in each.args)) for each in nodes]
    types = [workload.inputs[i] for i in inputs]
    constants = [workload.constants[i] for i in inputs]
    if known is not None and known in number:
        types.append(workload.nodes[known - first].out)
        constants.append(False)
    if not nodes:
        tensor = workload.inputs[value]
        zero, one = (0,) * len(tensor.shape), (1,) * len(tensor.shape)
        nodes = [node("slice", (0,), tensor, begin=zero, steps=one)]
    return inputs, Workload(tuple(types), tuple(constants), tuple(nodes))
