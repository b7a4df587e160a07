"""Which workloads are transposed convolutions, and the small convolutions that each is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..conv.direct import Direct
from ..fused import has_weights
from ..window import Axis, axes


@dataclass(frozen=True)
class Taps:
    """The taps that outputs with one remainder see, in the order of the inputs they read."""

    taps: tuple[int, ...]
    axis: Axis


class ConvTranspose(Direct):
    """A float32 transposed convolution with an elementwise epilogue: a grid a remainder."""

    name = "conv_transpose"
    version = 2
    anchors = around(conv2d_transpose=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> ConvTranspose | None:
        """Any kernel, stride, dilation and groups; weights are constant."""
        if not has_weights(workload, "conv2d_transpose"):
            return None
        node = workload.nodes[0]
        sh, sw = node.attr("strides")
        in_c, kh, kw, _ = workload.tensor(node.args[1]).shape
        window = (ceildiv(kh, sh), ceildiv(kw, sw), in_c // node.attr("groups"))
        return cls(workload, target, (sh, sw), window)

    @property
    def remainders(self) -> tuple[list[Taps], list[Taps]]:
        """What outputs see: for each remainder of the row, and for each of the column."""
        source, weights = (self.workload.tensor(a) for a in self.node.args)
        _, high, wide, _ = weights.shape
        down, across = axes(self.node, source, (high, wide))
        return _remainders(down), _remainders(across)


def _remainders(window: Axis) -> list[Taps]:
    """Which taps each remainder sees, and how they slide over the input."""
    found = []
    for remainder in range(window.stride):
        if window.out <= remainder:
            break
        first = remainder + window.pad
        places = {t: first - t * window.dilation for t in reversed(range(window.kernel))}
        taps = tuple(t for t, place in places.items() if place % window.stride == 0)
        origin = places[taps[0]] // window.stride if taps else 0
        gap = window.dilation // math.gcd(window.stride, window.dilation)
        outputs = ceildiv(window.out - remainder, window.stride)
        found.append(Taps(taps, Axis(window.size, outputs, len(taps), 1, -origin, gap)))
    return found
