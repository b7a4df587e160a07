"""How a kernel moves over the dimensions after the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.schedules.ops.windows import places


@dataclass(frozen=True)
class Window:
    """How a kernel moves over the dimensions after the channels, one number for each of them.

    ``pads`` are those before, then those after.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def geometry(self) -> dict[str, Any]:
        """Its attributes in the graph, but for the kernel's sizes."""
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations}

    @property
    def spans(self) -> tuple[int, ...]:
        """What the dilated kernel reaches."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def same_enlarged(self, sizes: Sequence[int], extra: Sequence[int]) -> tuple[int, ...]:
        """What a transposed convolution gives that pads by the input's sizes: these times the
        strides, or what windows reach with ``extra`` elements at the end, if that is less."""
        given = zip(sizes, self.strides, self.spans, extra, strict=True)
        return tuple(min(d * s, (d - 1) * s + span + more) for d, s, span, more in given)

    def along(self, axes: Sequence[int]) -> Window:
        """The same over some of its dimensions, or over all in another order."""
        count = len(self.kernel)

        def chosen(numbers: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(numbers[axis] for axis in axes)

        pads = (*chosen(self.pads[:count]), *chosen(self.pads[count:]))
        return Window(chosen(self.kernel), chosen(self.strides), chosen(self.dilations), pads)

    def is_still(self, axis: int) -> bool:
        """Whether it sees along a dimension what it gives there: one element at each place."""
        both = (self.pads[axis], self.pads[axis + len(self.kernel)])
        return self.kernel[axis] == self.strides[axis] == 1 and not any(both)

    def as_row(self) -> Window:
        """The same over one row of an image."""
        before, after = self.pads
        return Window(
            (1, *self.kernel), (1, *self.strides), (1, *self.dilations), (0, before, 0, after)
        )

    def as_column(self) -> Window:
        """The same over one column of an image."""
        before, after = self.pads
        return Window(
            (*self.kernel, 1), (*self.strides, 1), (*self.dilations, 1), (before, 0, after, 0)
        )

    def places(self, sizes: Sequence[int], *, ceil: bool = False) -> tuple[int, ...]:
        """How many there are along dimensions of these sizes; ``ceil`` counts one that is cut.

        But not one that begins in the padding after the last element, or beyond.
        """
        count, found = len(sizes), []
        for i, size in enumerate(sizes):
            stride, before = self.strides[i], self.pads[i]
            more = before + self.pads[count + i] + (stride - 1 if ceil else 0)
            number = places(size, self.kernel[i], stride, self.dilations[i], more)
            found.append(number - (ceil and (number - 1) * stride >= size + before))
        return tuple(found)
