"""Artifacts: a compiled model as a folder that C, C++ and Python programs use.

Loading one imports nothing of TVM, which would take seconds; building one does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .artifact import Artifact, load
from .folder import check_output
from .manifest import KernelEntry, Manifest, Port, Step, read_manifest
from .sample import Sample, SampleNote, Tolerance

if TYPE_CHECKING:
    from .building import assemble, build

__all__ = [
    "Artifact",
    "KernelEntry",
    "Manifest",
    "Port",
    "Sample",
    "SampleNote",
    "Step",
    "Tolerance",
    "assemble",
    "build",
    "check_output",
    "load",
    "read_manifest",
]


def __getattr__(name: str) -> Any:
    if name not in ("assemble", "build"):
        raise AttributeError(f"module 'luthier.deploy' has no attribute '{name}'")
    return getattr(importlib.import_module(".building", __name__), name)
