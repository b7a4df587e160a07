"""One side of Winograd's tiles: where their outputs and inputs lie along an axis."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.size import Size
from ...tir.indices import Index, ceildiv, divide, modulo
from ..window import Axis


@dataclass(frozen=True)
class Side:
    """Tiles of ``m`` outputs each along an axis of stride 1.

    Where the kernel is dilated, outputs and inputs of a tile are as far apart as its taps: the
    axis is then as many images, one beginning after the other, each without dilation.
    """

    axis: Axis
    m: int

    @property
    def size(self) -> int:
        """Inputs of a tile."""
        return self.m + self.axis.kernel - 1

    @property
    def apart(self) -> int:
        """From one output, or input, of a tile to the next."""
        return self.axis.dilation

    @property
    def reach(self) -> int:
        """From the first input of a tile to the last."""
        return (self.size - 1) * self.apart

    @property
    def tiles(self) -> int:
        """That cover the axis."""
        return self.apart * ceildiv(ceildiv(self.axis.out, self.apart), self.m)

    def first(self, tile: Index) -> Index:
        """The first output of a tile."""
        if self.apart == 1:
            return tile * self.m
        return divide(tile, self.apart) * (self.m * self.apart) + modulo(tile, self.apart)

    def has(self, number: int) -> bool:
        """Whether each tile has the output of this number, which the axis may end before."""
        if not self.axis.out % (self.m * self.apart):
            return True
        if isinstance(self.axis.out, Size) or self.axis.out % self.apart:
            return False
        return self.axis.out // self.apart % self.m > number

    def inside(self) -> tuple[bool, bool]:
        """Whether some tiles may lie wholly inside the image, and whether all do."""
        if isinstance(self.tiles, Size):
            return True, False
        begins = [self.first(tile) - self.axis.pad for tile in range(self.tiles)]
        places = [begin >= 0 and begin + self.reach < self.axis.size for begin in begins]
        return any(places), all(places)
