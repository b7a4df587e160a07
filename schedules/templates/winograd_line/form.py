"""Which convolutions are of lines, and their tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..winograd.form import Knobs, Winograd


class WinogradLine(Winograd):
    """A float32 convolution of stride 1 along one axis, with an elementwise epilogue."""

    name = "winograd_line"
    version = 1
    follows = True
    is_line: ClassVar[bool] = True
    sizes: ClassVar[Mapping[int, tuple[int, ...]]] = {3: (2, 4, 6), 5: (2, 4), 7: (2,)}

    def resized(self, knobs: Knobs) -> Knobs:
        """Lines have any number of tiles, so that blocks of one size are for all."""
        return knobs
