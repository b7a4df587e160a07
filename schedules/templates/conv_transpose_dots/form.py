"""Which transposed convolutions have fewer output channels in a group than a vector has lanes."""

from __future__ import annotations

from ...ir.workload import Workload
from ...target.target import Target
from ..conv_transpose.form import ConvTranspose


class ConvTransposeDots(ConvTranspose):
    """A float32 transposed convolution by dot products over the input's channels.

    The knobs and loop nests are those of ``conv_transpose``; a vector of the register tile is for
    one output channel.
    """

    name = "conv_transpose_dots"
    version = 1
    dots = True

    @classmethod
    def match(cls, workload: Workload, target: Target) -> ConvTranspose | None:
        """Where lanes would be idle, and the input's channels are whole vectors."""
        form = super().match(workload, target)
        return form if form is not None and form.suits_dots else None
