"""Accuracy: the library's outputs against a reference engine's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from luthier.deploy import Artifact, Sample, load
from luthier.frontend import (
    Bounds,
    Entry,
    Postprocessing,
    Preprocessing,
    ReadModel,
    Shapes,
    StateNames,
    import_entries,
)
from luthier.schedules import Target, Tensor
from luthier.schedules.errors import AccuracyError, ArtifactError, UsageError
from luthier.schedules.redaction import shown
from luthier.schedules.target import DEFAULT_ACCURACY
from luthier.schedules.temporary import TemporaryFolder

from ..arguments import FilePath, validated
from ..correctness.compare import OutputError, Outputs, errors, sample
from ..correctness.reference import ADVICE
from ..correctness.states import run_from
from ..inputs.arrays import inputs_of
from ..inputs.points import Models, Values, read_all
from ..inputs.samples import inputs_at
from ..machine.target import resolve
from ..records.sources import DEFAULT_LOG
from .build import build
from .comparison import Ran, SizesResult, asked, compared, types_of
from .sequence import sequence
from .tried import checked

RUNS = 3
_NOBODY = "nobody could compute its sample's outputs; check the model itself"
_OLDER = "an older Luthier built the folder and kept no sample of it; build it again"


@dataclass(frozen=True)
class CheckReport:
    """How close ``runs`` runs came to ``reference`` (the engine's name, or the saved samples).

    Each of ``outputs`` tells its tolerance and why that. ``sizes`` has the results by the sizes of
    the runs, where the model leaves some open; ``sequence`` has those of runs over states one after
    the other, each compared with what the reference makes of the states that the one before left.
    The fields about the log are those of ``BuildReport``; for an artifact folder they are zero, and
    ``problems`` tells which entry points have no sample to replay.
    """

    reference: str
    runs: int
    outputs: tuple[OutputError, ...]
    sizes: tuple[SizesResult, ...] = ()
    sequence: tuple[SizesResult, ...] = ()
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
                f"than they may; '{worst.title}' by {worst.absolute:.3g} ({worst.tolerance})"
            )


@validated
def check(
    model_or_dir: Models,
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
    example_inputs: Any = None,
    preprocess: Preprocessing | None = None,
    postprocess: Postprocessing | None = None,
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
    sizes at which kernels change, and with ``runs`` random ones. Several models, as for ``build``,
    are built into one library, and each is compared. Where models have states, a few runs follow
    one another on what these hold: of the first model, then of the others in turns. An artifact
    folder replays the sample that was kept of each entry point when it was built and needs no other
    engine; ``log``, ``packs`` and ``runs`` are then without meaning, ``inputs``, ``target``,
    ``shapes``, ``values``, ``outputs``, ``state``, ``bounds``, ``example_inputs``, ``preprocess``,
    ``postprocess`` and ``accuracy`` an error. Tolerances follow the types of the outputs, and of
    what they are computed from, unless ``rtol`` or ``atol`` are given; an output that is beyond is
    compared with how far apart the reference's own runs are, with inputs and weights changed in
    their last places. Raises what ``build`` and ``load`` raise, but nothing for a difference, which
    ``report.ok`` tells.
    """
    if isinstance(model_or_dir, str | os.PathLike) and os.path.isdir(model_or_dir):
        said = (outputs, example_inputs, preprocess, postprocess, inputs)
        asked = shapes or values or state or bounds or any(each is not None for each in said)
        if asked or target != "host" or accuracy != DEFAULT_ACCURACY:
            raise UsageError(
                f"{model_or_dir} is built already: shapes, values, outputs, state, bounds, "
                "example_inputs, preprocess, postprocess, target, accuracy and inputs are for "
                "models"
            )
        return _check_folder(model_or_dir, threads, rtol, atol)
    several = isinstance(model_or_dir, Mapping)
    if several and inputs is not None:
        raise UsageError("inputs are of one model: check each of several alone with its own")
    of_models = (shapes, values, outputs, state, bounds, example_inputs, preprocess, postprocess)
    reads = read_all(model_or_dir, *of_models)
    entries = import_entries(reads, resolve(target, threads, accuracy))
    with TemporaryFolder() as folder:
        built = build(
            reads if several else next(iter(reads.values())),
            folder / "model",
            target=target,
            log=log,
            packs=packs,
            threads=threads,
            accuracy=accuracy,
        )
        ran: dict[str, list[Ran]] = {}
        types: dict[str, dict[str, Tensor]] = {}
        with load(folder / "model") as first:
            for title, read in reads.items():
                with first.entry(title) as artifact:
                    given = _inputs(artifact, read, entries[title], inputs, runs)
                    ours = ((at, each, run_from(artifact, each)) for at, each in given)
                    ran[title] = [Ran(*each, types_of(each[2])) for each in ours]
                    types[title] = {port.name: port.tensor for port in artifact.outputs}
                    types[title] |= {n.becomes: n.tensor for n in artifact.state.notes}
            steps = sequence(first, reads, entries) if inputs is None else []
    for number, step in enumerate(steps):
        ran[step.entry].append(Ran(step.run.text, step.inputs, step.ours, step.run.told, number))
    found = [
        compared(title if several else "", read, types[title], ran[title], rtol, atol, accuracy)
        for title, read in reads.items()
    ]
    in_order = {number: result for each in found for number, result in each.steps.items()}
    return CheckReport(
        reference=found[0].reference,
        runs=sum(map(len, ran.values())),
        outputs=tuple(output for each in found for output in each.outputs),
        sizes=tuple(result for each in found for result in each.sizes),
        sequence=tuple(in_order[number] for number in sorted(in_order)),
        from_records=built.from_records,
        foreign_records=built.foreign_records,
        skipped_records=built.skipped_records,
        problems=(*built.problems, *([] if all(each.is_sure for each in found) else [ADVICE])),
    )


def _inputs(
    artifact: Artifact,
    read: ReadModel,
    entry: Entry,
    inputs: Mapping[str, Any] | None,
    count: int,
) -> list[tuple[str, Outputs]]:
    """What an entry point is run on, each after its sizes for people, where some are open."""
    if inputs is not None:
        return [("", _given(artifact, inputs))]
    if read.open is None:
        return [("", inputs_at(read, {}, seed)) for seed in range(count)]
    tried = checked(entry, count)
    return [(run.text, inputs_at(read, run.sizes, seed)) for seed, run in enumerate(tried)]


def _given(artifact: Artifact, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, and what states are before the run."""
    states = [note.name for note in artifact.state.notes]
    given = inputs_of(inputs, [*(port.name for port in artifact.inputs), *states])
    checked = artifact.checked({n: array for n, array in given.items() if n not in states})
    return checked | {name: given[name] for name in states}


def _check_folder(
    folder: str | os.PathLike[str], threads: int | None, rtol: float | None, atol: float | None
) -> CheckReport:
    with load(folder, threads=threads) as first:
        every = {note.name: sample(first, note) for note in first.manifest.entries}
        kept = {name: each for name, each in every.items() if each is not None and each.outputs}
        if not kept:
            raise ArtifactError(f"{shown(folder)}: {_NOBODY}")
        outputs: list[OutputError] = []
        for name, each in kept.items():
            with first.entry(name) as artifact:
                ours = run_from(artifact, each.inputs)
            found = errors([(ours, each.outputs)], asked(each.note.tolerances, rtol, atol))
            outputs += (replace(o, entry=name if len(every) > 1 else "") for o in found)
    return CheckReport(
        _whose(list(kept.values())),
        len(kept),
        tuple(outputs),
        problems=tuple(
            f"the entry point '{name}' was not checked: {_OLDER if each is None else _NOBODY}"
            for name, each in every.items()
            if name not in kept
        ),
    )


def _whose(samples: Sequence[Sample]) -> str:
    """What a folder is compared with."""
    sources = " and ".join(dict.fromkeys(s.note.source for s in samples if s.note.source))
    return ("the saved sample" if len(samples) == 1 else "the saved samples") + (
        f" of {sources}" if sources else ""
    )
