"""What the C runtime cannot run today: loops and branches over open sizes."""

from __future__ import annotations

from luthier.frontend.program import Call, Expect, Find, Library
from luthier.schedules import UnsupportedOperator


def check_runs(library: Library) -> None:
    """Raise UnsupportedOperator, which names what it is, for what the runtime cannot run."""
    for program in library.programs:
        step = next((s for s in program.steps if not isinstance(s, Call | Find | Expect)), None)
        if step is not None and program.symbols:
            ranges = ", ".join(map(str, program.symbols))
            raise UnsupportedOperator(
                f"{step.source or type(step).__name__}: control flow in a model of sizes that are "
                f"known only at run time ({ranges}) is not supported; give one size for each"
            )
