"""Straight parts that are the same at several sizes of a model, or but for names, imported once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import onnx

from luthier.schedules import LuthierError

from ..graph import Array
from ..graph.across import Across, Answer
from ..onnx.notes import PartNotes
from ..program import Program
from .naming import Naming
from .parts import Straight

_Key: TypeAlias = tuple[Any, ...]
Noted: TypeAlias = Callable[
    [onnx.ModelProto, Mapping[str, Array], Across | None], tuple[Program, PartNotes]
]


class _Known(NamedTuple):
    """What a part became, with these answers to what it asked of other sizes; arrays that were
    given are kept for as long as where they lie tells them."""

    program: Program
    notes: PartNotes
    answers: Sequence[Answer]
    given: Mapping[str, Array]


class Once:
    """What parts of a model became in the imports so far, each at other sizes.

    A part is told by its text, which has the sizes of what it reads and no others, by where its
    large constants lie in memory, and by what imports at other sizes answered.
    """

    def __init__(self) -> None:
        self._known = defaultdict[_Key, list[_Known]](list)

    def of(self, straight: Noted, notes: list[PartNotes], across: Across | None) -> Straight:
        """``straight`` for the parts of one more import, which adds to ``notes``.

        Equal parts of one import stay two, as no two values are one constant for that.
        """

        def imported(part: onnx.ModelProto, given: Mapping[str, Array]) -> Program:
            naming = Naming(part, given)
            alike = self._known[_key(naming)]
            found = next(_answering(alike, naming, across), None)
            if found is None:
                here = None if across is None else across.begun(naming.key)
                try:
                    made = straight(naming.part, naming.given, here)
                except LuthierError:
                    if naming.is_own:
                        raise
                    made = straight(part, given, None if across is None else across.begun())
                    notes.append(made[1])
                    return made[0]
                answers = () if here is None else tuple(here.answers)
                known = _Known(*made, answers, given)
                alike.append(known)
                found = known, set() if here is None else here.moved
            known, moved = found
            notes.append(naming.notes(known.notes, moved))
            return naming.program(known.program)

        return imported


def _answering(
    alike: Sequence[_Known], naming: Naming, across: Across | None
) -> Iterator[tuple[_Known, set[tuple[object, ...]]]]:
    """Parts that are the same but for names, and what is moved in this one."""
    for known in alike:
        here = None if across is None else across.begun(naming.key)
        if here is None or here.would_answer(known.answers):
            yield known, set() if here is None else here.moved


def _key(naming: Naming) -> _Key:
    text = hashlib.sha256(naming.part.SerializeToString(deterministic=True)).digest()
    return text, *((name, *_place(array)) for name, array in sorted(naming.given.items()))


def _place(array: Array) -> tuple[Any, ...]:
    """Which elements an array has, while its memory is held."""
    return array.__array_interface__["data"][0], array.dtype.str, array.shape, array.strides
