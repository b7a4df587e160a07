"""The combined weights of the leaves at which rows end; see ``ops.forest`` for the table.

A step of a walk depends on the one before it, so several walks go on at once, without branches:
each takes as many steps as the deepest tree at hand, and stays at its leaf once it is there.

Knobs: ``method`` "trees" walks ``chains`` trees of one row at once, "rows" one tree with as many
rows; "compare" compares all nodes of a tree, filled up to its depth, with ``chains`` vectors of
rows, and chooses among the leaves from the bottom up. A chunk is ``grain`` rows, or those of the
vectors. "blocks" compares all nodes of blocks of ``levels`` levels with one row, each with a byte:
with ``chains`` trees at once where a chunk is a row, else one tree with as many rows.
"""

from __future__ import annotations

from ..form import Emitted
from .blocks import blocks
from .compare import compare
from .form import Knobs, Trees
from .walk import walk


def kernel(form: Trees, knobs: Knobs) -> Emitted:
    """One phase."""
    writers = {"compare": compare, "blocks": blocks}
    return writers.get(knobs.method, walk)(form, knobs)
