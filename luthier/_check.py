"""Accuracy: the library's outputs against a reference engine's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.deploy import Artifact, load
from luthier.frontend import read_model
from luthier.schedules import Target
from luthier.schedules.errors import AccuracyError, UsageError
from luthier.schedules.target import DEFAULT_ACCURACY

from ._compare import ATOL, RTOL, OutputError, Outputs, errors, sample
from ._compile import Model, Shapes, build
from ._layers import DEFAULT_LOG, FilePath
from ._reference import reference
from ._samples import random_inputs

RUNS = 3


@dataclass(frozen=True)
class CheckReport:
    """How close ``runs`` runs came to ``reference`` (the engine's name, or the saved sample).

    The fields about the log are those of ``BuildReport``, and zero for an artifact folder.
    """

    reference: str
    runs: int
    rtol: float
    atol: float
    outputs: tuple[OutputError, ...]
    from_records: int = 0
    foreign_records: int = 0
    skipped_records: int = 0
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every output is within the tolerance."""
        return all(output.within for output in self.outputs)

    def raise_if_wrong(self) -> None:
        """Raise AccuracyError where an output is beyond the tolerance."""
        wrong = [o for o in self.outputs if not o.within]
        if wrong:
            worst = max(wrong, key=lambda o: o.absolute)
            raise AccuracyError(
                f"{len(wrong)} of {len(self.outputs)} outputs differ from {self.reference} by "
                f"more than rtol {self.rtol:g}, atol {self.atol:g}; "
                f"'{worst.name}' by {worst.absolute:.3g}"
            )


def check(
    model_or_dir: Model,
    *,
    target: str | Target = "host",
    log: FilePath | None = DEFAULT_LOG,
    packs: Sequence[FilePath] = (),
    threads: int | None = None,
    shapes: Shapes | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    runs: int = RUNS,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> CheckReport:
    """Compare outputs with the reference's.

    A model is built in a temporary folder and run on ``runs`` seeded random inputs, against ONNX
    Runtime or, where that is not installed, onnx's own evaluator. An artifact folder replays the
    sample that was kept when it was built and needs no other engine; ``log``, ``packs`` and
    ``runs`` are then without meaning, ``target``, ``shapes`` and ``accuracy`` an error. Raises what
    ``build`` and ``load`` raise; a difference is no exception but ``report.ok`` being false.
    """
    if runs < 1 or not (rtol >= 0 and atol >= 0):
        raise UsageError("runs must be at least 1, and tolerances not negative")
    if isinstance(model_or_dir, str | os.PathLike) and os.path.isdir(model_or_dir):
        if shapes or target != "host" or accuracy != DEFAULT_ACCURACY:
            raise UsageError(
                f"{model_or_dir} is built already: shapes, target and accuracy are for models"
            )
        return _check_folder(model_or_dir, threads, rtol, atol)
    read = read_model(model_or_dir, shapes)
    with tempfile.TemporaryDirectory(prefix="luthier-") as folder:
        out = Path(folder) / "model"
        built = build(
            read,
            out,
            target=target,
            log=log,
            packs=packs,
            threads=threads,
            accuracy=accuracy,
        )
        truth = reference(read.proto)
        with load(out) as artifact:
            pairs = [_pair(artifact, truth.run, random_inputs(read.proto, s)) for s in range(runs)]
    return CheckReport(
        reference=truth.engine,
        runs=runs,
        rtol=rtol,
        atol=atol,
        outputs=errors(pairs, rtol, atol),
        from_records=built.from_records,
        foreign_records=built.foreign_records,
        skipped_records=built.skipped_records,
        problems=built.problems,
    )


def _check_folder(
    folder: str | os.PathLike[str], threads: int | None, rtol: float, atol: float
) -> CheckReport:
    with load(folder, threads=threads) as artifact:
        inputs, outputs = sample(artifact)
        ours = artifact.run(inputs)
    return CheckReport("the saved sample", 1, rtol, atol, errors([(ours, outputs)], rtol, atol))


def _pair(artifact: Artifact, truth: Any, inputs: Outputs) -> tuple[Outputs, Outputs]:
    return artifact.run(inputs), truth(inputs)
