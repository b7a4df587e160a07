"""Memory of outputs that nobody holds any more, for those of the next runs.

What NumPy gives back the system takes back, and clears it page by page when it gives it out again:
that takes ten times as long as to write as much.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

WORTH_KEEPING = 1 << 16  # bytes: below, NumPy's memory stays with the process
_BLOCKS = 2  # one that the caller holds from the run before, and one for this run
_TOO_LARGE = 4  # how many times as large as is needed: such a block is not kept for long


class Recycled:
    """Of one output; for one call at a time."""

    def __init__(self) -> None:
        self._blocks: list[Array] = []

    def block(self, nbytes: int) -> Array:
        """At least so many bytes, of which there are no arrays."""
        blocks = self._blocks
        for i in range(len(blocks)):
            fits = nbytes <= blocks[i].nbytes <= _TOO_LARGE * nbytes
            # Arrays on the block, and slices of them, refer to it.
            if fits and sys.getrefcount(blocks[i]) == _UNSHARED:
                return blocks[i]
        block = np.empty(nbytes + nbytes // 8, np.uint8)  # sizes that are open may grow
        self._blocks = [*blocks[1 - _BLOCKS :], block]
        return block


_probe = [np.empty(0, np.uint8)]
_UNSHARED = sys.getrefcount(_probe[0])
