"""Types of values of which some sizes are known only when a program runs.

A program's ``values`` have the types of their largest sizes, which is the memory that they may
need; ``Program.open`` says beside these which dimensions vary.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from luthier.schedules import ModelError, Tensor
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ir.size import Size, Sizes, value
from luthier.schedules.ir.size_text import parse_size
from luthier.schedules.ir.symbol import Symbol

_TYPE = re.compile(r"([a-z0-9_]+)\[([^\[\]]*)\]")


@dataclass(frozen=True)
class OpenTensor:
    """A type of which some sizes are known only when the program runs."""

    shape: tuple[int | Size, ...]
    dtype: str

    @property
    def names(self) -> frozenset[str]:
        """Those of its sizes."""
        return frozenset().union(*(d.names for d in self.shape if isinstance(d, Size)))

    def at(self, sizes: Sizes) -> Tensor:
        """The type where each name has a size."""
        return Tensor(tuple(int(value(d, sizes)) for d in self.shape), self.dtype)

    def corners(self, symbols: Mapping[str, Symbol]) -> Iterator[Tensor]:
        """The types where each symbol has its smallest or its largest size.

        Those that make nothing smaller are the smallest or the largest together.
        """
        falling: frozenset[str] = frozenset().union(*map(_falling, self.shape))
        others = [symbols[name] for name in sorted(falling)]
        rising = [symbols[name] for name in sorted(self.names - falling)]
        for ends in itertools.product(*((s.least, s.most) for s in others)):
            sizes = {s.name: end for s, end in zip(others, ends, strict=True)}
            yield self.at(sizes | {s.name: s.least for s in rising})
            if rising:
                yield self.at(sizes | {s.name: s.most for s in rising})

    def most(self, symbols: Mapping[str, Symbol]) -> Tensor:
        """The type with most elements, which is at a corner; without any, the longest."""
        return max(self.corners(symbols), key=lambda tensor: (tensor.size, tensor.shape))

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @staticmethod
    def parse(text: str, symbols: Mapping[str, Symbol]) -> OpenTensor:
        """Read what ``str`` wrote, with the symbols that it may name; raises ModelError."""
        match = _TYPE.fullmatch(text)
        if not match or match[1] not in DTYPES:
            raise ModelError(f"{text[:80]!r} is not a tensor type such as 'float32[tokens,768]'")
        sizes = [parse_size(size, symbols) for size in match[2].split(",")] if match[2] else []
        tensor = OpenTensor(tuple(sizes), match[1])
        for corner in tensor.corners(symbols):
            if min(corner.shape, default=0) < 0:
                ranges = ", ".join(str(symbols[name]) for name in sorted(tensor.names))
                raise ModelError(f"'{tensor}' may be negative: {ranges}")
        return tensor


def _falling(size: int | Size) -> frozenset[str]:
    """The names whose larger sizes may make a size smaller."""
    if isinstance(size, int):
        return frozenset()
    if size.operation == "+":
        terms = size.operands
        atoms = (
            atom.names if term.factor < 0 else _falling(atom)
            for term in terms
            for atom in term.atoms
        )
        return frozenset().union(*atoms)
    left, right = size.operands if size.operands else (0, 0)
    if size.operation in ("min", "max"):
        return _falling(left) | _falling(right)
    if size.operation == "//" and isinstance(right, int):
        return _falling(left)
    return size.names if size.operands else frozenset()
