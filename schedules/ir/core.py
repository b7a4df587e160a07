"""Static single assignment: what workloads, graphs and programs have in common.

*Values* are numbers, with a type each. A *statement* reads values and defines others; each value is
defined once, before it is read. A *region* is statements in order, with parameters and results.
Statements may hold regions themselves, as loops do; these see the values around them, and what they
define is not seen outside, but has a number that no other value has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T", bound="Statement")
S_co = TypeVar("S_co", bound="Statement", covariant=True)
MadeOf = Callable[[int], Collection[int]]


class IRError(Exception):
    """A workload, graph or program that is not one: Luthier's own fault."""


class Statement(Protocol):
    """``str`` prints it, its regions left out; see ``line``."""

    @property
    def reads(self) -> tuple[int, ...]:
        """The values that it needs; one that it needs twice is there twice."""

    @property
    def defines(self) -> tuple[int, ...]:
        """The values that are known after it and were not before."""

    @property
    def regions(self) -> tuple[Region[Statement], ...]:
        """What it runs."""

    def renumbered(self: T, number: Mapping[int, int]) -> T:
        """The same over other values."""


@dataclass(frozen=True)
class Region(Generic[S_co]):
    """Statements in order; it also reads values from around it, which are ``free``."""

    parameters: tuple[int, ...]
    statements: tuple[S_co, ...]
    results: tuple[int, ...]

    @property
    def producers(self) -> dict[int, S_co]:
        """The statement that defines each value which is not a parameter."""
        return {value: each for each in self.statements for value in each.defines}

    @property
    def uses(self) -> Counter[int]:
        """How often each value is read or is a result."""
        counts = Counter(value for each in self.statements for value in each.reads)
        counts.update(self.results)
        return counts

    @property
    def free(self) -> tuple[int, ...]:
        """The values that it reads and does not define, each once."""
        own = self.producers.keys() | set(self.parameters)
        return tuple(value for value in self.uses if value not in own)

    @property
    def defined(self) -> list[int]:
        """All values that it defines, those of inner regions too, in order."""
        found = [*self.parameters]
        for each in self.statements:
            found += [*(value for inner in each.regions for value in inner.defined), *each.defines]
        return found

    @property
    def values(self) -> set[int]:
        """All values that it names, those of inner regions too."""
        return {*self.defined, *self.uses}

    def pruned(self) -> Region[S_co]:
        """Without the statements that no result needs."""
        live = needed(self.results, {v: s.reads for v, s in self.producers.items()})
        statements = tuple(s for s in self.statements if not live.isdisjoint(s.defines))
        return Region(self.parameters, statements, self.results)

    def renumbered(self, number: Mapping[int, int]) -> Region[S_co]:
        """The same over other values."""
        return Region(
            tuple(number[value] for value in self.parameters),
            tuple(each.renumbered(number) for each in self.statements),
            tuple(number[value] for value in self.results),
        )

    def dense(self) -> Region[S_co]:
        """With the values numbered in the order in which they are defined, parameters first."""
        return self.renumbered(numbering(self.defined))

    def verify(self, known: Collection[int], made_of: MadeOf = lambda value: (value,)) -> None:
        """Raise IRError unless each value is defined once, and before it is read.

        ``known`` are the values around it. Where reading a value is reading others, ``made_of``
        gives these.
        """
        _verify(self, set(known), set(known), made_of)


def _verify(region: Region[Statement], seen: set[int], taken: set[int], made_of: MadeOf) -> None:
    """``taken`` has what was defined anywhere, ``seen`` what may be read; both grow."""

    def define(values: Iterable[int], by: object) -> None:
        for value in values:
            if value in taken:
                raise IRError(f"{by}: its value is taken")
            seen.add(value)
            taken.add(value)

    def are_seen(values: Iterable[int]) -> bool:
        return all(seen.issuperset(made_of(value)) for value in values)

    define(region.parameters, "a parameter")
    for each in region.statements:
        own: Iterable[int] = each.reads
        if each.regions:  # whose values are looked at inside: they may be made of what is there
            counts = Counter(each.reads)
            for inner in each.regions:
                counts.subtract(inner.free)
            own = (+counts).keys()
        if not are_seen(own):
            raise IRError(f"{each}: it reads what comes later")
        for inner in each.regions:
            _verify(inner, set(seen), taken, made_of)
        define(each.defines, each)
    require(are_seen(region.results), "a result comes from nowhere")


def needed(roots: Iterable[int], needs: Mapping[int, Iterable[int]]) -> set[int]:
    """``roots``, what they need, and what that needs in turn."""
    found: set[int] = set()
    pending = list(roots)
    while pending:
        value = pending.pop()
        if value not in found:
            found.add(value)
            pending += needs.get(value, ())
    return found


def numbering(values: Iterable[int]) -> dict[int, int]:
    """Dense numbers, from 0 on, for values in order."""
    return {old: new for new, old in enumerate(values)}


def require(holds: bool, otherwise: str, about: object = None) -> None:
    """Raise IRError, which says what is wrong and with what, where something does not hold."""
    if not holds:
        raise IRError(otherwise if about is None else f"{about}: {otherwise}")


def line(
    defines: Iterable[int],
    name: str,
    reads: Iterable[int],
    attrs: Iterable[tuple[str, object]] = (),
    gives: str = "",
    source: str = "",
) -> str:
    """A statement for people: ``%3 = conv2d(%0, %2) groups=1: float32[1,8,8,16]  # Conv 'a'``."""
    about = "".join(f" {attr}={value!r}" for attr, value in attrs)
    text = f"{_names(defines)} = {name}({_names(reads)}){about}"
    return text + (f": {gives}" if gives else "") + (f"  # {source}" if source else "")


def listing(
    title: str,
    leaves: Iterable[str],
    region: Region[Statement],
    outputs: Iterable[tuple[str, int]],
    type_of: Callable[[int], object] = lambda value: "",
) -> str:
    """A line for each value, and for each output what it is.

    ``leaves`` are the lines of the values that no statement defines. ``type_of`` gives the types of
    the parameters of inner regions.
    """
    ends = (f"output{f' {name!r}' if name else ''} = %{value}" for name, value in outputs)
    lines = (*leaves, *_body(region, type_of), *ends)
    return "\n".join((title, *(f"  {line}" for line in lines)))


def _body(region: Region[Statement], type_of: Callable[[int], object]) -> Iterator[str]:
    for each in region.statements:
        yield str(each)
        for inner in each.regions:
            yield f"  region({', '.join(f'%{v}: {type_of(v)}' for v in inner.parameters)})"
            yield from (f"    {line}" for line in _body(inner, type_of))
            yield f"    yield {_names(inner.results)}"


def _names(values: Iterable[int]) -> str:
    return ", ".join(f"%{value}" for value in values)
