"""Where fused attention fits, its knobs, and which are chosen without measuring."""

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
from ..by_grain import largest
from ..form import Form
from ..loops import Loops
from ..window import balanced_width

SOFTMAX = 32.0  # operations that one score's part in it is worth
_KEYS = (16, 32, 64, 128, 256, 512, 1024)


class Knobs(NamedTuple):
    """See ``FusedAttention.choices``."""

    vectors: int
    tile: int
    keys: int


@dataclass(frozen=True)
class FusedAttention(Form[Knobs]):
    """An attention node alone."""

    attention: Attention

    name = "attention"
    version = 1
    knobs_type = Knobs
    follows = True
    anchors = around(attention=Abilities(epilogue=False))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> FusedAttention | None:
        """With nothing before or after it."""
        node = workload.nodes[0]
        if len(workload.nodes) != 1 or node.op != "attention":
            return None
        form = form_of(node, [workload.tensor(a) for a in node.args])
        return None if form is None else cls(workload, target, form)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4, 6) if fits_registers(1, v, self.target))

    def choices(self) -> tuple[Knob, ...]:
        """The block of rows, the register tile, the block of keys."""
        tiles = tuple(range(1, self.target.vector_registers - 2))
        return (
            Knob("vectors", self.vectors, "vectors of rows in a chunk"),
            Knob("tile", tiles, "register tile's other side"),
            Knob("keys", _KEYS, "keys in a block"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers."""
        return fits_registers(knobs.tile, knobs.vectors, self.target)

    def default(self) -> Knobs:
        """Four vectors of rows if that leaves chunks for all threads, or two where registers hold
        so few sums beside four that more is loaded; scores in a quarter of L2."""
        node, target = self.attention, self.target

        def chunks(count: int) -> int:
            return node.batch * node.heads * ceildiv(node.rows, count * self.lanes)

        def widest(count: int) -> int:
            return max(t for t in range(1, 13) if fits_registers(t, count, target))

        enough = [v for v in self.vectors if v <= 4 and chunks(v) >= 8 * target.threads]
        most = max(enough, default=1)
        # A step loads so many vectors and as many scalars as a tile is wide.
        count = min((v for v in {2, most} if v <= most), key=lambda v: 1 / v + 1 / widest(v))
        room = target.l2 // 4 // (count * target.vector_bytes)
        tile = balanced_width(node.width, widest(count))
        return Knobs(count, tile, largest(_KEYS, min(room, 256)))

    def estimate(self) -> float:
        """Both products and the softmax, of whole vectors of rows."""
        node, knobs = self.attention, self.default()
        if isinstance(node.rows, Size) or isinstance(node.keys, Size):
            return 0.0  # others compute no such sizes
        rows, heads = ceildiv(node.rows, self.lanes) * self.lanes, node.batch * node.heads
        chunks = heads * ceildiv(node.rows, knobs.vectors * self.lanes)
        each = rows * (2 * (node.depth + node.width) + SOFTMAX)
        return heads * node.keys * each * busiest(chunks, self.target)

    def loops(self, knobs: Knobs) -> Loops:
        """The nest of both products; the softmax is ``other``."""
        node, vectors, tile = self.attention, knobs.vectors, knobs.tile
        rows = vectors * self.lanes
        units = node.batch * node.heads * ceildiv(node.rows, rows)
        keys = ceildiv(node.keys, ceildiv(node.keys, knobs.keys))
        block = FLOAT32.nbytes(rows * (node.depth + keys + node.width))  # query, scores and sum
        products = node.keys * (node.depth + node.width)
        values = FLOAT32.nbytes(products)
        scores = ceildiv(node.keys, keys) * ceildiv(keys, tile) * node.depth  # steps
        return Loops(
            chunks=units,
            sums=tile * vectors,
            loads=tile + vectors,
            depth=node.depth,
            steps=units * (scores + ceildiv(node.width, tile) * node.keys),
            work=units * vectors * products,
            inner=FLOAT32.nbytes(node.depth * (tile + rows)),
            kept=block,
            streamed=units * values,
            chunk=block + values,
            other=units * rows * node.keys,
        )


def busiest(chunks: int, target: Target) -> float:
    """What the thread with most of the chunks does, over an even share of them."""
    return ceildiv(chunks, target.threads) * target.threads / chunks
