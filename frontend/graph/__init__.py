"""The frontend's own graph: what it is, and how one is built, checked and printed."""

from luthier.schedules.ir.workload import Op

from .arrays import Array
from .core import Builder, Graph, Rewriter, known_number, literal, made_by

__all__ = ["Array", "Builder", "Graph", "Op", "Rewriter", "known_number", "literal", "made_by"]
