"""Products of whole tiles: AMX's ``tdpbusd`` and its like for numbers of 8 bits, and ``tdpbf16ps``.

A tile register holds 16 rows of 64 bytes at most. An instruction adds to a tile of sums the
products of some rows of A, with neighbours along the depth side by side, and of as many groups of
16 columns of B, which lie as they are packed for dot products (Intel's SDM, volume 2; *64 and IA-32
Architectures Optimization Reference Manual*, chapter 20). So one panel serves both, each row of a
tile of B being a part of a group's.

Sums of whole numbers are exact modulo 2^32. Those of bfloat16 are rounded to nearest in an order of
the instruction's own, first within a tile's depth, and what is below float32's normal numbers is 0:
results differ from other kernels' by roundings of sums.

What rows and columns tiles have is set before (``ldtilecfg``), which clears all of them. So the
depth is cut evenly: all steps of a kernel have the same one, and only tiles of the last rows may be
set otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..ir.dtype import INT32, DType, Kind
from ..target.target import Target
from ..tir.indices import Expr, Index, ceildiv
from ..tvm_late import ir, tirx
from .builder import PhaseBuilder
from .dot_product import DotProduct, Registers
from .dot_products import INT8, Layout
from .tile import Parts, RegisterTile, vector_index

_REGISTERS, _LANES = 8, 16  # lanes of a tile of sums
ROWS = 16  # of a tile
_GROUP = 4  # bytes
_LATENCY = 52.0  # cycles of a product; the next one begins after as many as A has rows
_ALONE = 16.0  # cycles that a product waits where a register is loaded for each
_STORED = 32.0  # to store tiles of sums and to read them again
_MADE = 2.7  # cycles for 16 sums, to quantise them
_ENDED = 3e5  # multiply-adds of tiles, as long as what is made of sums
_KEPT = 24.0  # to store tiles of sums
_CONFIGURATION = 64  # bytes
_LETTERS = {Kind.UINT: "u", Kind.INT: "s"}


def tile_layouts(a: DType, b: DType, target: Target) -> tuple[Layout, ...]:
    """How packed numbers may lie where there is an instruction for both types, of 8 bits."""
    there = "amx_int8" in target.features and a.is_whole and b.is_whole
    return ("tiles",) if there and a.bits == b.bits == INT8.bits else ()


def tile_product(a: DType, b: DType, depth: int) -> TileProduct:
    """The instruction for numbers of 8 bits, and so many of them along the depth."""
    name = f"tdpb{_LETTERS[a.kind]}{_LETTERS[b.kind]}d"
    return TileProduct(a, b, 4, _by_lanes, element=b, groups=step_groups(depth, 4), name=name)


def step_groups(depth: int, steps: int) -> int:
    """Groups of a step: as few steps as tiles allow, each as short as that leaves them."""
    groups = ceildiv(depth, steps)
    return int(ceildiv(groups, ceildiv(groups, ROWS)))


def _by_lanes(total: Expr, shared: Expr, group: Expr) -> Expr:
    raise NotImplementedError("an instruction for tiles has no form for vectors")


@dataclass(frozen=True)
class TileProduct(DotProduct):
    """Products by the instruction ``name``; a step is a tile's depth."""

    name: str = field(kw_only=True)

    @property
    def around(self) -> float:
        """Sums are there after a latency, and go through memory."""
        return _LATENCY + _STORED

    @property
    def stored(self) -> float:
        """What is made of them by two operations on vectors in a cycle."""
        return _MADE

    @property
    def kept(self) -> float:
        """Sums are in memory."""
        return _KEPT

    @property
    def ended(self) -> float:
        """What is made of the last sums, after which nothing is multiplied."""
        return _ENDED

    @property
    def pace(self) -> float:
        """As of vectors."""
        return 8.0

    def fits(self, rows: int, vectors: int, target: Target) -> bool:
        """Sums, rows of A and one tile of B."""
        high: int = ceildiv(rows, ROWS)
        return high * vectors + high + 1 <= _REGISTERS

    def spills(self, rows: int, vectors: int, target: Target) -> bool:
        """Never: tiles are named by number."""
        return False

    def cycles(self, rows: int, vectors: int, target: Target) -> float:
        """As the manual has them; two rows of tiles are loaded in a cycle, and wait at times: each
        tile of B where one register is left for them."""
        loads, high = rows + self.groups * vectors, ceildiv(rows, ROWS)
        alone = high * vectors + high + 1 == _REGISTERS
        waiting = loads / 50 + _ALONE * high * vectors * alone
        return float(max(rows * vectors, _LATENCY, loads / 2) + waiting)

    @contextmanager
    def registers(self, builder: PhaseBuilder, width: int) -> Iterator[Registers]:
        """As of vectors; tiles are given back in the end."""
        configured = builder.local(1, INT32.name)
        builder.store(configured, 0, tirx.const(0, INT32.name))

        def make(rows: int, parts: Parts) -> RegisterTile:
            return _Tiles(builder, rows, parts, self, configured=configured, width=width)

        yield make
        _call(builder, "tilerelease")

    def step(
        self,
        register: RegisterTile,
        shared: tuple[Any, Index, Index],
        own: tuple[Any, Index],
    ) -> None:
        """As of vectors, of ``groups`` at once."""
        assert isinstance(register, _Tiles)
        register.multiply(shared, own)


@dataclass
class _Tiles(RegisterTile):
    """Sums in tile registers, and in memory once they are asked for.

    Registers are first for the sums of a panel of ``width`` columns, then for rows of A, and what
    remains is for B. ``configured`` tells for how many rows they are set.
    """

    micro: TileProduct
    configured: Any = field(kw_only=True)
    width: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self._bands = ceildiv(self.rows, ROWS)
        self._high = ceildiv(self.rows, self._bands)  # rows of a band; the last has the rest
        self._first_a = self._bands * (self.width // _LANES)
        self._first_b = self._first_a + self._bands
        self._configure()
        super().__post_init__()

    def _sums(self) -> Iterator[tuple[int, int, int]]:
        """(register, band, part) of the sums."""
        for part in range(len(self.parts)):
            for band in range(self._bands):
                yield part * self._bands + band, band, part

    def _configure(self) -> None:
        """Set tiles for these rows, where they are not."""
        builder, depth = self.builder, self.micro.groups
        with builder.when(builder.load(self.configured, 0) != self.rows):
            builder.store(self.configured, 0, tirx.const(self.rows, INT32.name))
            image = bytearray(_CONFIGURATION)
            image[0] = 1  # the palette
            for tile in range(_REGISTERS):
                rows, wide = depth, _LANES * _GROUP
                if tile < self._first_b:
                    band = tile % self._bands  # of sums, and of A
                    rows = min(self._high, self.rows - band * self._high)
                if self._first_a <= tile < self._first_b:
                    wide = depth * _GROUP
                image[16 + 2 * tile], image[48 + tile] = wide, rows
            held = builder.local(_CONFIGURATION // 8, "uint64")
            for i in range(_CONFIGURATION // 8):
                word = int.from_bytes(image[8 * i : 8 * i + 8], "little")
                builder.store(held, i, tirx.const(word, "uint64"))
            _call(builder, "ldtilecfg", _address(held, 0))

    def fill(self, value: float) -> None:
        """As of vectors, of zeros alone."""
        assert value == 0
        for tile, _, _ in self._sums():
            _call(self.builder, "tilezero", _number(tile))

    def start(self, vector: Callable[[int, int], Expr]) -> None:
        """As of vectors: all rows of a tile are loaded from one place."""
        starts = [self._in_memory(vector(*part), part[1]) for part in self.parts]
        for tile, _, part in self._sums():
            _move(self.builder, "tileloadd64", tile, starts[part], 0)

    def _in_memory(self, vector: Expr, lanes: int) -> Expr:
        """The address of a vector, where it is read from or else written to."""
        if isinstance(vector, ir.TensorLoad):
            (index,) = vector.indices
            first = index.base if isinstance(index, tirx.Ramp) else index
            return _address(vector.source, first)
        held = self.builder.local(lanes, self.micro.accumulator.name)
        self.builder.store(held, vector_index(0, lanes), vector)
        return _address(held, 0)

    def multiply(self, shared: tuple[Any, Index, Index], own: tuple[Any, Index]) -> None:
        """One step: all rows of A by one tile of B after another."""
        builder, micro, (a, first, apart), (b, begin) = self.builder, self.micro, shared, own
        for band in range(self._bands):
            place = _address(a, first + band * self._high * apart)
            _move(builder, "tileloadd64", self._first_a + band, place, apart * micro.a.bytes)
        for part, (column, _) in enumerate(self.parts):
            tile = self._first_b + part % (_REGISTERS - self._first_b)
            place = _address(b, begin + micro.units(column))
            _move(builder, "tileloadd64", tile, place, self.width * _GROUP)
            for band in range(self._bands):
                sums, rows = part * self._bands + band, self._first_a + band
                _call(builder, micro.name, *map(_number, (sums, rows, tile)))

    def each_row(self) -> Iterator[Index]:
        """As of vectors, one after another."""
        self.keep(self._local)
        with self.builder.loop(self.rows, "row") as row:
            yield row

    def keep(self, buffer: Any) -> None:
        """Write the sums to a buffer, row by row."""
        pitch = self._width * self.micro.accumulator.bytes
        for tile, band, part in self._sums():
            place = _address(buffer, self._place(band * self._high, part))
            _move(self.builder, "tilestored64", tile, place, pitch)


@dataclass
class KeptSums(RegisterTile):
    """Sums that ``keep`` wrote to a ``buffer``, of the rows that are ``present``: of all where
    nothing says so."""

    buffer: Any = field(kw_only=True)
    present: Callable[[Index], Expr] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._width = sum(lanes for _, lanes in self.parts)
        self._local = self.buffer

    def each_row(self) -> Iterator[Index]:
        """One after another."""
        with self.builder.loop(self.rows, "row") as row:
            if self.present is None:
                yield row
            else:
                with self.builder.when(self.present(row)):
                    yield row


def _move(builder: PhaseBuilder, name: str, tile: int, place: Expr, pitch: int) -> None:
    """A tile to or from rows that are so many bytes apart."""
    _call(builder, name, _number(tile), place, tirx.const(pitch, "int64"))


def _address(buffer: Any, index: Index) -> Expr:
    return tirx.call_intrin("handle", "tirx.address_of", tirx.BufferLoad(buffer, [index]))


def _number(tile: int) -> Expr:
    return tirx.const(tile, "int8")


def _call(builder: PhaseBuilder, name: str, *arguments: Expr) -> None:
    builder.emit(tirx.Evaluate(tirx.call_llvm_intrin("void", f"llvm.x86.{name}", *arguments)))
