"""Accuracy: the library's outputs against a reference engine's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from luthier.deploy import Artifact, load
from luthier.frontend import read_model
from luthier.schedules import Target
from luthier.schedules.errors import AccuracyError, ArtifactError, InputError, UsageError
from luthier.schedules.target import DEFAULT_ACCURACY

from ._arrays import load_arrays
from ._compile import DEFAULT_LOG, FilePath, Model, Shapes, build
from ._reference import reference
from ._samples import random_inputs

Array = NDArray[Any]
Outputs = Mapping[str, Array]

RTOL = 1e-3
ATOL = 1e-4
RUNS = 3


@dataclass(frozen=True)
class OutputError:
    """The worst error of an output over all runs.

    ``absolute`` is the largest |ours - reference|; ``relative`` the largest of that over
    |reference|, among elements where |reference| exceeds the absolute tolerance. ``within``:
    every element had |ours - reference| <= atol + rtol * |reference|.
    """

    name: str
    absolute: float
    relative: float
    within: bool


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
    skipped_lines: int = 0
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
    sample that was kept when it was built and needs no other engine; ``log`` and ``runs`` are then
    without meaning, ``target``, ``shapes`` and ``accuracy`` an error. Raises what ``build`` and
    ``load`` raise; a difference is no exception but ``report.ok`` being false.
    """
    if runs < 1 or not (rtol >= 0 and atol >= 0):
        raise UsageError("runs must be at least 1, and tolerances not negative")
    if not isinstance(model_or_dir, onnx.ModelProto) and os.path.isdir(model_or_dir):
        if shapes or target != "host" or accuracy != DEFAULT_ACCURACY:
            raise UsageError(
                f"{model_or_dir} is built already: shapes, target and accuracy are for models"
            )
        return _check_folder(model_or_dir, threads, rtol, atol)
    with tempfile.TemporaryDirectory(prefix="luthier-") as folder:
        out = Path(folder) / "model"
        built = build(
            model_or_dir,
            out,
            target=target,
            log=log,
            threads=threads,
            shapes=shapes,
            accuracy=accuracy,
        )
        proto = read_model(model_or_dir, shapes)
        truth = reference(proto)
        with load(out) as artifact:
            pairs = [_pair(artifact, truth.run, random_inputs(proto, s)) for s in range(runs)]
    return CheckReport(
        reference=truth.engine,
        runs=runs,
        rtol=rtol,
        atol=atol,
        outputs=_errors(pairs, rtol, atol),
        from_records=built.from_records,
        foreign_records=built.foreign_records,
        skipped_lines=built.skipped_lines,
        problems=built.problems,
    )


def _check_folder(
    folder: str | os.PathLike[str], threads: int | None, rtol: float, atol: float
) -> CheckReport:
    with load(folder, threads=threads) as artifact:
        inputs, outputs = sample(artifact)
        ours = artifact.run(inputs)
    return CheckReport("the saved sample", 1, rtol, atol, _errors([(ours, outputs)], rtol, atol))


def sample(artifact: Artifact) -> tuple[dict[str, Array], dict[str, Array]]:
    """The inputs and the reference's outputs kept in the folder; raises ArtifactError."""
    path = artifact.folder / "sample.npz"
    try:
        arrays = load_arrays(path)
    except InputError as error:
        raise ArtifactError(f"{error}; build the artifact again") from error
    inputs = {p.name: arrays.get(f"in:{p.name}") for p in artifact.inputs}
    outputs = {p.name: arrays.get(f"out:{p.name}") for p in artifact.outputs}
    missing = [name for name, array in {**inputs, **outputs}.items() if array is None]
    if missing:
        raise ArtifactError(f"{path} lacks an array for '{missing[0]}'; build the artifact again")
    return _present(inputs), _present(outputs)


def _present(arrays: Mapping[str, Array | None]) -> dict[str, Array]:
    return {name: array for name, array in arrays.items() if array is not None}


def _pair(artifact: Artifact, truth: Any, inputs: Outputs) -> tuple[Outputs, Outputs]:
    return artifact.run(inputs), truth(inputs)


def _errors(
    pairs: Sequence[tuple[Outputs, Outputs]], rtol: float, atol: float
) -> tuple[OutputError, ...]:
    names = pairs[0][1]
    return tuple(
        _worst([_error(name, ours[name], theirs[name], rtol, atol) for ours, theirs in pairs])
        for name in names
    )


def _worst(errors: Sequence[OutputError]) -> OutputError:
    return OutputError(
        errors[0].name,
        max(e.absolute for e in errors),
        max(e.relative for e in errors),
        all(e.within for e in errors),
    )


def _error(name: str, ours: Array, theirs: Array, rtol: float, atol: float) -> OutputError:
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return OutputError(name, float("inf"), float("inf"), False)
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        difference = np.where(np.isnan(difference), np.inf, difference)
        scale = np.where(np.isfinite(b), np.abs(b), 0.0)
        large = scale > atol
        ratio = np.divide(difference, scale, out=np.zeros_like(difference), where=large)
    return OutputError(
        name,
        float(difference.max(initial=0.0)),
        float(ratio.max(initial=0.0)),
        bool(np.all(difference <= atol + rtol * scale)),
    )
