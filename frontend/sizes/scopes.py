"""Sizes that loops and branches find are known in these alone."""

from __future__ import annotations

from collections.abc import Collection

from luthier.schedules import UnsupportedOperator

from ..program import Find, Loop, Program
from ..program.steps import walk


def check_scopes(program: Program) -> None:
    """Raise UnsupportedOperator where a result of a loop or branch has a size that this finds."""
    for step in walk(program.region):
        inner = [each for region in step.regions for each in walk(region)]
        found = {each.size for each in inner if isinstance(each, Find)}
        grown = step.grown if isinstance(step, Loop) else ()
        for value in step.defines:
            inside = sorted(_names(program, value) & found)
            if value not in grown and inside:
                raise UnsupportedOperator(
                    f"{step.source}: a result is as large as '{inside[0]}', which is found in it, "
                    "each time anew: what leaves a loop or branch must have a size that is known "
                    "outside, which the model declares or joins it with"
                )
        if grown and isinstance(step, Loop):
            _check_grown(program, step, found)


def _check_grown(program: Program, loop: Loop, found: Collection[str]) -> None:
    """What a loop carries grows by as much in each iteration."""
    left = loop.body.results[loop.condition is not None :]
    for before, after in zip(loop.body.parameters[1:], left, strict=False):
        inside = (_names(program, after) - _names(program, before)).intersection(found)
        if inside:
            raise UnsupportedOperator(
                f"{loop.source}: a value that it carries is longer by '{min(inside)}' after an "
                "iteration, which is found in it, each time anew: it may grow by as much each time"
            )


def _names(program: Program, value: int) -> frozenset[str]:
    return program.open[value].names if value in program.open else frozenset[str]()
