"""Where reductions fit, and their knob."""

from __future__ import annotations

from ..abilities import Abilities, around
from ..by_grain import AroundAnchor

_ALL = Abilities(prologue=True, converts=True, reads_apart=True, writes_apart=True, any_type=True)


class Reduction(AroundAnchor):
    """A reduction over any axes, of any type."""

    name = "reduction"
    version = 1
    grains = (4096, 16384, 65536, 262144)
    unit = "input elements"
    anchors = around(sum=_ALL, mean=_ALL, max=_ALL, min=_ALL, prod=_ALL)
