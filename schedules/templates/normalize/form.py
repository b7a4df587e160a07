"""Where softmax, layer normalisation and their kind fit, and their knob."""

from __future__ import annotations

import math

from ... import ops
from ..abilities import Abilities, around
from ..by_grain import AroundAnchor

_ROW = Abilities(prologue=True, passes=3, converts=True)


class Normalize(AroundAnchor):
    """Softmax over one axis, or a norm over the last ones, in float32."""

    name = "normalize"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "elements"
    anchors = around(softmax=_ROW, log_softmax=_ROW, layer_norm=_ROW, rms_norm=_ROW)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: what it does is along the extent; inner is 1 for the last axes."""
        shape = self.node.out.shape
        if isinstance(ops.of(self.node), ops.Softmax):
            axis = int(self.node.attr("axis"))
            end = axis + 1
        else:
            end = len(shape)
            axis = end - len(self.workload.tensor(self.node.args[1]).shape)
        return math.prod(shape[:axis]), math.prod(shape[axis:end]), math.prod(shape[end:])
