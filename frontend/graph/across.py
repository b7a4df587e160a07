"""What imports of a model at several sizes share, so that one program may do for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[object, ...]
Moves: TypeAlias = frozenset[Key]
"""What nodes do that leaves their operand as it is at some sizes, each named by the node first."""


class Answer(NamedTuple):
    """To whether something ``moves``, or is decided: what it would be at the sizes of an import
    alone (``here``), and what it is."""

    moves: bool
    key: Key
    here: bool
    answer: bool


@dataclass(frozen=True)
class Across:
    """Places and weights that are others for other sizes are tables, or runs ``compute`` them.

    What was ``moved`` in this import may leave all as it is at other sizes; what was at others is
    ``kept``, though it does nothing at these. What was ``decided`` by how large something is, for
    the sizes of the first import, holds for all others. Of a part whose names are others, ``named``
    gives the keys of the model; its ``answers`` are those to what was asked of it.
    """

    compute: bool = False
    kept: Moves = frozenset()
    decided: dict[Key, bool] = field(default_factory=dict)
    named: Callable[[Key], Key] = lambda key: key
    moved: set[Key] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)

    def begun(self, named: Callable[[Key], Key] = lambda key: key) -> Across:
        """The same for one part, of which nothing was asked yet."""
        return replace(self, named=named, moved=set(), answers=[])

    def moves(self, move: Key, *, here: bool) -> bool:
        """Whether there is something to do, at these sizes (``here``) or at others."""
        own = self.named(move)
        if here:
            self.moved.add(own)
        self.answers.append(Answer(True, move, here, here or own in self.kept))
        return self.answers[-1].answer

    def decides(self, key: Key, *, here: bool) -> bool:
        """The answer for the sizes of the first import."""
        answer = self.decided.setdefault(self.named(key), here)
        self.answers.append(Answer(False, key, here, answer))
        return answer

    def would_answer(self, answers: Iterable[Answer]) -> bool:
        """Whether another part's answers would be those of this one, which is asked the same."""
        return all(
            (self.moves if each.moves else self.decides)(each.key, here=each.here) == each.answer
            for each in answers
        )
