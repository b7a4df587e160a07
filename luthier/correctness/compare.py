"""How far outputs are from those that are right, and the sample that an artifact keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.deploy import Artifact, EntryNote, Sample, SampleNote, Tolerance
from luthier.deploy.arrays import typed
from luthier.schedules.errors import ArtifactError, InputError
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.redaction import shown

from ..inputs.arrays import load_arrays
from .tolerance import of_type

Array = NDArray[Any]
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class OutputError:
    """The worst error of an output over all runs.

    ``absolute`` is the largest |ours - right|; ``relative`` the largest of that over |right|, among
    elements where |right| exceeds the absolute tolerance. ``within``: in every run all elements but
    the ``tolerance``'s share had |ours - right| <= atol + rtol * |right|. ``entry`` is the entry
    point's name, where there are several.
    """

    name: str
    absolute: float
    relative: float
    within: bool
    tolerance: Tolerance
    entry: str = ""

    @property
    def title(self) -> str:
        """Its name, after the entry point's."""
        return f"{self.entry}:{self.name}" if self.entry else self.name


def sample(artifact: Artifact, entry: EntryNote) -> Sample | None:
    """What is kept of an entry point, all inputs of it at least, states before a run among these.

    None for what is not the first of a folder that an older Luthier built, which kept no other's.
    Raises ArtifactError.
    """
    manifest = artifact.manifest
    noted = manifest.samples.get(entry.name)
    if noted is None and entry != manifest.entries[0]:
        return None
    path = artifact.folder / manifest.sample_file(entry.name)
    try:
        arrays = load_arrays(path)
    except InputError as error:
        raise ArtifactError(f"{error}; build the artifact again") from error
    note = noted or SampleNote("", {})
    outputs = entry.outputs if note.source or noted is None else ()
    states = entry.states
    takes = [*(p.name for p in entry.inputs), *(state.name for state in states)]
    gives = {port.name: port.tensor.dtype for port in outputs}
    if note.source:
        gives |= {each.becomes: each.tensor.dtype for each in states}
    wanted = [f"in:{name}" for name in takes] + [f"out:{name}" for name in gives]
    for name in wanted:
        if name not in arrays:
            named = name.partition(":")[2]
            raise ArtifactError(
                f"{shown(path)} lacks an array for '{named}'; build the artifact again"
            )
    kept = {name: note.tolerances.get(name) or of_type(dtype) for name, dtype in gives.items()}
    return Sample(
        {name: arrays[f"in:{name}"] for name in takes},
        {name: typed(arrays[f"out:{name}"], DTYPES[of].numpy) for name, of in gives.items()},
        SampleNote(note.source, kept),
    )


def errors(
    pairs: Sequence[tuple[Outputs, Outputs]], tolerances: Mapping[str, Tolerance]
) -> tuple[OutputError, ...]:
    """The worst error of each output, over pairs of what is ours and what is right."""
    return tuple(
        _worst([error(name, ours[name], right[name], tolerance) for ours, right in pairs])
        for name, tolerance in tolerances.items()
    )


def _worst(errors: Sequence[OutputError]) -> OutputError:
    return OutputError(
        errors[0].name,
        max(e.absolute for e in errors),
        max(e.relative for e in errors),
        all(e.within for e in errors),
        errors[0].tolerance,
    )


def error(name: str, ours: Array, right: Array, tolerance: Tolerance) -> OutputError:
    """Of one output in one run."""
    if (ours.shape, ours.dtype) != (right.shape, right.dtype):
        return OutputError(name, float("inf"), float("inf"), False, tolerance)
    difference, scale = difference_and_scale(ours, right)
    large = scale > tolerance.atol
    ratio = np.divide(difference, scale, out=np.zeros_like(difference), where=large)
    return OutputError(
        name,
        float(difference.max(initial=0.0)),
        float(ratio.max(initial=0.0)),
        share_beyond(difference, scale, tolerance) <= tolerance.share,
        tolerance,
    )


def difference_and_scale(ours: Array, right: Array) -> tuple[Array, Array]:
    """|ours - right|, infinite where one alone is NaN or infinite, and |right|, as float64.

    Integers that differ do so by at least 1, whatever float64 can tell apart.
    """
    a, b = ours.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        both_nan = np.isnan(a) & np.isnan(b)
        difference = np.where((ours == right) | both_nan, 0.0, np.abs(a - b))
        difference = np.where(np.isnan(difference), np.inf, difference)
        if not DTYPES[ours.dtype.name].is_float:
            difference = np.where(ours != right, np.maximum(difference, 1.0), difference)
    return difference, np.where(np.isfinite(b), np.abs(b), 0.0)


def share_beyond(difference: Array, scale: Array, tolerance: Tolerance) -> float:
    """Which share of the elements is farther than the tolerance allows."""
    far = difference > tolerance.atol + tolerance.rtol * scale
    return float(far.mean()) if far.size else 0.0
