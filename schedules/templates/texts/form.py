"""Where operators on texts fit, and their knob."""

from __future__ import annotations

import math

from ..abilities import Abilities, around
from ..alone import AloneByGrain

_ALONE = Abilities(epilogue=False, any_type=True)


class Texts(AloneByGrain):
    """Each text by itself."""

    name = "texts"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "input elements"
    anchors = around(
        text_clean=_ALONE,
        text_place=_ALONE,
        text_join=_ALONE,
        text_map=_ALONE,
        text_match=_ALONE,
        text_pieces=_ALONE,
        text_count=_ALONE,
        text_read=_ALONE,
        text_write=_ALONE,
        text_find=_ALONE,
        text_cut=_ALONE,
        text_long=_ALONE,
        text_tokens=_ALONE,
        text_hash=_ALONE,
    )

    @property
    def width(self) -> int:
        """Elements of the first input that are one text, or what becomes one."""
        return 1 if self.node.op == "text_write" else self.workload.inputs[0].shape[-1]

    @property
    def texts(self) -> int:
        """How many the first input has."""
        shape = self.workload.inputs[0].shape
        return math.prod(shape if self.node.op == "text_write" else shape[:-1])
