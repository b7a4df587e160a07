"""Joins 1x1 convolutions with the depthwise ones after them, as in inverted residuals.

What is between the two then never lies in memory as a whole. It must have no other reader, and the
model of the template must expect a gain on the target.
"""

from __future__ import annotations

from dataclasses import replace

from luthier.schedules import Target
from luthier.schedules.templates.separable.form import Separable

from ..program import Call, Program, Step
from .join import joined, readers


def join_depthwise(program: Program, target: Target) -> Program:
    """The program with one call for each such pair."""
    read = readers(program)
    steps: dict[int, Step] = {}  # by the last result
    for step in program.steps:
        first = steps.get(step.reads[0]) if step.reads else None
        if isinstance(first, Call) and isinstance(step, Call) and read[first.result] == 1:
            both = joined(first, step)
            form = Separable.match(both.workload, target)
            if form is not None and form.saves > 0:
                del steps[first.result]
                steps[step.result] = both
                continue
        steps[step.defines[-1]] = step
    return replace(program, steps=tuple(steps.values())).compact()
