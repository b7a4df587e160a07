"""What the C runtime can run today: one entry point, a straight line of calls of fixed sizes."""

from __future__ import annotations

from luthier.frontend.program import Call, Library, Program, Step
from luthier.schedules import UnsupportedOperator


def check_runs(library: Library) -> None:
    """Raise UnsupportedOperator, which names what it is, for what the runtime cannot run."""
    if len(library.entries) != 1:
        names = ", ".join(map(repr, library.entries)) or "none"
        raise UnsupportedOperator(
            f"a library of several entry points ({names}) is not supported; build one for each"
        )
    for entry in library.entries.values():
        if entry.symbols:
            names = ", ".join(map(str, entry.symbols))
            raise UnsupportedOperator(
                f"sizes that are known only at run time ({names}) are not supported; import the "
                "model with one size for each"
            )
    for program in library.programs:
        straight_line(program)


def straight_line(program: Program) -> tuple[Call, ...]:
    """The program's steps, which are calls; raises UnsupportedOperator for any other."""
    return tuple(_call(step) for step in program.steps)


def _call(step: Step) -> Call:
    if isinstance(step, Call):
        return step
    kind = type(step).__name__
    raise UnsupportedOperator(f"{step.source or kind}: the step {kind} is not supported")
