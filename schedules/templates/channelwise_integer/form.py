"""Which workloads are depthwise convolutions of whole numbers of 8 or 16 bits."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from ...emit.dot_products import INT16, DotProduct, fits_tile, multiplies, pairs
from ...ir.dtype import INT32
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import OF_WHOLE, around
from ..channelwise.form import Channelwise, Knobs, is_depthwise
from ..fused import leads
from ..loops import Loops
from ..powers import ceil_power, floor_power, powers
from ..window import axes, balanced_width


class IntegerChannelwise(Channelwise):
    """A convolution of each channel by itself, with sums in int32 and an elementwise epilogue.

    The knobs and loop nests are those of ``channelwise``.
    """

    name = "channelwise_integer"
    version = 2
    anchors = around(conv2d_integer=OF_WHOLE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerChannelwise | None:
        """Those of constant weights, with one output for each channel."""
        node = workload.nodes[0]
        if not leads(workload, "conv2d_integer") or not workload.constants[node.args[1]]:
            return None
        source, weights = (workload.tensor(a) for a in node.args)
        if not is_depthwise(workload) or not multiplies(source.element, weights.element):
            return None
        (batch, _, _, channels), (_, high, wide, _) = source.shape, weights.shape
        return cls(workload, target, *axes(node, source, (high, wide)), batch, channels)

    @cached_property
    def lanes(self) -> int:
        """Sums in a vector."""
        return self.target.lanes(INT32)

    @cached_property
    def dots(self) -> DotProduct:
        """What multiplies two taps with their weights."""
        return pairs(self.workload.tensor(self.node.args[1]).element, self.lanes, INT16)

    def choices(self) -> tuple[Knob, ...]:
        """Those of ``channelwise``, of which a chunk has whole rows."""
        *others, columns = super().choices()
        return (*others, replace(columns, choices=columns.choices[-1:]))

    def fits(self, knobs: Knobs) -> bool:
        """Sums, weights, two taps and their product fit the registers."""
        return fits_tile(knobs.tile_w, knobs.vectors, self.target)

    def default(self) -> Knobs:
        """All registers are used; six chunks a thread, if each has enough to do, which read few
        rows that others read."""
        vectors = 2 if self.channels > self.lanes else 1
        most = min(self.columns.out, 14)
        widest = max(w for w in range(1, most + 1) if fits_tile(w, vectors, self.target))
        chosen = balanced_width(self.columns.out, widest)
        strips = ceildiv(self.channels, vectors * self.lanes)
        rows = self.rows.out * self.batch * strips // (6 * self.target.threads)
        rows = max(rows, min(self.rows.out, 4 * self.rows.kernel))
        rows = min(floor_power(rows), ceil_power(self.rows.out))
        return Knobs(chosen, vectors, rows, powers(self.columns.out, 16)[-1])

    def loops(self, knobs: Knobs) -> Loops:
        """Those of ``channelwise``, in strips of channels."""
        found = super().loops(knobs)
        strips = ceildiv(self.channels, knobs.vectors * self.lanes)
        return replace(found, chunks=found.chunks * strips, chunk=found.chunk / strips)
