"""The combined weights of the leaves at which rows end; see ``ops.forest`` for the table.

A step of a walk depends on the one before it, so several walks go on at once, without branches:
each takes as many steps as the deepest tree at hand, and stays at its leaf once it is there.

Knobs: ``method`` "trees" walks ``chains`` trees of one row at once, "rows" one tree with as many
rows; "compare" compares all nodes of a tree, filled up to its depth, with ``chains`` vectors of
rows, and chooses among the leaves from the bottom up. A chunk is ``grain`` rows, or those of the
vectors.
"""

from __future__ import annotations

from ..form import Emitted
from .compare import compare
from .form import Knobs, Trees
from .walk import walk


def kernel(form: Trees, knobs: Knobs) -> Emitted:
    """One phase."""
    return compare(form, knobs) if knobs.method == "compare" else walk(form, knobs)
