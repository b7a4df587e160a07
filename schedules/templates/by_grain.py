"""Forms whose one knob is how much a chunk does."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

from ..ir.space import Knob
from .form import Form
from .loops import Loops, streaming


class Grain(NamedTuple):
    """``grain``: elements in a chunk."""

    grain: int


class ByGrain(Form[Grain]):
    """Kernels that pass over their data in chunks of some ``grains``, whose unit ``unit`` names."""

    knobs_type = Grain
    grains: ClassVar[tuple[int, ...]]
    unit: ClassVar[str]

    @property
    @abstractmethod
    def wanted(self) -> int:
        """Elements of a chunk that leave each thread enough of them."""

    def choices(self) -> tuple[Knob, ...]:
        """The grain."""
        return (Knob("grain", self.grains, f"{self.unit} in a chunk"),)

    def default(self) -> Grain:
        """The largest that is not above what is wanted."""
        return Grain(largest(self.grains, self.wanted))

    def loops(self, knobs: Grain) -> Loops:
        """One pass."""
        return streaming(self.workload, self.target, knobs.grain)


def largest(choices: tuple[int, ...], limit: int) -> int:
    """The last of ascending choices that is not above the limit, or the first."""
    return max((c for c in choices if c <= limit), default=choices[0])
