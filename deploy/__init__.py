"""Artifacts: a compiled model as a folder that C, C++ and Python programs use.

Loading one imports nothing of TVM, which would take seconds; building one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.schedules.late import late_names

from .artifact import Artifact, load
from .folder import check_output
from .manifest import KernelEntry, Manifest, Port, Step, read_manifest
from .sample import Sample, SampleNote, Tolerance
from .selection import Selection, Selections

if TYPE_CHECKING:
    from .building import assemble, build

__all__ = [
    "Artifact",
    "KernelEntry",
    "Manifest",
    "Port",
    "Sample",
    "SampleNote",
    "Selection",
    "Selections",
    "Step",
    "Tolerance",
    "assemble",
    "build",
    "check_output",
    "load",
    "read_manifest",
]

__getattr__ = late_names(__name__, {".building": ("assemble", "build")})
