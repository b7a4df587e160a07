"""Accuracy: the library's outputs against a reference engine's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from luthier.deploy import Artifact, Tolerance, load
from luthier.frontend import Bounds, ReadModel, Shapes, StateNames, import_entry, read_model
from luthier.schedules import Target, Tensor
from luthier.schedules.errors import AccuracyError, ArtifactError, UsageError
from luthier.schedules.redaction import shown
from luthier.schedules.target import DEFAULT_ACCURACY
from luthier.schedules.temporary import TemporaryFolder

from ..arguments import validated
from ..correctness.compare import OutputError, Outputs, errors, sample
from ..correctness.reference import ADVICE, reference
from ..correctness.states import run_from
from ..correctness.tolerance import tolerances
from ..inputs.arrays import inputs_of
from ..inputs.samples import inputs_at, random_inputs
from ..machine.target import resolve
from ..records.runs import Run
from ..records.sources import DEFAULT_LOG, FilePath
from ..tuning.tune import Model, Values
from .build import build
from .trial import judged
from .tried import checked

RUNS = 3
_SECONDS = 600.0  # that the reference may take


@dataclass(frozen=True)
class SizesResult:
    """How far the output that is farthest was in a run of these sizes, and whether all are close
    enough."""

    sizes: str
    absolute: float
    within: bool


@dataclass(frozen=True)
class CheckReport:
    """How close ``runs`` runs came to ``reference`` (the engine's name, or the saved sample).

    Each of ``outputs`` tells its tolerance and why that. ``sizes`` has the results by the sizes of
    the runs, where the model leaves some open. The fields about the log are those of
    ``BuildReport``, and zero for an artifact folder.
    """

    reference: str
    runs: int
    outputs: tuple[OutputError, ...]
    sizes: tuple[SizesResult, ...] = ()
    from_records: int = 0
    foreign_records: int = 0
    skipped_records: int = 0
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every output is within its tolerance."""
        return all(output.within for output in self.outputs)

    def raise_if_wrong(self) -> None:
        """Raise AccuracyError where an output is beyond its tolerance."""
        wrong = [o for o in self.outputs if not o.within]
        if wrong:
            worst = max(wrong, key=lambda o: o.absolute)
            raise AccuracyError(
                f"{len(wrong)} of {len(self.outputs)} outputs differ from {self.reference} by more "
                f"than they may; '{worst.name}' by {worst.absolute:.3g} ({worst.tolerance})"
            )


@validated
def check(
    model_or_dir: Model,
    *,
    target: str | Target = "host",
    log: FilePath | None = DEFAULT_LOG,
    packs: Sequence[FilePath] = (),
    threads: int | None = None,
    shapes: Shapes | None = None,
    values: Values | None = None,
    outputs: Sequence[str] | None = None,
    state: StateNames | None = None,
    bounds: Bounds | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    inputs: Mapping[str, Any] | None = None,
    runs: int = RUNS,
    rtol: float | None = None,
    atol: float | None = None,
) -> CheckReport:
    """Compare outputs with the reference's.

    A model is built in a temporary folder and run on ``inputs``, or on ``runs`` seeded random ones,
    against ONNX Runtime without optimisations or, where that is not installed, onnx's own
    evaluator. Where ``shapes`` leaves sizes open, it is run with the ends of their ranges, with
    sizes at which kernels change, and with ``runs`` random ones. An artifact folder replays the
    sample that was kept when it was built and needs no other engine; ``log``, ``packs`` and
    ``runs`` are then without meaning, ``inputs``, ``target``, ``shapes``, ``values``, ``outputs``,
    ``state``, ``bounds`` and ``accuracy`` an error. Tolerances follow the types of
    the outputs, and of what they are computed from, unless ``rtol`` or ``atol`` are given; an
    output that is beyond is compared with how far apart the reference's own runs are, with inputs
    and weights changed in their last places. Raises what ``build`` and ``load`` raise, but nothing
    for a difference, which ``report.ok`` tells.
    """
    if isinstance(model_or_dir, str | os.PathLike) and os.path.isdir(model_or_dir):
        asked = shapes or values or state or bounds or outputs is not None or inputs is not None
        if asked or target != "host" or accuracy != DEFAULT_ACCURACY:
            raise UsageError(
                f"{model_or_dir} is built already: shapes, values, outputs, state, bounds, "
                "target, accuracy and inputs are for models"
            )
        return _check_folder(model_or_dir, threads, rtol, atol)
    read = read_model(model_or_dir, shapes, values, outputs, state, bounds)
    tried = _runs(read, resolve(target, threads, accuracy), runs)
    with TemporaryFolder() as folder:
        out = folder / "model"
        built = build(
            read, out, target=target, log=log, packs=packs, threads=threads, accuracy=accuracy
        )
        with load(out) as artifact:
            given = (
                [inputs_at(read, run.sizes, seed) for seed, run in enumerate(tried)]
                if tried and inputs is None
                else [random_inputs(read.proto, seed) for seed in range(runs)]
                if inputs is None
                else [_given(artifact, inputs)]
            )
            ours = [run_from(artifact, each) for each in given]
            types = {port.name: port.tensor for port in artifact.outputs}
            types |= {note.becomes: note.tensor for note in artifact.state.notes}
    truth = reference(read.proto, given, [_types(each) for each in ours], _SECONDS)
    allowed = _asked(tolerances(read.proto, types), rtol, atol)
    measured = rtol is None and atol is None
    pairs = list(zip(ours, truth.outputs, strict=True))
    found = judged(ours, truth, allowed) if measured else errors(pairs, allowed)
    return CheckReport(
        reference=truth.engine,
        runs=len(given),
        outputs=found,
        sizes=_by_sizes(tried, pairs, found) if inputs is None else (),
        from_records=built.from_records,
        foreign_records=built.foreign_records,
        skipped_records=built.skipped_records,
        problems=built.problems if truth.is_sure else (*built.problems, ADVICE),
    )


def _runs(read: ReadModel, target: Target, count: int) -> tuple[Run, ...]:
    """Those that an open model is checked with; none for a model of fixed sizes."""
    return () if read.open is None else checked(import_entry(read, target), count)


def _given(artifact: Artifact, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, and what states are before the run."""
    states = [note.name for note in artifact.state.notes]
    given = inputs_of(inputs, [*(port.name for port in artifact.inputs), *states])
    checked = artifact.checked({n: array for n, array in given.items() if n not in states})
    return checked | {name: given[name] for name in states}


def _types(outputs: Outputs) -> dict[str, Tensor]:
    return {name: Tensor(array.shape, str(array.dtype)) for name, array in outputs.items()}


def _by_sizes(
    tried: Sequence[Run],
    pairs: Sequence[tuple[Outputs, Outputs]],
    found: Sequence[OutputError],
) -> tuple[SizesResult, ...]:
    """By the tolerances that were found for all runs together."""
    allowed = {each.name: each.tolerance for each in found}
    results = []
    for run, pair in zip(tried, pairs, strict=bool(tried)):
        each = errors([pair], allowed)
        worst = max(o.absolute for o in each)
        results.append(SizesResult(run.text, worst, all(o.within for o in each)))
    return tuple(results)


def _check_folder(
    folder: str | os.PathLike[str], threads: int | None, rtol: float | None, atol: float | None
) -> CheckReport:
    with load(folder, threads=threads) as artifact:
        kept = sample(artifact)
        if not kept.outputs:
            missing = "nobody could compute its sample's outputs; check the model itself"
            raise ArtifactError(f"{shown(folder)}: {missing}")
        ours = run_from(artifact, kept.inputs)
    whose = f" of {kept.note.source}" if kept.note.source else ""
    allowed = _asked(kept.note.tolerances, rtol, atol)
    return CheckReport(f"the saved sample{whose}", 1, errors([(ours, kept.outputs)], allowed))


def _asked(
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
