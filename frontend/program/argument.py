"""What a caller gives or gets by one name, which may be several tensors of a program, or none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Argument:
    """A tensor; the ``count`` tensors of a sequence; or an optional value that is ``absent``.

    The tensors of a sequence ``x`` are inputs or outputs called ``x_0``, ``x_1`` and so on, which
    follow one another. Whether an ``optional`` value is there, each run tells by an output
    ``x_there`` after it, a bool; where it is not, the others are zeros.
    """

    name: str
    count: int | None = None
    absent: bool = False
    optional: bool = False

    @property
    def is_tensor(self) -> bool:
        """Whether it is one input or output, of the same name."""
        return self.count is None and not self.absent and not self.optional

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the inputs or outputs."""
        if self.absent:
            return ()
        there = (presence_name(self.name),) if self.optional else ()
        if self.count is None:
            return (self.name, *there)
        return (*(element_name(self.name, number) for number in range(self.count)), *there)


def element_name(name: str, number: int) -> str:
    """What a tensor of a sequence is called."""
    return f"{name}_{number}"


def presence_name(name: str) -> str:
    """What says whether an optional value is there is called."""
    return f"{name}_there"
