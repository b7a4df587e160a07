"""How the tensors of one call lie in memory, which changes nothing that is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PLACEMENT = r"(in[0-9]{1,9}:[0-9]{1,18} ?)*(out:[0-9]{1,18})?"


@dataclass(frozen=True)
class Placement:
    """Tensors that are parts of larger ones: their rows along the last axis lie a *pitch* apart.

    A pitch is a number of elements, more than a row has; what lies between rows is not the
    tensor's own. ``inputs`` are pairs of an input's number and its pitch, in order; ``output`` is
    the output's pitch. Rows of all others follow one another.
    """

    inputs: tuple[tuple[int, int], ...] = ()
    output: int | None = None

    @staticmethod
    def of(inputs: Sequence[int | None], output: int | None) -> Placement:
        """By the pitch of each input, and of the output."""
        apart = tuple((i, pitch) for i, pitch in enumerate(inputs) if pitch is not None)
        return Placement(apart, output)

    @staticmethod
    def parse(text: str) -> Placement:
        """Read what ``str`` wrote, which matches PLACEMENT."""
        pitches = {name: int(pitch) for name, _, pitch in (t.partition(":") for t in text.split())}
        output = pitches.pop("out", None)
        return Placement(tuple((int(n[2:]), pitch) for n, pitch in pitches.items()), output)

    def pitch(self, index: int) -> int | None:
        """Of input ``index``; None where its rows follow one another."""
        return dict(self.inputs).get(index)

    def __str__(self) -> str:
        pitches = [f"in{i}:{pitch}" for i, pitch in self.inputs]
        return " ".join([*pitches, *([f"out:{self.output}"] if self.output else [])])


DENSE = Placement()


def span(shape: tuple[int, ...], pitch: int | None) -> int:
    """Elements from a tensor's first to its last one, with what lies between its rows."""
    size = math.prod(shape)
    return size if pitch is None else (size // shape[-1] - 1) * pitch + shape[-1]
