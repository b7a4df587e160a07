"""The program: what the frontend makes of a model, a straight line of workload calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from luthier.schedules import Tensor, Workload


@dataclass(frozen=True)
class Call:
    """Run ``workload`` on the values ``args`` and store value ``result``.

    ``source`` names the model's nodes that this call computes, for people.
    """

    workload: Workload
    args: tuple[int, ...]
    result: int
    source: str = ""


@dataclass(frozen=True)
class Part:
    """A place in the value ``whole``: ``first`` elements after where that begins."""

    whole: int
    first: int


@dataclass(frozen=True)
class Program:
    """Calls in execution order over numbered values.

    ``values[i]`` is the type of value ``i``. A value is a model input, a constant, the result of
    one call, a view: ``views[v] = base`` says that ``v`` has the bytes of ``base`` under another
    shape; or it is made of its ``parts``: results of calls, by value, that lie in it and nowhere
    else. ``inputs`` and ``outputs`` are (name in the model, value) in the model's order; an output
    may be any kind of value but a part, an input or a constant too, and may occur twice.
    """

    name: str
    values: tuple[Tensor, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    constants: Mapping[int, NDArray[Any]]
    views: Mapping[int, int]
    calls: tuple[Call, ...]
    parts: Mapping[int, Part] = field(default_factory=dict)

    def place(self, value: int) -> Part:
        """Where the bytes of ``value`` lie: in a value that is neither a view nor a part."""
        first = 0
        value = self.base(value)
        while value in self.parts:
            first += self.parts[value].first
            value = self.parts[value].whole
        return Part(value, first)

    def base(self, value: int) -> int:
        """The value that owns the bytes of ``value``."""
        return owner(value, self.views)


def owner(value: int, views: Mapping[int, int]) -> int:
    """The value that ``value`` is a view of, or views of views; itself where it is none."""
    while value in views:
        value = views[value]
    return value
