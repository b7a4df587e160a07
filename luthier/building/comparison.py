"""Runs of an entry point beside the reference's, one by one and all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from luthier.deploy import Tolerance
from luthier.frontend import ReadModel
from luthier.schedules import Tensor

from ..correctness.compare import OutputError, Outputs, errors
from ..correctness.reference import reference
from ..correctness.sensitivity import BY_ACCURACY
from ..correctness.tolerance import tolerances
from .trial import judged

_SECONDS = 600.0  # that the reference may take


@dataclass(frozen=True)
class SizesResult:
    """How far the output that is farthest was in a run of these sizes, and whether all are close
    enough; of which ``entry`` point, where there are several."""

    sizes: str
    absolute: float
    within: bool
    entry: str = ""


@dataclass(frozen=True)
class Ran:
    """What a run was given and gave, at sizes for people; ``told`` are the types that a reference
    must give to be one, and ``step`` is the number in a sequence."""

    sizes: str
    inputs: Outputs
    ours: Outputs
    told: Mapping[str, Tensor]
    step: int | None = None


@dataclass(frozen=True)
class Compared:
    """The worst error of each output, and how close each run with sizes was, and each step.

    ``is_sure``: whether the ``reference`` is right where it disagrees.
    """

    reference: str
    is_sure: bool
    outputs: tuple[OutputError, ...]
    sizes: tuple[SizesResult, ...]
    steps: Mapping[int, SizesResult]


def compared(
    title: str,
    model: ReadModel,
    types: Mapping[str, Tensor],
    runs: Sequence[Ran],
    rtol: float | None,
    atol: float | None,
    accuracy: str,
) -> Compared:
    """Runs of the entry point ``title``, whose outputs have these ``types``; raises ModelError.

    Tolerances are those found for all runs together, unless they are given. ``accuracy`` is what
    the library was built for.
    """
    given, told = [each.inputs for each in runs], [each.told for each in runs]
    truth = reference(model, given, told, _SECONDS, BY_ACCURACY.get(accuracy, 0.0))
    allowed = asked(tolerances(model.proto, types, accuracy), rtol, atol)
    ours = [each.ours for each in runs]
    pairs = list(zip(ours, truth.outputs, strict=True))
    measured = rtol is None and atol is None
    found = judged(ours, truth, allowed) if measured else errors(pairs, allowed)
    allowed = {each.name: each.tolerance for each in found}
    results = {}
    for i, (run, pair) in enumerate(zip(runs, pairs, strict=True)):
        each = errors([pair], allowed)
        worst = max((o.absolute for o in each), default=0.0)
        results[i] = SizesResult(run.sizes, worst, all(o.within for o in each), title)
    return Compared(
        truth.engine,
        truth.is_sure,
        tuple(replace(each, entry=title) for each in found),
        tuple(results[i] for i, run in enumerate(runs) if run.step is None and run.sizes),
        {run.step: results[i] for i, run in enumerate(runs) if run.step is not None},
    )


def asked(
    by_type: Mapping[str, Tolerance], rtol: float | None, atol: float | None
) -> Mapping[str, Tolerance]:
    """What was asked for, instead of what follows from the types."""
    if rtol is None and atol is None:
        return by_type
    return {
        name: replace(
            tolerance,
            rtol=tolerance.rtol if rtol is None else rtol,
            atol=tolerance.atol if atol is None else atol,
            why="as asked for",
            share=0.0,
        )
        for name, tolerance in by_type.items()
    }


def types_of(outputs: Outputs) -> dict[str, Tensor]:
    """Those of arrays."""
    return {name: Tensor(array.shape, str(array.dtype)) for name, array in outputs.items()}
