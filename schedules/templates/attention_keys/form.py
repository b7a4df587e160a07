"""Where attention with keys as lanes fits, its knobs, and which are chosen without measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...ops.attention_form import Attention, form_of
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import Abilities, around
from ..attention.form import SOFTMAX, busiest
from ..form import Form
from ..loops import Loops
from ..powers import powers

_MOVED = 10.0  # operations that transposing an element of the keys is worth
_LOOP = 0.5  # cycles of a step that nothing else hides
_TILES = 8  # of rows in a chunk, at most


class Knobs(NamedTuple):
    """See ``KeyAttention.choices``."""

    rows: int
    vectors: int
    tiles: int


@dataclass(frozen=True)
class KeyAttention(Form[Knobs]):
    """An attention node alone, of sizes that are known at build time."""

    attention: Attention

    name = "attention_keys"
    version = 1
    knobs_type = Knobs
    anchors = around(attention=Abilities(epilogue=False))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> KeyAttention | None:
        """With nothing before or after it, and scores of a chunk's rows that half of L2 holds."""
        node = workload.nodes[0]
        if len(workload.nodes) != 1 or node.op != "attention":
            return None
        form = form_of(node, [workload.tensor(a) for a in node.args])
        if form is None or isinstance(form.rows, Size) or isinstance(form.keys, Size):
            return None
        found = cls(workload, target, form)
        few = found.chunk_bytes(found.default()) <= target.l2 // 2
        return found if few else None

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4) if fits_registers(1, v, self.target))

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, and the rows of a chunk."""
        rows = tuple(range(1, min(self.attention.rows, self.target.vector_registers - 2) + 1))
        return (
            Knob("rows", rows, "rows of the register tile"),
            Knob("vectors", self.vectors, "vectors of keys, and of columns, in the register tile"),
            Knob("tiles", powers(self.attention.rows, _TILES), "register tiles of rows in a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers."""
        return fits_registers(knobs.rows, knobs.vectors, self.target)

    def default(self) -> Knobs:
        """The tile that takes least; all rows in a chunk, since each chunk transposes the keys,
        where heads are enough for all threads and a quarter of L2 holds the scores."""
        node, target = self.attention, self.target
        heads = node.batch * node.heads
        parts = 1 if heads >= 2 * target.threads else ceildiv(target.threads, heads)
        most = ceildiv(node.rows, parts)
        tiles = [
            (rows, vectors)
            for vectors in (2, 3)
            for rows in range(1, most + 1)
            if fits_registers(rows, vectors, target)
        ]
        rows, vectors = min(tiles, key=lambda tile: self._cycles(most, *tile))
        fit = [
            n
            for n in powers(ceildiv(most, rows), _TILES)
            if self.chunk_bytes(Knobs(rows, vectors, n)) <= target.l2 // 4
        ]
        return Knobs(rows, vectors, max(fit, default=1))

    def _cycles(self, most: int, rows: int, vectors: int) -> float:
        """Of both products of so many rows, in tiles of this size and what is left of them."""
        node, costs = self.attention, self.target.costs

        def panels(extent: int) -> list[int]:
            full, rest = divmod(ceildiv(extent, self.lanes), vectors)
            return [vectors] * full + [rest] * (rest > 0)

        def step(high: int, wide: int) -> float:
            return max(high * wide / costs.multiply_adds, costs.latency) + _LOOP

        full, rest = divmod(most, rows)
        heights = [rows] * full + [rest] * (rest > 0)
        return sum(
            depth * step(high, wide)
            for extent, depth in ((node.keys, node.depth), (node.width, node.keys))
            for wide in panels(extent)
            for high in heights
        )

    def chunk_rows(self, knobs: Knobs) -> int:
        """Rows of a chunk."""
        return min(self.attention.rows, knobs.rows * knobs.tiles)

    def chunk_bytes(self, knobs: Knobs) -> int:
        """A worker's own: scores of a chunk, a panel of keys."""
        wide = knobs.vectors * self.lanes
        pitch = ceildiv(self.attention.keys, self.lanes) * self.lanes
        return FLOAT32.nbytes(self.chunk_rows(knobs) * pitch + self.attention.depth * wide)

    def estimate(self) -> float:
        """Both products in whole vectors, the keys' transposition, the softmax."""
        node, lanes, knobs = self.attention, self.lanes, self.default()
        heads = node.batch * node.heads
        blocks = ceildiv(node.rows, self.chunk_rows(knobs))
        keys, columns = (ceildiv(n, lanes) * lanes for n in (node.keys, node.width))
        each = 2 * (keys * node.depth + node.keys * columns) + SOFTMAX * keys
        moved = _MOVED * blocks * node.keys * node.depth
        return heads * (node.rows * each + moved) * busiest(heads * blocks, self.target)

    def loops(self, knobs: Knobs) -> Loops:
        """The nest of both products; the softmax and the keys' transposition are ``other``."""
        node, lanes = self.attention, self.lanes
        heads, wide = node.batch * node.heads, knobs.vectors * lanes
        rows = knobs.rows * knobs.tiles
        blocks = ceildiv(node.rows, rows)
        parts, columns = ceildiv(node.keys, lanes), ceildiv(node.width, lanes)
        tiles = ceildiv(node.rows, knobs.rows)
        steps = ceildiv(node.keys, wide) * node.depth + ceildiv(node.width, wide) * node.keys
        read = FLOAT32.nbytes(node.keys * (node.depth + node.width))
        return Loops(
            chunks=heads * blocks,
            sums=knobs.rows * knobs.vectors,
            loads=knobs.rows + knobs.vectors,
            depth=node.depth,
            steps=heads * tiles * steps,
            work=heads * node.rows * (parts * node.depth + columns * node.keys),
            inner=FLOAT32.nbytes(node.depth * (wide + knobs.rows)),
            kept=FLOAT32.nbytes(node.depth * wide),
            streamed=heads * blocks * read,
            chunk=read + FLOAT32.nbytes(rows * node.keys),
            other=heads * (node.rows + blocks * node.depth) * node.keys,
        )
