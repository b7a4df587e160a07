"""Forms whose one knob is how much a chunk does."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..ir.size import Size, at_least, at_most
from ..ir.space import Knob
from ..ir.workload import Node, Workload
from ..target.target import Target
from .form import Form
from .fused import position
from .loops import Loops, streaming


class Grain(NamedTuple):
    """``grain``: elements in a chunk."""

    grain: int


class ByGrain(Form[Grain]):
    """Kernels that pass over their data in chunks of some ``grains``, whose unit ``unit`` names."""

    knobs_type = Grain
    follows = True
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

    def resized(self, knobs: Grain) -> Grain:
        """What is wanted, within the bounds."""
        if not isinstance(self.wanted, Size):
            return knobs
        return Grain(at_most(at_least(self.wanted, self.grains[0]), knobs.grain))

    def loops(self, knobs: Grain) -> Loops:
        """One pass."""
        return streaming(self.workload, self.target, knobs.grain)


@dataclass(frozen=True)
class AroundAnchor(ByGrain):
    """Kernels of an anchor, node number ``where``, with fusible nodes before and after it."""

    where: int

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Form[Any] | None:
        """Of the types that the kernels compute."""
        where = position(workload)
        if where is None or workload.nodes[where].op not in cls.anchors:
            return None
        node = workload.nodes[where]
        computes = cls.anchors[node.op].computes
        stored = node.out.element == workload.output.element or cls.anchors[node.op].converts
        fits = computes(node.out.element) and stored
        return cls(workload, target, where) if fits else None

    @property
    def node(self) -> Node:
        """The anchor."""
        return self.workload.nodes[self.where]

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return self.workload.tensor(self.node.args[0]).size // (6 * self.target.threads)


def largest(choices: tuple[int, ...], limit: int) -> int:
    """The last of ascending choices that is not above the limit, or the first."""
    return max((c for c in choices if c <= limit), default=choices[0])
