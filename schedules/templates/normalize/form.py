"""Where softmax, layer normalisation and their kind fit, and their knob."""

from __future__ import annotations

import math

from ... import ops
from ...ir.dtype import FLOAT32
from ...ir.size import Size, ceildiv
from ..abilities import Abilities, around
from ..by_grain import AroundAnchor

_ROW = Abilities(prologue=True, passes=3, converts=True)
_ALONE = 16384  # elements that one thread finishes before another one has begun
_LEAST = 32768  # elements of long rows that are worth a second phase,
_PART, _MOST_PARTS = 2048, 64  # those of a part at least, and how many parts there are at most
_ENOUGH = 16  # rows that need no parts


class Normalize(AroundAnchor):
    """Softmax over one axis, or a norm over the last ones, in float32."""

    name = "normalize"
    version = 2
    grains = (1024, 4096, 16384, 65536)
    unit = "elements"
    anchors = around(
        softmax=_ROW, log_softmax=_ROW, layer_norm=_ROW, rms_norm=_ROW, standardize=_ROW
    )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: what it does is along the extent; inner is 1 for the last axes."""
        shape = self.node.out.shape
        if isinstance(ops.of(self.node), ops.Softmax):
            axis = int(self.node.attr("axis"))
            end = axis + 1
        elif self.node.op == "standardize":
            end = len(shape)
            axis = end - 2
        else:
            end = len(shape)
            axis = end - len(self.workload.tensor(self.node.args[1]).shape)
        return math.prod(shape[:axis]), math.prod(shape[axis:end]), math.prod(shape[end:])

    @property
    def wanted(self) -> int:
        """Six chunks a thread; one where calling another thread takes as long."""
        size = self.node.out.size
        few = not isinstance(size, Size) and size <= _ALONE
        return self.grains[-1] if few else super().wanted

    @property
    def part(self) -> int:
        """Elements that a part of a softmax's row has, whatever the threads: of few rows that are
        long there are several parts, each of whole vectors but for the last one."""
        outer, length, inner = self.sizes
        if inner != 1 or isinstance(outer, Size) or isinstance(length, Size):
            return length
        parts = min(length // _PART, _MOST_PARTS // outer)
        is_softmax = isinstance(ops.of(self.node), ops.Softmax)
        is_kept = self.workload.output.element == FLOAT32  # between the phases, in the output
        if not (is_softmax and is_kept) or outer >= _ENOUGH or outer * length < _LEAST or parts < 2:
            return length
        unit = 4 * self.lanes
        return ceildiv(ceildiv(length, parts), unit) * unit

    @property
    def parts(self) -> int:
        """Of a row."""
        length = self.sizes[1]
        return 1 if isinstance(length, Size) else ceildiv(length, self.part)
