"""Artifacts: a compiled model as a folder that C, C++ and Python programs use.

Loading one imports nothing of TVM, which would take seconds; building one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.schedules.late import late_names

from .artifact import Artifact, load
from .entries import EntryNote, Port, Step, VariantNote
from .folder import check_output
from .manifest import Manifest, read_manifest
from .notes import AlternativeNote, KernelEntry
from .sample import Sample, SampleNote, Tolerance
from .selection import Selection, Selections

if TYPE_CHECKING:
    from .building import assemble, build

__all__ = [
    "AlternativeNote",
    "Artifact",
    "EntryNote",
    "KernelEntry",
    "Manifest",
    "Port",
    "Sample",
    "SampleNote",
    "Selection",
    "Selections",
    "Step",
    "Tolerance",
    "VariantNote",
    "assemble",
    "build",
    "check_output",
    "load",
    "read_manifest",
]

__getattr__ = late_names(__name__, {".building": ("assemble", "build")})
