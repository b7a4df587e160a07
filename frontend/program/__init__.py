"""The program: what the frontend makes of a model; how one is checked and printed."""

from .at import at
from .core import Part, Program, State, owner
from .library import Entry, Library
from .open_tensor import OpenTensor
from .steps import Branch, Call, Expect, Find, Loop, Step

__all__ = [
    "Branch",
    "Call",
    "Entry",
    "Expect",
    "Find",
    "Library",
    "Loop",
    "OpenTensor",
    "Part",
    "Program",
    "State",
    "Step",
    "at",
    "owner",
]
