"""What the calls of a program are called for people: the model's nodes, and the loops around."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.frontend.program import Call, Program, Step
from luthier.schedules.ir.core import Region


def call_sources(program: Program) -> list[str]:
    """Of each call, in order: ``MatMul 'p' + Tanh 't', in Loop 'again'``."""
    return list(_sources(program.region, ()))


def _sources(region: Region[Step], around: tuple[str, ...]) -> Iterator[str]:
    for step in region.statements:
        if isinstance(step, Call):
            yield ", in ".join((step.source, *around)) if step.source else ""
        name = step.source or type(step).__name__
        for inner in step.regions:
            yield from _sources(inner, (name, *around))
