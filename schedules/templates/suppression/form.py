"""Where the suppression of boxes fits. There are no knobs."""

from __future__ import annotations

from ..abilities import Abilities, around
from ..alone import Alone


class Suppression(Alone):
    """The boxes of each class of each batch, one after the other."""

    name = "suppression"
    version = 2
    anchors = around(suppress=Abilities(epilogue=False))
