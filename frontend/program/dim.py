"""Sizes that are known only when a program runs.

They stop at the program. Its values have the types of their largest sizes, which is the memory that
they may need, and workloads and templates know of nothing else: ``Program.open`` says beside these
which dimensions vary. So everything that measures, schedules or lays out works on numbers, and a
kernel that takes a size as an argument can be given it by its caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from luthier.schedules import ModelError, Tensor
from luthier.schedules.ir.dtype import ACCEPTED

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_SYMBOL = re.compile(rf"({_NAME})=({_NUMBER})\.\.({_NUMBER})")
_DIM = re.compile(rf"(?:({_NUMBER})\*)?({_NAME})([+-]{_NUMBER})?")
_TYPE = re.compile(r"([a-z0-9]+)\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Symbol:
    """A size from ``least`` to ``most`` elements, both included."""

    name: str
    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.name}={self.least}..{self.most}"

    @staticmethod
    def parse(text: str) -> Symbol:
        """Read what ``str`` wrote; raises ModelError."""
        match = _SYMBOL.fullmatch(text)
        if not match or int(match[2]) > int(match[3]):
            raise ModelError(f"{text[:80]!r} is not a range of sizes such as 'tokens=1..512'")
        return Symbol(match[1], int(match[2]), int(match[3]))


@dataclass(frozen=True)
class Dim:
    """``factor``, which is positive, times a symbol, and ``offset`` more, as in ``past + 1``."""

    symbol: Symbol
    factor: int = 1
    offset: int = 0

    def __add__(self, more: int) -> Dim:
        return Dim(self.symbol, self.factor, self.offset + more)

    def __mul__(self, times: int) -> Dim:
        return Dim(self.symbol, self.factor * times, self.offset * times)

    def at(self, sizes: Mapping[str, int]) -> int:
        """The number where each symbol has a size; raises ModelError for one out of its range."""
        symbol, size = self.symbol, sizes[self.symbol.name]
        if not symbol.least <= size <= symbol.most:
            raise ModelError(f"the size {symbol.name}={size} is not in {symbol}")
        return self.factor * size + self.offset

    def __str__(self) -> str:
        text = self.symbol.name if self.factor == 1 else f"{self.factor}*{self.symbol.name}"
        return f"{text}{self.offset:+}" if self.offset else text


Size: TypeAlias = int | Dim


@dataclass(frozen=True)
class OpenTensor:
    """A type of which some sizes are known only when the program runs."""

    shape: tuple[Size, ...]
    dtype: str

    @property
    def symbols(self) -> dict[str, Symbol]:
        """Those of its shape, by name."""
        return {d.symbol.name: d.symbol for d in self.shape if isinstance(d, Dim)}

    @property
    def least(self) -> Tensor:
        """The type where all sizes are the smallest."""
        return self.at({name: symbol.least for name, symbol in self.symbols.items()})

    @property
    def most(self) -> Tensor:
        """The type where all sizes are the largest."""
        return self.at({name: symbol.most for name, symbol in self.symbols.items()})

    def at(self, sizes: Mapping[str, int]) -> Tensor:
        """The type where each symbol has a size; raises ModelError for one out of its range."""
        return Tensor(
            tuple(d.at(sizes) if isinstance(d, Dim) else d for d in self.shape), self.dtype
        )

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @staticmethod
    def parse(text: str, symbols: Mapping[str, Symbol]) -> OpenTensor:
        """Read what ``str`` wrote, with the symbols that it may name; raises ModelError."""
        match = _TYPE.fullmatch(text)
        if not match or match[1] not in ACCEPTED:
            raise ModelError(f"{text[:80]!r} is not a tensor type such as 'float32[tokens,768]'")
        sizes = match[2].split(",") if match[2] else []
        return OpenTensor(tuple(_size(size, symbols) for size in sizes), match[1])


def _size(text: str, symbols: Mapping[str, Symbol]) -> Size:
    if re.fullmatch(_NUMBER, text):
        return int(text)
    match = _DIM.fullmatch(text)
    if not match:
        raise ModelError(f"{text[:80]!r} is not a size such as '12' or '2*tokens+1'")
    if match[2] not in symbols:
        raise ModelError(f"nobody says which sizes '{match[2]}' may have")
    dim = Dim(symbols[match[2]], int(match[1] or 1), int(match[3] or 0))
    if dim.at({match[2]: dim.symbol.least}) < 0:
        raise ModelError(f"'{dim}' may be negative: {dim.symbol}")
    return dim
