"""What branches give by one name: tensors, sequences, and optional values that may not be there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .assembly import Assembly
from .parts import Absent, Held, Listed, Maybe


def values_of(held: Held) -> tuple[int, ...]:
    """The values of what is held, none where that is a loop's."""
    if isinstance(held, int):
        return (held,)
    if isinstance(held, Maybe):
        return (*values_of(held.held), held.there)
    return held.values if isinstance(held, Listed) else ()


def like(held: Held, values: Sequence[int]) -> Held:
    """Other values, held in the same way."""
    if isinstance(held, Maybe):
        inner = like(held.held, values[:-1])
        assert isinstance(inner, int | Listed)
        return Maybe(inner, values[-1])
    if isinstance(held, int):
        return values[0]
    return Listed(tuple(values)) if isinstance(held, Listed) else held


def alike(assembly: Assembly, first: Held, second: Held) -> tuple[Held, Held]:
    """The same, as optional values of one type where one of them may not be there."""
    optional = [isinstance(each, Absent | Maybe) for each in (first, second)]
    if not any(optional) or (isinstance(first, Absent) and isinstance(second, Absent)):
        return first, second
    other = second if isinstance(first, Absent) else first
    return _maybe(assembly, first, other), _maybe(assembly, second, other)


def _maybe(assembly: Assembly, held: Held, other: Held) -> Held:
    """As an optional value; zeros as large as the ``other`` one where nothing is there."""
    if isinstance(held, int | Listed):
        return Maybe(held, assembly.constant(np.array(True)))
    if not isinstance(held, Absent):
        return held
    kept = other.held if isinstance(other, Maybe) else other
    types = map(assembly.type, values_of(kept))
    zeros = [
        assembly.constant(np.broadcast_to(np.zeros((), t.element.numpy), t.shape)) for t in types
    ]
    inner = like(kept, zeros)
    assert isinstance(inner, int | Listed)
    return Maybe(inner, assembly.constant(np.array(False)))


def text_of(held: Held) -> str:
    """What it is, for people."""
    if isinstance(held, int):
        return "a tensor"
    if isinstance(held, Maybe):
        return f"{text_of(held.held)} that may not be there"
    return f"a sequence of {len(held.values)}" if isinstance(held, Listed) else "not there"
