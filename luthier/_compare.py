"""How far outputs are from a reference's, and the sample that an artifact keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.deploy import Artifact
from luthier.schedules.errors import ArtifactError, InputError

from ._arrays import load_arrays

Array = NDArray[Any]
Outputs = Mapping[str, Array]

RTOL = 1e-3
ATOL = 1e-4


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


def errors(
    pairs: Sequence[tuple[Outputs, Outputs]], rtol: float, atol: float
) -> tuple[OutputError, ...]:
    """The worst error of each output, over pairs of what is ours and what is right."""
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
