"""Where the search for what is not zero fits, and its knob."""

from __future__ import annotations

from ..abilities import Abilities, around
from ..alone import AloneByGrain


class NonZero(AloneByGrain):
    """The coordinates of the elements of one input, of any type, that are not zero."""

    name = "nonzero"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "input elements"
    anchors = around(nonzero=Abilities(epilogue=False, any_type=True))
