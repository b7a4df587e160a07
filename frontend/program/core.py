"""The program: steps over numbered values, and where the values lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

from numpy.typing import NDArray

from luthier.schedules import Tensor
from luthier.schedules.ir.core import Region, listing, needed, numbering
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

from .argument import Argument
from .open_tensor import OpenTensor
from .steps import Call, Find, Step, walk

Refusal: TypeAlias = tuple[tuple[str, int], ...]  # sizes that are found together, by name


@dataclass(frozen=True)
class Part:
    """A place in the value ``whole``: ``first`` elements after where that begins.

    Rows along the last axis lie ``pitch`` elements apart, where they do not follow one another.
    """

    whole: int
    first: int
    pitch: int | None = None


@dataclass(frozen=True)
class State:
    """What an instance keeps from run to run: ``before`` is its value when a run begins, ``after``
    when it ends, of the same type. ``name`` and ``becomes`` are the model's input and output.

    One that grows has an ``axis``, along which it holds as many elements as the size ``length``;
    a run appends ``more``. It has the type of the most that there is room for, and its ``after`` is
    what is appended: a part of ``before``.
    """

    name: str
    becomes: str
    before: int
    after: int
    axis: int | None = None
    length: str = ""
    more: int | Size = 0

    def renumbered(self, number: Mapping[int, int]) -> State:
        """The same over other values."""
        return replace(self, before=number[self.before], after=number[self.after])


@dataclass(frozen=True)
class Program:
    """Steps in execution order over numbered values.

    ``values[i]`` is the type of value ``i``. A value is a model input, a constant, a result of one
    step, a view: ``views[v] = base`` says that ``v`` has the bytes of ``base`` under another
    shape; or it is made of its ``parts``: results of calls, by value, that lie in it and nowhere
    else. ``inputs`` and ``outputs`` are (name in the model, value) in the model's order; an output
    may be any kind of value but a part, an input or a constant too, and may occur twice.

    ``symbols`` are the sizes that are known only at run time: ``given`` ones, which the inputs
    or states have, and those that steps find. Values that have such are in ``open``; their types in
    ``values`` are the largest. ``states`` are kept from run to run, and neither inputs nor outputs.
    ``gives`` says which outputs belong together, where a model's output is not one tensor.
    ``refuses`` are choices of sizes that are found for which it is not: a run that finds all of one
    ends.
    """

    name: str
    values: tuple[Tensor, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    constants: Mapping[int, NDArray[Any]]
    views: Mapping[int, int]
    steps: tuple[Step, ...]
    parts: Mapping[int, Part] = field(default_factory=dict)
    open: Mapping[int, OpenTensor] = field(default_factory=dict)
    symbols: tuple[Symbol, ...] = ()
    states: tuple[State, ...] = ()
    gives: tuple[Argument, ...] = ()
    refuses: tuple[Refusal, ...] = ()

    @cached_property
    def region(self) -> Region[Step]:
        """Its steps, over its inputs, states and constants, which are known around it."""
        inputs = (*(value for _, value in self.inputs), *(s.before for s in self.states))
        outputs = (*(value for _, value in self.outputs), *(s.after for s in self.states))
        return Region(inputs, self.steps, outputs)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """All calls, those in loops and branches too, in order."""
        return tuple(step for step in walk(self.region) if isinstance(step, Call))

    @cached_property
    def found(self) -> frozenset[str]:
        """The names of the sizes that steps find."""
        return frozenset(step.size for step in walk(self.region) if isinstance(step, Find))

    @cached_property
    def given(self) -> tuple[Symbol, ...]:
        """The sizes that are known before it runs."""
        return tuple(symbol for symbol in self.symbols if symbol.name not in self.found)

    def type(self, value: int) -> Tensor | OpenTensor:
        """Of a value, with the sizes that are known only at run time where it has some."""
        return self.open.get(value, self.values[value])

    @cached_property
    def pieces(self) -> dict[int, list[int]]:
        """The parts of each value that is made of some."""
        pieces: dict[int, list[int]] = {}
        for value, part in self.parts.items():
            pieces.setdefault(part.whole, []).append(value)
        return pieces

    @cached_property
    def within(self) -> dict[int, tuple[int]]:
        """The value that each view and part lies in."""
        wholes = {value: part.whole for value, part in self.parts.items()}
        return {value: (other,) for value, other in (dict(self.views) | wholes).items()}

    def compact(self) -> Program:
        """The program without the values that no step names, the others renumbered in order."""
        number = numbering(sorted(needed(self.region.values, self.within)))
        return Program(
            self.name,
            tuple(self.values[v] for v in number),
            tuple((name, number[v]) for name, v in self.inputs),
            tuple((name, number[v]) for name, v in self.outputs),
            {number[v]: array for v, array in self.constants.items() if v in number},
            {number[v]: number[base] for v, base in self.views.items() if v in number},
            self.region.renumbered(number).statements,
            {
                number[v]: replace(p, whole=number[p.whole])
                for v, p in self.parts.items()
                if v in number
            },
            {number[v]: tensor for v, tensor in self.open.items() if v in number},
            self.symbols,
            tuple(state.renumbered(number) for state in self.states),
            self.gives,
            self.refuses,
        )

    def place(self, value: int) -> Part:
        """Where the bytes of ``value`` lie: in a value that is neither a view nor a part."""
        first = 0
        value = self.base(value)
        while value in self.parts:
            first += self.parts[value].first
            value = self.parts[value].whole
        return Part(value, first)

    def pitch(self, value: int) -> int | None:
        """Elements from one row of a value to the next; None where they follow one another.

        A value is a part, or a view of one with the same rows, where they do not.
        """
        base = self.base(value)
        same = self.values[value].shape[-1:] == self.values[base].shape[-1:]
        return self.parts[base].pitch if base in self.parts and same else None

    def made_of(self, value: int) -> set[int]:
        """The inputs, constants and results of steps whose bytes ``value`` has; of a state that is
        appended to, what is appended."""
        value = self.base(value)
        pieces = self.pieces.get(value)
        return set().union(*map(self.made_of, pieces)) if pieces else {value}

    def base(self, value: int) -> int:
        """The value that owns the bytes of ``value``."""
        return owner(value, self.views)

    def __str__(self) -> str:
        """A line for each value, and for each output what it is.

        ``%5 = 0a1b2c3d4e5f6789(%0, %2): conv2d+relu(...) -> float32[1,8,8,16]  # Conv 'first'``
        """
        title = f"program {self.name}"
        return listing(title, self._leaves(), self.region, self.outputs, self.type)

    def _leaves(self) -> Iterator[str]:
        yield from (f"size {symbol}" for symbol in self.symbols)
        for refusal in self.refuses:
            yield f"not for {', '.join(f'{name}={size}' for name, size in refusal)}"
        for name, value in self.inputs:
            yield f"%{value} = input {name!r}: {self.type(value)}"
        for state in self.states:
            yield f"%{state.before} = state {state.name!r}: {self.type(state.before)}"
        for value in sorted(self.constants):
            yield f"%{value} = constant: {self.type(value)}"
        for value, base in sorted(self.views.items()):
            yield f"%{value} = view of %{base}: {self.type(value)}"
        for value, part in sorted(self.parts.items()):
            apart = f", {part.pitch} apart" if part.pitch else ""
            yield f"%{value} in %{part.whole} from {part.first} on{apart}: {self.type(value)}"


def owner(value: int, views: Mapping[int, int]) -> int:
    """The value that ``value`` is a view of, or views of views; itself where it is none."""
    while value in views:
        value = views[value]
    return value
