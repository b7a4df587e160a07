"""What a program does, step by step: calls, loops, branches, sizes that are found, conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from luthier.schedules import Workload
from luthier.schedules.ir.core import Region, line
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.placement import DENSE, Placement


@dataclass(frozen=True)
class Call:
    """Run ``workload`` on the values ``args`` and store value ``result``, placed as said.

    ``source`` names the model's nodes that this call computes, for people. Where sizes are known
    only at run time, ``workload`` is the one of the largest, and ``open`` is it as it is written
    over the sizes.
    """

    workload: Workload
    args: tuple[int, ...]
    result: int
    source: str = ""
    placement: Placement = DENSE
    open: OpenWorkload | None = None

    regions: ClassVar[tuple[()]] = ()

    @property
    def reads(self) -> tuple[int, ...]:
        """Its arguments."""
        return self.args

    @property
    def defines(self) -> tuple[int, ...]:
        """The result alone."""
        return (self.result,)

    def renumbered(self, number: Mapping[int, int]) -> Call:
        """The same over other values."""
        args = tuple(number[arg] for arg in self.args)
        return replace(self, args=args, result=number[self.result])

    def __str__(self) -> str:
        about = f"{self.open or self.workload} [{self.placement}]".removesuffix(" []")
        return line(self.defines, self.workload.key, self.args, (), about, self.source)


@dataclass(frozen=True)
class Loop:
    """Run ``body`` again and again: ``trips`` times at most, and as long as its condition holds.

    ``trips`` is a value, a number of type int64, and ``condition`` one of type bool, which says
    whether to begin; either may be None, not both. The parameters of the body are the number of the
    iteration, from 0 on, and the carried values: at first ``carried``, then as the iteration before
    left them. Its results are, where there is a condition, whether to go on; the carried values;
    and what is kept of each iteration. The loop's results are the carried values at the end and
    what was kept, iteration after iteration along a new first dimension.

    ``grows`` says along which axis a carried value is longer after each iteration, None for those
    that keep their type; it is empty where all do. The body then begins with steps that find how
    long it is.
    """

    body: Region[Step]
    carried: tuple[int, ...]
    results: tuple[int, ...]
    trips: int | None = None
    condition: int | None = None
    source: str = ""
    grows: tuple[int | None, ...] = ()

    @property
    def controls(self) -> dict[str, int]:
        """What decides how often the body runs, by name."""
        both = {"trips": self.trips, "condition": self.condition}
        return {name: value for name, value in both.items() if value is not None}

    @property
    def grown(self) -> tuple[int, ...]:
        """The results that grow."""
        pairs = zip(self.results, self.grows, strict=False)
        return tuple(result for result, axis in pairs if axis is not None)

    @property
    def reads(self) -> tuple[int, ...]:
        """What decides how often it runs, the carried values, and what the body reads around it."""
        return (*self.controls.values(), *self.carried, *self.body.free)

    @property
    def defines(self) -> tuple[int, ...]:
        """The results."""
        return self.results

    @property
    def regions(self) -> tuple[Region[Step], ...]:
        """The body."""
        return (self.body,)

    def renumbered(self, number: Mapping[int, int]) -> Loop:
        """The same over other values."""
        trips, condition = (v if v is None else number[v] for v in (self.trips, self.condition))
        carried = tuple(number[value] for value in self.carried)
        results = tuple(number[value] for value in self.results)
        body = self.body.renumbered(number)
        return Loop(body, carried, results, trips, condition, self.source, self.grows)

    def over(self, change: Change) -> Loop:
        """The same with other steps in its body."""
        return replace(self, body=_over(self.body, change))

    def __str__(self) -> str:
        controls = ", ".join(f"{name} %{value}" for name, value in self.controls.items())
        return line(self.results, f"loop[{controls}]", self.carried, source=self.source)


@dataclass(frozen=True)
class Branch:
    """Run ``then`` where the value ``condition``, of type bool, is true, else ``otherwise``.

    Neither has parameters. The results are those of the one that ran, of the same types in both.
    """

    condition: int
    then: Region[Step]
    otherwise: Region[Step]
    results: tuple[int, ...]
    source: str = ""

    @property
    def reads(self) -> tuple[int, ...]:
        """The condition, and what either region reads around it."""
        return (self.condition, *self.then.free, *self.otherwise.free)

    @property
    def defines(self) -> tuple[int, ...]:
        """The results."""
        return self.results

    @property
    def regions(self) -> tuple[Region[Step], ...]:
        """Both."""
        return (self.then, self.otherwise)

    def renumbered(self, number: Mapping[int, int]) -> Branch:
        """The same over other values."""
        then, otherwise = self.then.renumbered(number), self.otherwise.renumbered(number)
        results = tuple(number[value] for value in self.results)
        return Branch(number[self.condition], then, otherwise, results, self.source)

    def over(self, change: Change) -> Branch:
        """The same with other steps in its regions."""
        then, otherwise = _over(self.then, change), _over(self.otherwise, change)
        return replace(self, then=then, otherwise=otherwise)

    def __str__(self) -> str:
        return line(self.results, "branch", (self.condition,), source=self.source)


@dataclass(frozen=True)
class Find:
    """Let the size called ``size`` be the number in ``value``, of type int64.

    From then on it is known, and may be in shapes; in a loop that is until the iteration ends. A
    number that the size may not be ends the run.
    """

    size: str
    value: int
    source: str = ""

    regions: ClassVar[tuple[()]] = ()

    @property
    def reads(self) -> tuple[int, ...]:
        """The number."""
        return (self.value,)

    @property
    def defines(self) -> tuple[()]:
        """No value."""
        return ()

    def renumbered(self, number: Mapping[int, int]) -> Find:
        """The same over other values."""
        return replace(self, value=number[self.value])

    def __str__(self) -> str:
        return f"size {self.size} = %{self.value}{f'  # {self.source}' if self.source else ''}"


@dataclass(frozen=True)
class Expect:
    """End the run unless the numbers in ``value`` are those in ``wanted``, both of type int64.

    ``says`` what they are, for people: "its result has the shape".
    """

    value: int
    wanted: int
    says: str
    source: str = ""

    regions: ClassVar[tuple[()]] = ()

    @property
    def reads(self) -> tuple[int, ...]:
        """Both."""
        return (self.value, self.wanted)

    @property
    def defines(self) -> tuple[()]:
        """No value."""
        return ()

    @property
    def text(self) -> str:
        """What a message says before the numbers."""
        return f"{self.source}: {self.says}" if self.source else self.says

    def renumbered(self, number: Mapping[int, int]) -> Expect:
        """The same over other values."""
        return replace(self, value=number[self.value], wanted=number[self.wanted])

    def __str__(self) -> str:
        return f"expect %{self.value} = %{self.wanted}  # {self.text}"


Step: TypeAlias = Call | Loop | Branch | Find | Expect
Change: TypeAlias = Callable[[Sequence[Step]], Iterable[Step]]


def _over(region: Region[Step], change: Change) -> Region[Step]:
    return replace(region, statements=tuple(change(region.statements)))


def walk(region: Region[Step]) -> Iterator[Step]:
    """All its steps, those of inner regions too, in order."""
    for step in region.statements:
        yield step
        for inner in step.regions:
            yield from walk(inner)
