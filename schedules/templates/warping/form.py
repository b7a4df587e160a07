"""Where the alignment of two sequences fits. There are no knobs."""

from __future__ import annotations

from ..abilities import Abilities, around
from ..alone import Alone


class Warping(Alone):
    """A matrix from its first element to its last, and back."""

    name = "warping"
    version = 1
    anchors = around(warp=Abilities(epilogue=False))
