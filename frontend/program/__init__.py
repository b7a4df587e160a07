"""The program: what the frontend makes of a model; how one is checked and printed."""

from .core import Part, Program, owner
from .dim import Dim, OpenTensor, Symbol
from .library import Library
from .steps import Branch, Call, Loop, Step

__all__ = [
    "Branch",
    "Call",
    "Dim",
    "Library",
    "Loop",
    "OpenTensor",
    "Part",
    "Program",
    "Step",
    "Symbol",
    "owner",
]
