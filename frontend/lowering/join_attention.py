"""Joins attention of whole numbers: two products, the softmax between them, and what moves them.

Each product, with what is made of it, is a call of its own by now, as is the softmax, and may be a
transpose of an operand or of the result. Where a template computes them together they become one
call: scores and shares then never lie in memory as matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from luthier.schedules import Target, Workload
from luthier.schedules.ir.placement import DENSE
from luthier.schedules.templates.attention_integer.form import IntegerAttention

from ..program import Call, Program, Step
from .join import joined, readers

_MOVES = frozenset({"add", "cast", "const", "subtract", "transpose"})


def join_attention(program: Program, target: Target, *, is_open: bool = False) -> Program:
    """The program with one call for each attention that ``target`` has a template for, and whose
    keys and values stay near; or whatever their number, where that ``is_open``."""
    calls = [step for step in program.steps if isinstance(step, Call)]
    if not any(_has(call.workload, "matmul_integer") for call in calls):
        return program
    search = _Search(program, {call.result: call for call in calls})
    instead: dict[int, tuple[Call, ...]] = {}  # of the call with this result
    for softmax in (call for call in calls if _has(call.workload, "softmax")):
        found = search.around(softmax)
        form = None if found is None else IntegerAttention.match(found.whole.workload, target)
        if found is not None and form is not None and (is_open or form.is_near):
            instead |= found.instead
    if not instead:
        return program
    steps: list[Step] = []
    for step in program.steps:
        steps += instead.get(step.result, (step,)) if isinstance(step, Call) else (step,)
    return replace(program, values=tuple(search.values), steps=tuple(steps)).compact()


@dataclass(frozen=True)
class _Found:
    """The attention as one call, and what stands in the place of each call that it is made of."""

    whole: Call
    instead: dict[int, tuple[Call, ...]]


class _Search:
    """Calls before and after one another, where nobody else sees what is between them.

    ``values`` are the types of the program's values, and of those that calls which are cut get.
    """

    def __init__(self, program: Program, calls: dict[int, Call]) -> None:
        self.calls, self.readers = calls, readers(program)
        self.after = {arg: call for call in calls.values() for arg in call.args}
        self.values = list(program.values)

    def around(self, softmax: Call) -> _Found | None:
        """The attention around a softmax."""
        before = (self._alone(arg) for arg in softmax.args)
        products = (call for call in before if call and _has(call.workload, "matmul_integer"))
        scores, sums = next(products, None), self._next(softmax.result)
        if scores is None or sums is None or not _has(sums.workload, "matmul_integer"):
            return None
        parts = (scores, softmax, sums)
        if any(call.placement != DENSE for call in parts):
            return None
        whole = joined(joined(scores, softmax), sums)
        instead: dict[int, tuple[Call, ...]] = {call.result: () for call in parts}
        for arg in whole.args:
            cut = self._cut(self._alone(arg))
            if cut is not None:
                first, move = cut
                whole, instead[arg] = joined(move, whole), first
        last = self._next(whole.result)
        if last is not None and _moves(last.workload) and last.placement == DENSE:
            whole = joined(whole, last)
        return _Found(whole, {**instead, whole.result: (whole,)})

    def _alone(self, value: int) -> Call | None:
        """What computes a value that is read once."""
        return self.calls.get(value) if self.readers[value] == 1 else None

    def _next(self, value: int) -> Call | None:
        """The only call that reads a value."""
        return self.after.get(value) if self.readers[value] == 1 else None

    def _cut(self, call: Call | None) -> tuple[tuple[Call, ...], Call] | None:
        """What moves the numbers of 8 bits that a call makes, apart from what makes them, if
        anything does; None where nothing is moved."""
        if call is None or call.placement != DENSE:
            return None
        if _moves(call.workload):
            return (), call
        nodes, first = call.workload.nodes, len(call.workload.inputs)
        last = max(i for i, node in enumerate(nodes) if node.op not in _MOVES)
        made, ops = first + last, call.workload.region.statements
        rest = [op for op in ops if op.result > made]
        literals = [op for op in ops[:last] if op.node.op == "const"]
        read = {arg for op in rest for arg in op.reads} - {op.result for op in (*rest, *literals)}
        if read != {made} or nodes[last].out.element.bits != 8:
            return None
        middle = len(self.values)
        self.values.append(nodes[last].out)
        begin = replace(call.workload, nodes=nodes[: last + 1])
        moves = Workload.of({made: (nodes[last].out, False)}, [*literals, *rest])
        return (
            (replace(call, workload=begin, result=middle),),
            replace(call, workload=moves, args=(middle,)),
        )


def _has(workload: Workload, op: str) -> bool:
    return any(node.op == op for node in workload.nodes)


def _moves(workload: Workload) -> bool:
    """Whether it does no more than to move whole numbers and to take a zero point from them."""
    whole = workload.output.element.is_whole
    return whole and all(node.op in _MOVES for node in workload.nodes)
