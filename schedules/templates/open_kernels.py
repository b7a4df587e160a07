"""Kernels for sizes that are known only at run time.

A template writes one as it writes any, over sizes in place of numbers. What it decides about a size
it decides for one choice of the sizes, and the kernel is then for those for which the decisions are
the same; another kernel is written for the largest that are left, until there is one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Any

from ..errors import ScheduleError
from ..ir.kernel import Alternative, Kernel, OpenKernel
from ..ir.open_workload import OpenWorkload
from ..ir.placement import DENSE, Placement
from ..ir.size import Condition, Sizes, UnknownSizeError, assuming, value
from ..ir.space import Schedule
from ..ir.symbol import Symbol
from ..ir.workload import Workload
from ..target.target import Target
from .cells import Region, every
from .choices import Choices
from .form import Form
from .registry import TEMPLATES, default, forms

_MOST_ALTERNATIVES = 64
_LESS_WORK = 4


def instantiate_open(
    workload: OpenWorkload,
    symbols: Sequence[Symbol],
    target: Target,
    *,
    names: tuple[str, ...] | None = None,
    choose: Callable[[Workload], Schedule] | None = None,
    placement: Placement = DENSE,
) -> OpenKernel:
    """The kernel of a workload whose sizes are in ``symbols``.

    ``names`` is the order in which it is given sizes, by default the symbols'. ``choose`` gives the
    schedule of the workload of certain sizes, by default the default one. Raises ScheduleError.
    """
    return _Writer(workload, symbols, target, names, choose, placement).kernel()


class _UnwrittenError(ScheduleError):
    """A template fits, but writes no kernel for sizes that are open."""

    def __init__(self, template: str, message: str) -> None:
        super().__init__(message)
        self.template = template


class _Writer:
    def __init__(
        self,
        workload: OpenWorkload,
        symbols: Sequence[Symbol],
        target: Target,
        names: tuple[str, ...] | None,
        choose: Callable[[Workload], Schedule] | None,
        placement: Placement,
    ) -> None:
        self.workload, self.target, self.placement = workload, target, placement
        self.choose = choose or (lambda fixed: default(fixed, target))
        self.names = names or tuple(symbol.name for symbol in symbols)
        self.choices = Choices(workload, symbols)
        self.every = every(self.choices)
        self.unwritten: set[str] = set()  # templates that turned out to write none
        none = Condition("==", workload.workload.output.size, 0)
        self.empty, self.some = self.every.split([none])

    def kernel(self) -> OpenKernel:
        """By the template that is chosen, or by another where that one writes no kernel."""
        while True:
            try:
                return self._kernel()
            except _UnwrittenError as error:
                if error.template in self.unwritten:
                    raise
                self.unwritten.add(error.template)

    def _kernel(self) -> OpenKernel:
        """Alternatives, those for the largest sizes first."""
        left = self.some
        found: list[Alternative] = []
        first: Schedule | None = None
        while left.any():
            if len(found) == _MOST_ALTERNATIVES:
                raise ScheduleError(f"{self.workload}: no few kernels are for all its sizes")
            sizes = left.largest()
            first = first or self._first(sizes)
            made, conditions = self._best(first, sizes, found)
            here, _ = self.every.split(conditions)
            some = [c for c in conditions if self.every.split([c])[1].any()]
            assert all(condition.holds(sizes) for condition in conditions)
            found.append(Alternative(tuple(some), self._with_memory(made, here)))
            _, left = left.split(conditions)
        found = [*self._nothing(found[0].kernel), *found]
        return OpenKernel(self.workload, self.names, tuple(found), self.placement)

    def _first(self, sizes: Sizes) -> Schedule:
        """What is chosen for these sizes, or of the templates that fit them the first that writes
        kernels for open ones, too."""
        fixed = self.workload.at(sizes)
        chosen = self.choose(fixed)
        others = (form.space.default_schedule() for form in forms(fixed, self.target))
        return next((s for s in chain((chosen,), others) if self._fits(s, sizes)), chosen)

    def _fits(self, schedule: Schedule, sizes: Sizes) -> bool:
        """Whether its template writes kernels for such sizes while they are open."""
        if schedule.template in self.unwritten:
            return False
        with assuming(sizes, self.names):
            return _template(schedule).match(self.workload.workload, self.target) is not None

    def _nothing(self, like: Kernel) -> list[Alternative]:
        """What computes a result without elements, where that is one: no phase."""
        if not self.empty.any():
            return []
        none = Condition("==", self.workload.workload.output.size, 0)
        return [Alternative((none,), replace(like, phases=(), temps=(), scratch=0))]

    def _best(
        self, first: Schedule, sizes: Sizes, found: Sequence[Alternative]
    ) -> tuple[Kernel, list[Condition]]:
        """With the schedule of the largest sizes where that follows smaller ones; else with the one
        that is chosen for these, if constants are packed alike, down to a few times less work. With
        another template's where that of the largest sizes is not for these."""
        if not self._fits(first, sizes):
            made, conditions = self._write(self._first(sizes), sizes)
            if _packed(made) != _packed(found[0].kernel):
                raise ScheduleError(f"{self.workload}: its sizes want constants in several orders")
            return made, conditions
        if _template(first).follows or 0 in sizes.values():
            return self._write(first, sizes)
        work: Any = prod(self.choices.totals)
        bound = int(value(work, sizes))
        chosen = self.choose(self.workload.at(sizes)) if found else first
        if chosen.template == first.template:
            made, conditions = self._write(chosen, sizes)
            if not found or _packed(made) == _packed(found[0].kernel):
                return made, [*conditions, Condition(">", work, bound // _LESS_WORK)]
        return self._write(first, sizes)

    def _write(self, schedule: Schedule, sizes: Sizes) -> tuple[Kernel, list[Condition]]:
        """The kernel for certain sizes and those like them."""
        with assuming(sizes, self.names) as assumption:
            form = _template(schedule).match(self.workload.workload, self.target)
            if form is None:
                raise _UnwrittenError(
                    schedule.template,
                    f"{self.workload}: no kernel is written for its sizes while they are open "
                    f"(template '{schedule.template}' does not fit); give exact sizes",
                )
            try:
                made = form.resized_kernel(schedule, self.placement)
            except UnknownSizeError as error:
                raise _UnwrittenError(
                    schedule.template,
                    f"{self.workload}: no kernel is written for its sizes while they are open "
                    f"({error}); give exact sizes",
                ) from error
        return made, list(assumption.conditions.values())

    def _with_memory(self, made: Kernel, here: Region) -> Kernel:
        """With bytes in place of sizes, enough for all for which it is."""
        return replace(
            made,
            workload=self.workload.at(here.largest()),
            temps=tuple(map(here.most, made.temps)),
            scratch=here.most(made.scratch),
        )


def _template(schedule: Schedule) -> type[Form[Any]]:
    """What the schedule is of."""
    return next(template for template in TEMPLATES if template.name == schedule.template)


def _packed(kernel: Kernel) -> list[tuple[int, ...] | None]:
    """The shapes in which constants are packed, which tell the order that a template gives them."""
    return [None if packing is None else packing.shape for packing in kernel.packings]
