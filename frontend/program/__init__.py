"""The program: what the frontend makes of a model; how one is checked and printed."""

from .argument import Argument, element_name, presence_name
from .at import at
from .core import Part, Program, Refusal, State, owner
from .library import Entry, Library
from .open_tensor import OpenTensor
from .steps import Branch, Call, Expect, Find, Loop, Step

__all__ = [
    "Argument",
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
    "Refusal",
    "State",
    "Step",
    "at",
    "element_name",
    "owner",
    "presence_name",
]
