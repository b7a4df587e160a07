"""What the kernels around an anchor can do besides: asked by fusion, placement, legalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..ir.dtype import FLOAT32, DType


@dataclass(frozen=True)
class Abilities:
    """Of one anchor in one template, or what all templates that compute it have in common.

    ``prologue``: an element of the first argument is computed where it is read, ``passes`` times.
    ``epilogue``: elementwise operators of the result's shape follow before it is stored; they may
    also change its type where ``converts``. ``reads_apart`` and ``writes_apart``: the anchor's
    arguments, and the output, may have rows that lie apart. ``any_type``: other element types than
    float32. ``known_weights``: the second argument must be known at build time.
    ``fills_padding``: a convolution may see another number than 0 outside of the image.
    """

    prologue: bool = False
    passes: int = 1
    epilogue: bool = True
    converts: bool = False
    reads_apart: bool = False
    writes_apart: bool = False
    any_type: bool = False
    known_weights: bool = False
    fills_padding: bool = False

    def __and__(self, other: Abilities) -> Abilities:
        """What both can do, whichever is chosen in the end."""
        return Abilities(
            prologue=self.prologue and other.prologue,
            passes=max(self.passes, other.passes),
            epilogue=self.epilogue and other.epilogue,
            converts=self.converts and other.converts,
            reads_apart=self.reads_apart and other.reads_apart,
            writes_apart=self.writes_apart and other.writes_apart,
            any_type=self.any_type and other.any_type,
            known_weights=self.known_weights or other.known_weights,
            fills_padding=self.fills_padding and other.fills_padding,
        )

    def computes(self, dtype: DType) -> bool:
        """Whether its kernels take elements of this type."""
        return self.any_type or dtype == FLOAT32


WEIGHED = Abilities(writes_apart=True, known_weights=True)
"""Of a product with constant weights."""

OF_WHOLE = Abilities(converts=True, any_type=True, known_weights=True, fills_padding=True)
"""Of a convolution of whole numbers."""


def around(**abilities: Abilities) -> Mapping[str, Abilities]:
    """Of kernels around these operators."""
    return MappingProxyType(abilities)
