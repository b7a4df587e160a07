"""Artifacts: a compiled model as a folder that C, C++ and Python programs use."""

from .artifact import Artifact, load
from .building import assemble, build
from .folder import check_output
from .manifest import KernelEntry, Manifest, Port, Step, read_manifest

__all__ = [
    "Artifact",
    "KernelEntry",
    "Manifest",
    "Port",
    "Step",
    "assemble",
    "build",
    "check_output",
    "load",
    "read_manifest",
]
