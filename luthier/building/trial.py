"""A new library on its sample: beside the reference, and beside its own default schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from luthier.deploy import Sample, SampleNote, Tolerance, load
from luthier.deploy import build as build_library
from luthier.frontend import Entry, Library, ReadModel
from luthier.frontend.program.library import RUN
from luthier.schedules import Target
from luthier.schedules.errors import AccuracyError, InputError, LuthierError, ModelError
from luthier.schedules.target import host_features, parse
from luthier.schedules.temporary import TemporaryFolder

from ..correctness.compare import OutputError, Outputs, errors
from ..correctness.reference import ADVICE, Reference, reference
from ..correctness.sensitivity import (
    BY_ACCURACY,
    RUNS,
    loosened,
    shaken_inputs,
    shaken_program,
)
from ..correctness.states import run_from
from ..correctness.tolerance import tolerances
from ..inputs.samples import inputs_at
from ..records.runs import Run
from .tried import tried

SECONDS = 60.0  # that a build waits for an engine: the sample is a courtesy
_SAMPLE_SEED = 0
DEFAULTS = "the default schedules"


class Trial:
    """What a model's library gives for inputs of some runs, and what it should give.

    The sample is of the first run. ``problems`` are lines for people about the reference. Schedules
    of records are compared with the default ones, which are right by construction as far as
    anything is: the reference may be wrong itself, and where it agrees that is only the cheaper
    proof.
    """

    def __init__(
        self,
        model: ReadModel,
        entry: Entry,
        target: Target,
        given: Sequence[tuple[Run, Outputs]],
        name: str = RUN,
    ) -> None:
        """``name`` is the entry point's."""
        self.problems: list[str] = []
        self._entry, self._target, self._name = entry, target, name
        self._inputs = [inputs for _, inputs in given]
        self._runs_here = host_features().issuperset(target.features)
        outputs = [run.outputs for run, _ in given]
        self._tolerances = tolerances(model.proto, outputs[0], target.accuracy)
        self._rounding = BY_ACCURACY.get(target.accuracy, 0.0)
        self._truth: Reference | None = None
        try:
            told = [run.told for run, _ in given]
            self._truth = reference(model, self._inputs, told, SECONDS, self._rounding)
        except ModelError as error:
            self.problems.append(str(error))

    def accept_defaults(self, folder: Path) -> Sample:
        """The sample of a library with default schedules; raises ArtifactError and TargetError."""
        if not self._runs_here:
            return self._sample((), ())
        ours = self._ours(folder)
        return self._sample(ours, self._beside_the_truth(ours))

    def accept_records(self, folder: Path) -> Sample:
        """The sample of a library with records' schedules; AccuracyError where it is wrong.

        Where the reference gives the same, that is all. Else it is built again with the default
        schedules.
        """
        if not self._runs_here:
            return self._sample((), ())
        ours = self._ours(folder)
        found = self._beside_the_truth(ours)
        if ours and not self._is_proof(found, ours):
            defaults = self._with(self._entry, self._inputs)
            self._refuse_wrong(ours, defaults)
            ours = defaults
        return self._sample(ours, found)

    def _ours(self, folder: Path) -> Sequence[Outputs]:
        """What the library gives; nothing where inputs decide shapes and random ones do not fit."""
        try:
            return _outputs(folder, self._inputs, self._name)
        except InputError as error:
            said = str(error).partition(": ")[2] or str(error)
            self.problems.append(f"it was not tried, since random inputs do not fit it: {said}")
            return ()

    def _beside_the_truth(self, ours: Sequence[Outputs]) -> tuple[OutputError, ...]:
        """Nothing where there is no reference, or nothing was run."""
        if self._truth is None or not ours:
            return ()
        return judged(ours, self._truth, self._tolerances)

    def _is_proof(self, found: Sequence[OutputError], ours: Sequence[Outputs]) -> bool:
        """Whether the truth says that ours are right; NaN of one that is not sure says nothing."""
        sure = self._truth is not None and self._truth.is_sure
        arrays = [array for outputs in ours for array in outputs.values()]
        finite = all(np.isfinite(array.astype(np.float64)).all() for array in arrays if array.size)
        return bool(found) and all(each.within for each in found) and (sure or finite)

    def _refuse_wrong(self, ours: Sequence[Outputs], defaults: Sequence[Outputs]) -> None:
        pairs = list(zip(ours, defaults, strict=True))
        found = errors(pairs, self._tolerances)
        if not all(each.within for each in found):
            loose = loosened(found, self._roundings(defaults), f"two runs with {DEFAULTS}")
            found = errors(pairs, loose)
        for each in found:
            if not each.within:
                raise AccuracyError(
                    f"with their schedules the output '{each.name}' differs by "
                    f"{each.absolute:.3g} from that with {DEFAULTS}"
                )

    def _roundings(self, defaults: Sequence[Outputs]) -> list[tuple[Outputs, Outputs]]:
        found: list[tuple[Outputs, Outputs]] = []
        for s in range(RUNS):
            least = self._rounding
            variants = tuple(shaken_program(each, s, least) for each in self._entry.variants)
            inputs = [shaken_inputs(each, s, least) for each in self._inputs]
            shaken = self._with(replace(self._entry, variants=variants), inputs)
            found += zip(shaken, defaults, strict=True)
        return found

    def _with(
        self, entry: Entry, inputs: Sequence[Outputs], target: Target | None = None
    ) -> list[Outputs]:
        """What a library with default schedules gives."""
        with TemporaryFolder() as folder:
            out = folder / "defaults"
            library = Library(entry.variants[0].name, {self._name: entry})
            build_library(library, out, target or self._target, {})
            return _outputs(out, inputs, self._name)

    def _sample(self, ours: Sequence[Outputs], found: Sequence[OutputError]) -> Sample:
        """Of the reference, if it agrees with ``ours`` or is sure, else of default schedules."""
        wrong = [each for each in found if not each.within]
        kept = {**self._tolerances, **{each.name: each.tolerance for each in found}}
        if wrong and self._truth is not None:
            self._tell(wrong[0], self._truth)
        if self._truth is not None and (self._truth.is_sure or not wrong):
            return self._noted(self._truth.outputs[0], self._truth.engine, kept)
        ours = ours or self._elsewhere()
        return self._noted(ours[0] if ours else {}, DEFAULTS if ours else "", kept)

    def _tell(self, wrong: OutputError, truth: Reference) -> None:
        advice = "" if truth.is_sure else f"; {ADVICE}"
        self.problems.append(
            f"the output '{wrong.name}' differs by {wrong.absolute:.3g} from that of "
            f"{truth.engine} ({wrong.tolerance}){advice}"
        )

    def _elsewhere(self) -> Sequence[Outputs]:
        """What default schedules of this machine give, of a model for another one."""
        with suppress(LuthierError):  # this machine may have no schedule for a kernel of it
            here = parse("host", self._target.threads)
            return self._with(self._entry, self._inputs[:1], here)
        return ()

    def _noted(self, outputs: Outputs, source: str, kept: Mapping[str, Tolerance]) -> Sample:
        return Sample(self._inputs[0], outputs, SampleNote(source, kept))


class Trials:
    """Those of all entry points of a library."""

    def __init__(
        self, models: Mapping[str, ReadModel], entries: Mapping[str, Entry], target: Target
    ) -> None:
        self._all: dict[str, Trial] = {}
        for name, entry in entries.items():
            read = models[name]
            given = [(run, inputs_at(read, run.sizes, _SAMPLE_SEED)) for run in tried(entry)]
            self._all[name] = Trial(read, entry, target, given, name)

    @property
    def problems(self) -> list[str]:
        """Lines for people about the references."""
        return [problem for trial in self._all.values() for problem in trial.problems]

    def accept_defaults(self, folder: Path) -> dict[str, Sample]:
        """Each as ``Trial`` does."""
        return {name: trial.accept_defaults(folder) for name, trial in self._all.items()}

    def accept_records(self, folder: Path) -> dict[str, Sample]:
        """Each as ``Trial`` does."""
        return {name: trial.accept_records(folder) for name, trial in self._all.items()}


def judged(
    ours: Sequence[Outputs], truth: Reference, tolerances: Mapping[str, Tolerance]
) -> tuple[OutputError, ...]:
    """How far ``ours`` are from the truth.

    Where they are farther than their types allow, the reference's own error is the measure.
    """
    pairs = list(zip(ours, truth.outputs, strict=True))
    found = errors(pairs, tolerances)
    if all(each.within for each in found):
        return found
    runs = [
        (other, right)
        for number, (mine, right) in enumerate(pairs)
        if not all(each.within for each in errors([(mine, right)], tolerances))
        for other in truth.others(number)
    ]
    return errors(pairs, loosened(found, runs, f"runs of {truth.engine}"))


def _outputs(folder: Path, inputs: Sequence[Outputs], name: str) -> list[Outputs]:
    with load(folder) as first, first.entry(name) as artifact:
        return [run_from(artifact, each) for each in inputs]
