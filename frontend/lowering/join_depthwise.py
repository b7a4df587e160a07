"""Joins 1x1 convolutions with the depthwise ones after them, as in inverted residuals.

What is between the two then never lies in memory as a whole. It must have no other reader, and the
model of the template must expect a gain on the target.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count

from luthier.schedules import Target, Workload
from luthier.schedules.ir.placement import Placement
from luthier.schedules.templates.separable.form import Separable

from ..program import Call, Program, Step


def join_depthwise(program: Program, target: Target) -> Program:
    """The program with one call for each such pair."""
    readers = Counter(program.base(value) for step in program.steps for value in step.reads)
    readers.update(program.base(value) for _, value in program.outputs)
    readers.update(program.base(value) for value in program.views)
    readers.update(program.parts.keys())  # whoever reads the whole
    steps: dict[int, Step] = {}  # by the last result
    for step in program.steps:
        first = steps.get(step.reads[0]) if step.reads else None
        if isinstance(first, Call) and isinstance(step, Call) and readers[first.result] == 1:
            joined = _join(first, step)
            form = Separable.match(joined.workload, target)
            if form is not None and form.saves > 0:
                del steps[first.result]
                steps[step.result] = joined
                continue
        steps[step.defines[-1]] = step
    return replace(program, steps=tuple(steps.values())).compact()


def _join(first: Call, second: Call) -> Call:
    """Both calls as one, where ``second`` reads the result of ``first``."""
    a, b = first.workload, second.workload
    inputs = dict(zip(first.args, a.signature, strict=True))
    inputs |= zip(second.args, b.signature, strict=True)
    del inputs[first.result]
    fresh = count(max(*inputs, first.result, second.result) + 1)
    ops = (
        *a.inlined(first.args, first.result, fresh),
        *b.inlined(second.args, second.result, fresh),
    )
    source = " + ".join(s for s in (first.source, second.source) if s)
    pitches = {
        arg: call.placement.pitch(i) for call in (first, second) for i, arg in enumerate(call.args)
    }
    placement = Placement.of([pitches[arg] for arg in inputs], second.placement.output)
    return Call(Workload.of(inputs, ops), tuple(inputs), second.result, source, placement)
