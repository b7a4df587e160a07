"""What a template is: a class whose objects are its *forms*, one for each workload that fits.

A template has a folder: ``form`` says which workloads fit, which knobs their kernels have, and what
the loop nests are; ``emit`` has ``kernel(form, knobs)``, imported when the first one is made.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from ..ir.dtype import FLOAT32
from ..ir.kernel import Kernel, Packing, Phase
from ..ir.placement import DENSE, Placement
from ..ir.space import Config, Knob, Schedule, Space
from ..ir.workload import Node, Workload
from ..target.target import Target
from .abilities import Abilities, around
from .loops import Loops, Table

K = TypeVar("K", bound="tuple[Any, ...]")


@dataclass(frozen=True)
class Emitted:
    """What ``emit`` writes of a kernel; see ``Kernel``. ``packings`` are by the input's number."""

    phases: tuple[Phase, ...]
    packings: Mapping[int, Packing] = field(default_factory=dict)
    temps: tuple[int, ...] = ()
    scratch: int = 0


@dataclass(frozen=True)
class Form(ABC, Generic[K]):
    """A workload as one template computes it on a target; ``K`` is a named tuple, its knobs.

    ``version`` rises when the template changes what its knobs mean. ``anchors`` are the operators
    that its kernels are made around, with what these can do besides.
    """

    workload: Workload
    target: Target
    placement: Placement = field(default=DENSE, kw_only=True)  # of a call that wants a kernel

    name: ClassVar[str]
    version: ClassVar[int]
    anchors: ClassVar[Mapping[str, Abilities]] = around()
    knobs_type: ClassVar[Callable[..., Any]]
    follows: ClassVar[bool] = False
    """Whether ``resized`` gives what is good for other sizes, and not only what is right."""

    @property
    def node(self) -> Node:
        """The operator that the kernels are made around: the first, unless a template differs."""
        return self.workload.nodes[0]

    @cached_property
    def lanes(self) -> int:
        """Elements in a vector."""
        return self.target.lanes(FLOAT32)

    @classmethod
    @abstractmethod
    def match(cls, workload: Workload, target: Target) -> Form[Any] | None:
        """The form of a workload; None where the template does not compute it."""

    @abstractmethod
    def choices(self) -> tuple[Knob, ...]:
        """The knobs, in the order of ``K``."""

    @abstractmethod
    def default(self) -> K:
        """What an analytic model picks without measuring."""

    @abstractmethod
    def loops(self, knobs: K) -> Loops:
        """The loop nests of a table of schedules: each knob is an array, a number a schedule."""

    def fits(self, knobs: K) -> bool:
        """Whether these choices go together: fit the registers, say."""
        return True

    def estimate(self) -> float:
        """Operations that the default schedule's time is worth, a multiply-add being two.

        Of the templates that fit a workload the one that expects the least is its default; zero,
        which goes first, where a template is the best for whatever fits it.
        """
        return 0.0

    def resized(self, knobs: K) -> K:
        """What goes with these sizes, of knobs that are for others of the same workload.

        Constants must be packed in the same order. Sizes that are known only at run time decide
        what they must: see ``Size``.
        """
        return knobs

    def typed(self, schedule: Schedule) -> K:
        """The knobs of a schedule of this template."""
        return self.knobs_type(**dict(schedule.knobs))  # type: ignore[no-any-return]

    def nests(self, table: Table) -> Loops:
        """``loops`` of a table of choices by the knobs' names."""
        return self.loops(self.knobs_type(**table))

    @cached_property
    def space(self) -> Space:
        """Every schedule that the template offers for the workload."""

        def valid(config: Config) -> bool:
            return self.fits(self.knobs_type(**config))

        names, default = [k.name for k in self.choices()], self.default()
        chosen = dict(zip(names, default, strict=True))
        return Space(self.name, self.version, self.choices(), chosen, valid)

    def kernel(self, schedule: Schedule, placement: Placement = DENSE) -> Kernel:
        """The kernel of a schedule of ``space``, for a call whose tensors lie so."""
        return self._kernel(schedule, self.typed(schedule), placement)

    def resized_kernel(self, schedule: Schedule, placement: Placement = DENSE) -> Kernel:
        """The kernel of a schedule that is for other sizes."""
        return self._kernel(schedule, self.resized(self.typed(schedule)), placement)

    def _kernel(self, schedule: Schedule, knobs: K, placement: Placement) -> Kernel:
        folder = type(self).__module__.rpartition(".")[0]
        emission = importlib.import_module(f"{folder}.emit")
        made: Emitted = emission.kernel(replace(self, placement=placement), knobs)
        packings = tuple(map(made.packings.get, range(len(self.workload.inputs))))
        own = (made.phases, packings, made.temps, made.scratch)
        return Kernel(self.workload, schedule, *own, placement)
