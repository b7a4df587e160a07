"""Where recurrent layers fit, the knobs of their kernels, and their loop nests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...emit.tile import LINE
from ...ir.dtype import DTYPES, DType
from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...ops.recurrent_form import Recurrent, parse
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import Abilities, around
from ..form import Form
from ..loops import Loops
from ..powers import ceil_power, floor_power, powers
from ..window import balanced_width

_PLANES: Mapping[str, tuple[str, ...]] = {
    "lstm": ("cell",),
    "gru": ("update", "reset"),
    "rnn": (),
}
_VECTORS = (1, 2, 3, 4, 8, 16)  # of units in a register tile, for each gate
_ENOUGH_ROWS = 8  # multiply a vector of weights for as long as L2 takes to give the next
_FROM_L3 = 16  # bytes of weights that L3 gives a thread in a cycle, at least
_EVEN = 1.05  # times its share may a part of a step do
_WORTH_SHARING = 4000  # cycles of a step from which on threads share it: so long is a meeting


class Group(NamedTuple):
    """Gates of a pass whose sums are in registers at once, and how many of it come before them."""

    gates: tuple[int, ...]
    before: int


class Knobs(NamedTuple):
    """See ``RecurrentLayer.choices``."""

    rows: int
    vectors: int
    gates: int
    unroll: int
    batch: int
    parts: int


@dataclass(frozen=True)
class RecurrentLayer(Form[Knobs]):
    """A recurrent node alone, of float32 or float64."""

    layer: Recurrent

    name = "recurrent"
    version = 2
    knobs_type = Knobs
    follows = True
    anchors = around(recurrent=Abilities(epilogue=False, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> RecurrentLayer | None:
        """With a number of hidden units that is known."""
        node = workload.nodes[0]
        if len(workload.nodes) != 1 or node.op != "recurrent":
            return None
        try:
            layer = parse(dict(node.attrs), [workload.tensor(arg) for arg in node.args])
        except (ValueError, TypeError, KeyError):
            return None
        known = isinstance(layer.hidden, int) and layer.dtype in ("float32", "float64")
        same = node.out == layer.output and max(node.args) < len(workload.inputs)
        return cls(workload, target, layer) if known and same else None

    def place(self, operand: str) -> int:
        """Of an operand among the inputs; h and c may begin as one."""
        return self.workload.nodes[0].args[self.layer.operands.index(operand)]

    @property
    def element(self) -> DType:
        """The type of its numbers."""
        return DTYPES[self.layer.dtype]

    @cached_property
    def lanes(self) -> int:
        """Hidden units in a vector."""
        return self.target.lanes(self.element)

    @property
    def passes(self) -> tuple[tuple[int, ...], ...]:
        """The gates that are computed together; all units of a pass come before the next one."""
        layer = self.layer
        if layer.cell == "lstm":
            return ((0, 1, 3),) if layer.coupled else ((0, 1, 2, 3),)
        if layer.cell == "rnn":
            return ((0,),)
        return ((0, 1, 2),) if layer.before else ((0, 1), (2,))

    @property
    def together(self) -> int:
        """Gates of the pass that has most."""
        return max(map(len, self.passes))

    def groups(self, number: int, gates: int) -> tuple[Group, ...]:
        """A pass in groups of ``gates``; the last one may have fewer."""
        each = self.passes[number]
        return tuple(Group(each[i : i + gates], i) for i in range(0, len(each), gates))

    @property
    def columns(self) -> int:
        """Vectors that cover the hidden units."""
        return ceildiv(self.layer.hidden, self.lanes)

    @property
    def pitch(self) -> int:
        """Elements from one vector of the state to the next, a multiple of a cache line."""
        return ceildiv(self.layer.hidden, LINE) * LINE

    @property
    def planes(self) -> Mapping[str, int]:
        """The state of a row is vectors: h in two places in turns, then what cells keep besides."""
        kept = () if self.layer.before else _PLANES[self.layer.cell]
        return {name: 2 + i for i, name in enumerate(kept)}

    @property
    def row_pitch(self) -> int:
        """Elements from the state of one row to the next, with a line between: the numbers that a
        tile reads at once would else share few places of L1 where there are 2^n units."""
        return (2 + len(self.planes)) * self.pitch + LINE

    @property
    def state_size(self) -> int:
        """Elements of the state of all rows."""
        return self.layer.directions * self.layer.batch * self.row_pitch

    @property
    def weight_bytes(self) -> int:
        """Of one direction, read anew in each step."""
        layer = self.layer
        return self.element.nbytes(layer.gates * layer.hidden * layer.hidden)

    def asks(self, parts: int) -> bool:
        """Whether weights are asked for before their use: those of a part come from beyond L2."""
        return self.weight_bytes // parts > self.target.l2

    @property
    def streams(self) -> bool:
        """Whether the input's products, of which each step reads its own, come from beyond L2."""
        layer = self.layer
        size = layer.steps * layer.batch * layer.directions * layer.gates * layer.hidden
        if layer.steps == 1:
            return False
        return isinstance(size, Size) or self.element.nbytes(size) > self.target.l2 // 2

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, and what a chunk is."""
        layer = self.layer
        most = layer.batch if isinstance(layer.batch, int) else 1 << 10
        rows = tuple(range(1, min(most, self.target.vector_registers - 2) + 1))
        vectors = tuple(v for v in _VECTORS if v < 2 * self.columns)
        return (
            Knob("rows", rows, "rows of the batch in the register tile"),
            Knob("vectors", vectors, "vectors of hidden units in it, for each gate"),
            Knob("gates", self._together, "gates in it; sums of others wait in memory"),
            Knob("unroll", (1, 2, 4, 8), "steps of the reduction written out"),
            Knob("batch", powers(most, 14), "rows of the batch in a chunk"),
            Knob("parts", (1, *self._shared), "chunks that share the units of a step"),
        )

    @property
    def _together(self) -> tuple[int, ...]:
        """How many gates may be in registers at once: equal parts of all, where there is one pass,
        so that the shape of packed weights tells their order."""
        most = self.together
        if len(self.passes) > 1:
            return (most,)
        return tuple(n for n in range(1, most + 1) if most % n == 0)

    @property
    def _shared(self) -> tuple[int, ...]:
        """Into how many parts a step may be cut."""
        most = min(self.target.threads, self.columns)
        return tuple(n for n in (2, 3, 4, 6, 8, 12, 16, 24, 32) if n <= most)

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and each part has units."""
        return self.in_registers(knobs.rows, knobs.vectors * knobs.gates) and (
            knobs.parts <= ceildiv(self.columns, knobs.vectors)
        )

    def in_registers(self, rows: int, vectors: int) -> bool:
        """Whether sums of so many vectors of all gates are, with the numbers of the fewer side,
        rows or weights, and one of the other at a time; of one row weights are operands in memory.
        """
        loaded = 1 if rows == 1 else min(rows, vectors) + 1
        return rows * vectors + loaded <= self.target.vector_registers

    def default(self) -> Knobs:
        """A row alone gets many vectors, for sums that do not wait; else rows share weights."""
        layer = self.layer
        batch, parts = self._chunk()
        rows, gates = self._tile(min(batch, layer.batch))
        wide = self._wide(rows, gates, parts)
        # Lines from beyond L2 that several steps ask for at once wait for each other.
        few = self.asks(parts) or rows * wide * gates > self.target.vector_registers // 2
        return Knobs(rows, wide, gates, 2 if few else 4, batch, parts)

    def _wide(self, rows: int, gates: int, parts: int) -> int:
        """Vectors of units: a power of two, or for some rows three where two give no more sums than
        keep the core busy, none of which may then be late."""
        fit = [
            v
            for v in _VECTORS
            if v < 2 * self.columns
            and ceildiv(self.columns, v) >= parts
            and self.in_registers(rows, v * gates)
        ]
        wide = max((v for v in fit if v == floor_power(v)), default=1)
        few = rows * wide * gates <= self.target.costs.sums
        longest = ceildiv(ceildiv(self.columns, 3), parts) * 3  # vectors of the part that has most
        even = longest * parts <= _EVEN * self.columns
        return 3 if rows > 1 and wide == 2 and few and 3 in fit and (even or parts == 1) else wide

    def _tile(self, batch: int) -> tuple[int, int]:
        """Rows, and gates at once: one, with two vectors of units, where that lets more rows share
        weights which come from beyond L1, for that is what such a tile waits for; or where all
        gates leave room for few sums."""
        least = max(self.together, min(2, self.columns))
        rows = self._rows_at_once(batch, self._most_rows(least))
        few = rows * self.together <= self.target.costs.sums
        if (few or self._is_beyond_l1(rows)) and 1 in self._together:
            more = self._rows_at_once(batch, self._most_rows(2))
            if more > rows and rows < _ENOUGH_ROWS:
                return more, 1
        return rows, self.together

    def _most_rows(self, vectors: int) -> int:
        return max(n for n in range(1, 64) if n == 1 or self.in_registers(n, vectors))

    def _is_beyond_l1(self, rows: int) -> bool:
        """Whether L1 does not hold the weights of a vector of units, for all gates, beside the h of
        a tile's rows."""
        numbers = self.layer.hidden * (self.together * self.lanes + rows)
        return self.element.nbytes(numbers) > self.target.l1

    def _rows_at_once(self, batch: int, most: int) -> int:
        """As many as fit, so that weights are read seldom; where a block's weights are in L1, tiles
        that are alike and not much lower."""
        rows = balanced_width(batch, most)
        if isinstance(batch, Size) or self._is_beyond_l1(rows):
            return rows
        alike = max(n for n in range(1, rows + 1) if batch % n == 0)
        return alike if 2 * alike > rows else rows

    def _chunk(self) -> tuple[int, int]:
        """Rows of the batch, and parts of a step.

        Rows apart need no meetings; but then each thread reads all weights, and is kept busy if
        these stay in its cache, or come from L3 no faster than its rows use them.
        """
        layer, target = self.layer, self.target
        batch, wanted = layer.batch, ceildiv(target.threads, layer.directions)
        whole = ceil_power(batch)
        if wanted == 1:
            return whole, 1
        apart = batch >= 2 * wanted and (self._stay or self._keep_pace(batch // wanted))
        multiplied = batch * self.weight_bytes // (2 * target.vector_bytes)
        cycles = max(self.weight_bytes // 32, multiplied)
        shared = [n for n in (1, *self._shared) if n <= wanted]
        if not apart and cycles >= _WORTH_SHARING and max(shared) > 1:
            return whole, max(shared)
        return ceil_power(ceildiv(batch, wanted)), 1

    @property
    def _stay(self) -> bool:
        """Whether a thread's L2 holds the weights; half of it is for what goes by."""
        return self.weight_bytes <= self.target.l2 // 2

    def _keep_pace(self, rows: int) -> bool:
        """Whether L3 gives the weights, asked for in time, as fast as so many rows are multiplied
        with them; a fourth of it holds them beside what others read."""
        target = self.target
        used = target.vector_bytes * target.costs.multiply_adds  # by one row in a cycle
        return self.asks(1) and self.weight_bytes <= target.l3 // 4 and rows * _FROM_L3 >= used

    def resized(self, knobs: Knobs) -> Knobs:
        """A power of two where the last rows are known only at run time: halves of it do."""
        if isinstance(self.layer.batch, Size):
            return knobs._replace(rows=floor_power(knobs.rows))
        return knobs

    def loops(self, knobs: Knobs) -> Loops:
        """A step of the reduction multiplies the weights of a unit with a number of each row."""
        layer = self.layer
        rows, wide = knobs.rows, knobs.vectors * knobs.gates
        sequences = layer.directions * layer.steps
        tiles, blocks = ceildiv(layer.batch, rows), ceildiv(self.columns, knobs.vectors)
        weights = layer.hidden * self.target.vector_bytes
        groups = ceildiv(self.together, knobs.gates) * len(self.passes)
        batch = np.minimum(knobs.batch, layer.batch)
        read = ceildiv(self.weight_bytes, knobs.parts)
        return Loops(
            chunks=layer.directions * ceildiv(layer.batch, knobs.batch) * knobs.parts,
            sums=rows * wide,
            loads=rows + wide,
            depth=layer.hidden,
            steps=sequences * tiles * blocks * layer.hidden * groups,
            work=sequences * layer.batch * self.columns * layer.gates * layer.hidden,
            inner=weights * wide,
            kept=weights * knobs.vectors * self.together,
            streamed=sequences * ceildiv(layer.batch, knobs.batch) * self.weight_bytes,
            chunk=read + batch * layer.steps * self.element.nbytes(layer.gates * layer.hidden),
            other=sequences * layer.batch * layer.hidden,
        )
