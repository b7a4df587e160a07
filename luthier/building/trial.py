"""A new library on its sample: beside the reference, and beside its own default schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from luthier.deploy import Sample, SampleNote, Tolerance, load
from luthier.deploy import build as build_library
from luthier.frontend import Library, Program, ReadModel
from luthier.schedules import Target
from luthier.schedules.errors import AccuracyError, LuthierError, ModelError
from luthier.schedules.target import host_features, parse
from luthier.schedules.temporary import TemporaryFolder

from ..correctness.compare import OutputError, Outputs, errors
from ..correctness.reference import ADVICE, Reference, reference
from ..correctness.sensitivity import RUNS, loosened, shaken_inputs, shaken_program
from ..correctness.tolerance import tolerances

SECONDS = 60.0  # that a build waits for an engine: the sample is a courtesy
DEFAULTS = "the default schedules"


class Trial:
    """What a model's library gives for ``inputs``, and what it should give.

    ``problems`` are lines for people about the reference. Schedules of records are compared with
    the default ones, which are right by construction as far as anything is: the reference may be
    wrong itself, and where it agrees that is only the cheaper proof.
    """

    def __init__(self, model: ReadModel, program: Program, target: Target, inputs: Outputs) -> None:
        self.problems: list[str] = []
        self._program, self._target, self._inputs = program, target, dict(inputs)
        self._runs_here = host_features().issuperset(target.features)
        outputs = {name: program.values[value] for name, value in program.outputs}
        self._tolerances = tolerances(model.proto, outputs)
        self._truth: Reference | None = None
        try:
            self._truth = reference(model.proto, [self._inputs], outputs, SECONDS)
        except ModelError as error:
            self.problems.append(str(error))

    def accept_defaults(self, folder: Path) -> Sample:
        """The sample of a library with default schedules; raises ArtifactError and TargetError."""
        if not self._runs_here:
            return self._sample({}, ())
        ours = _outputs(folder, self._inputs)
        return self._sample(ours, self._beside_the_truth(ours))

    def accept_records(self, folder: Path) -> Sample:
        """The sample of a library with records' schedules; AccuracyError where it is wrong.

        Where the reference gives the same, that is all. Else it is built again with the default
        schedules.
        """
        if not self._runs_here:
            return self._sample({}, ())
        ours = _outputs(folder, self._inputs)
        found = self._beside_the_truth(ours)
        if not self._is_proof(found, ours):
            defaults = self._with(self._program, self._inputs)
            self._refuse_wrong(ours, defaults)
            ours = defaults
        return self._sample(ours, found)

    def _beside_the_truth(self, ours: Outputs) -> tuple[OutputError, ...]:
        """Nothing where there is no reference."""
        if self._truth is None:
            return ()
        return judged([ours], self._truth, self._tolerances)

    def _is_proof(self, found: Sequence[OutputError], ours: Outputs) -> bool:
        """Whether the truth says that ours are right; NaN of one that is not sure says nothing."""
        sure = self._truth is not None and self._truth.is_sure
        finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in ours.values())
        return bool(found) and all(each.within for each in found) and (sure or finite)

    def _refuse_wrong(self, ours: Outputs, defaults: Outputs) -> None:
        found = errors([(ours, defaults)], self._tolerances)
        if not all(each.within for each in found):
            loose = loosened(found, self._roundings(defaults), f"two runs with {DEFAULTS}")
            found = errors([(ours, defaults)], loose)
        for each in found:
            if not each.within:
                raise AccuracyError(
                    f"with their schedules the output '{each.name}' differs by "
                    f"{each.absolute:.3g} from that with {DEFAULTS}"
                )

    def _roundings(self, defaults: Outputs) -> list[tuple[Outputs, Outputs]]:
        shaken = (
            self._with(shaken_program(self._program, s), shaken_inputs(self._inputs, s))
            for s in range(RUNS)
        )
        return [(each, defaults) for each in shaken]

    def _with(self, program: Program, inputs: Outputs, target: Target | None = None) -> Outputs:
        """What a library with default schedules gives."""
        with TemporaryFolder() as folder:
            out = folder / "defaults"
            build_library(Library.of(program), out, target or self._target, {})
            return _outputs(out, inputs)

    def _sample(self, ours: Outputs, found: Sequence[OutputError]) -> Sample:
        """Of the reference, if it agrees with ``ours`` or is sure, else of default schedules."""
        wrong = [each for each in found if not each.within]
        kept = {**self._tolerances, **{each.name: each.tolerance for each in found}}
        if wrong and self._truth is not None:
            self._tell(wrong[0], self._truth)
        if self._truth is not None and (self._truth.is_sure or not wrong):
            return self._noted(self._truth.outputs[0], self._truth.engine, kept)
        ours = ours or self._elsewhere()
        return self._noted(ours, DEFAULTS if ours else "", kept)

    def _tell(self, wrong: OutputError, truth: Reference) -> None:
        advice = "" if truth.is_sure else f"; {ADVICE}"
        self.problems.append(
            f"the output '{wrong.name}' differs by {wrong.absolute:.3g} from that of "
            f"{truth.engine} ({wrong.tolerance}){advice}"
        )

    def _elsewhere(self) -> Outputs:
        """What default schedules of this machine give, of a model for another one."""
        with suppress(LuthierError):  # this machine may have no schedule for a kernel of it
            return self._with(self._program, self._inputs, parse("host", self._target.threads))
        return {}

    def _noted(self, outputs: Outputs, source: str, kept: Mapping[str, Tolerance]) -> Sample:
        return Sample(self._inputs, outputs, SampleNote(source, kept))


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


def _outputs(folder: Path, inputs: Outputs) -> Outputs:
    with load(folder) as artifact:
        return artifact.run(inputs)
