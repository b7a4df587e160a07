"""What the runtime interprets: which calls run, what is copied, where it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from luthier.schedules.ir.size import Size

ARENA, WEIGHTS, INPUT, OUTPUT, SIZES = "ARENA", "WEIGHTS", "INPUT", "OUTPUT", "SIZES"
STATE = "STATE"
ENDLESS = 2**64 - 1


@dataclass(frozen=True)
class Slide:
    """A place that moves with the iterations of a loop: in iteration ``i``, counted from 0, it is
    ``((i + ahead) & mask) * stride`` bytes further.

    What is kept of iterations lies in one row, whose mask is ``ENDLESS``; of a value's two places
    that are used in turns the mask is 1.
    """

    loop: int
    stride: int | Size
    ahead: int
    mask: int


@dataclass(frozen=True)
class Reference:
    """A place: ``at`` is a byte offset in the arena, the weights or the states, or the index of an
    input or output; the place begins ``offset`` bytes after that. Or the sizes, for kernels of open
    ones.
    """

    space: str
    at: int
    offset: int | Size = 0
    slide: Slide | None = None


class Operation(Enum):
    """``program.h`` says what each does."""

    RUN = "RUN"
    COPY = "COPY"
    JUMP = "JUMP"
    UNLESS = "UNLESS"
    ENTER = "ENTER"
    ITERATE = "ITERATE"
    NEXT = "NEXT"
    FIND = "FIND"
    GROW = "GROW"
    EXPECT = "EXPECT"


@dataclass(frozen=True)
class Instruction:
    """An operation on places; ``index`` is a call's, a loop's or a found size's, ``target`` an
    instruction's. ``text`` begins the message of a run that ends here."""

    operation: Operation
    references: tuple[Reference | None, ...] = ()
    index: int = 0
    target: int = 0
    nbytes: int | Size = 0
    text: str = ""

    def over(self, settle: Callable[[Reference], Reference]) -> Instruction:
        """The same on other places."""
        found = (None if r is None else settle(r) for r in self.references)
        return replace(self, references=tuple(found))
