"""Where few rows meet a matrix of few bits, the knobs of such kernels, and their loop nests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...ops.few_bits import WORD
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..form import Form
from ..fused import has_weights
from ..loops import Loops
from ..powers import floor_power, powers

_PAIRED = 2  # rows
# Vectors by rows that use a load of each row's number well, and what such a load takes beside a
# vector's product: measured on Zen 4.
_SHARE, _SHARED = {1: 6, 2: 4}, 0.8
# Codes of so many bits are looked up in tables, in vectors of so many columns by their bytes; of so
# many vectors at once for so many rows, for what is made of them needs registers.
TABLE_BITS, BYTE_LANES, _BY_BYTES = 4, (4, 8), {1: 1, 2: 2, 4: 2}
_TURNS = 4  # of sums at most
MOST_ROWS = 8  # above it, a matrix is better made of floats first: for some rows at a time


@dataclass(frozen=True)
class FewBitsProduct:
    """A workload seen as rows [m, k] by a matrix [n, k] of elements ``dtype``; ``scales`` and
    ``zeros`` are inputs' numbers, or None where there are none."""

    a: int
    codes: int
    scales: int | None
    zeros: int | None
    m: int
    n: int
    k: int
    bits: int
    block: int
    dtype: str

    @property
    def blocks(self) -> int:
        """Of a row of the matrix."""
        return ceildiv(self.k, self.block)

    @property
    def nbytes(self) -> int:
        """Of the matrix, scales included."""
        each = sum(argument is not None for argument in (self.scales, self.zeros))
        scales = self.n * self.blocks * FLOAT32.bytes * each
        return self.n * self.blocks * self.block * self.bits // 8 + scales


def few_bits_product(workload: Workload, op: str = "matmul_few_bits") -> FewBitsProduct | None:
    """The workload as such a product; None where it is none, or the matrix is not known."""
    if not has_weights(workload, op):
        return None
    node = workload.nodes[0]
    a, codes, *rest = node.args
    if not all(workload.constants[each] for each in rest):
        return None
    scales, zeros = (*rest, None, None)[:2]
    k, n = workload.tensor(a).shape[-1], node.out.shape[-1]
    m = math.prod(node.out.shape[:-1])
    bits, block, dtype = node.attr("bits"), node.attr("block"), workload.tensor(codes).dtype
    return FewBitsProduct(a, codes, scales, zeros, m, n, k, bits, block, dtype)


class Knobs(NamedTuple):
    """See ``FewBits.choices``."""

    vectors: int
    panels: int


@dataclass(frozen=True)
class FewBits(Form[Knobs]):
    """A product of few rows in float32, with an elementwise epilogue."""

    product: FewBitsProduct

    name = "few_bits"
    version = 2
    knobs_type = Knobs
    anchors = around(matmul_few_bits=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> FewBits | None:
        """Of fixed sizes."""
        p = few_bits_product(workload)
        if p is None or any(isinstance(n, Size) for n in (p.m, p.n, p.k)) or 0 in (p.m, p.n, p.k):
            return None
        return cls(workload, target, p) if p.m <= MOST_ROWS else None

    @property
    def columns(self) -> int:
        """Vectors that cover the columns."""
        return ceildiv(self.product.n, self.lanes)

    @property
    def rows(self) -> int:
        """Rows that are multiplied at once."""
        return next(r for r in (4, 2, 1) if r <= self.product.m)

    @property
    def pairs(self) -> bool:
        """Whether numbers are looked up in pairs: of more rows products take the time, and where
        there are no units beside those that multiply, all that is done counts."""
        return self.target.costs.has_room and self.rows <= _PAIRED

    @property
    def by_bytes(self) -> bool:
        """Whether numbers are made of bytes that are looked up: see ``panels``."""
        return self.product.bits <= TABLE_BITS and self.lanes in BYTE_LANES

    def turns(self, vectors: int) -> int:
        """Sums of each row and vector, of which numbers of one load are added to different ones: as
        many as keep the core busy."""
        few, bits = self.target.costs.sums // (self.rows * vectors), self.product.bits
        return floor_power(max(1, min(few, _TURNS, WORD // bits if bits < 8 else 1)))

    @property
    def widths(self) -> tuple[int, ...]:
        """How many vectors a panel may have."""
        most = (v for v in (2, 3, 4, 6, 8) if v <= self.columns)
        return (1, *(v for v in most if fits_registers(self.rows, v, self.target)))

    def choices(self) -> tuple[Knob, ...]:
        """The vectors of a panel, the panels of a chunk."""
        return (
            Knob("vectors", self.widths, "vectors of columns that are multiplied at once"),
            Knob("panels", powers(self.columns, 14), "such panels in a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Chunks are not twice what there is."""
        return knobs.panels < 2 * ceildiv(self.columns, knobs.vectors)

    def estimate(self) -> float:
        """The best for few rows."""
        return 0.0

    def default(self) -> Knobs:
        """As many vectors as hide the latency of a sum, and share few rows' numbers, but few beside
        the matrix; about eight chunks a thread."""
        wanted = max(1, self.target.costs.sums // self.rows, _SHARE.get(self.rows, 1))
        wanted = _BY_BYTES[self.rows] if self.by_bytes else wanted
        some = [v for v in self.widths if v <= wanted or v == 1]
        vectors = min(some, key=lambda v: (ceildiv(self.columns, v) * (v + _SHARED), -v))
        panels = ceildiv(self.columns, vectors)
        each = floor_power(max(1, panels // (8 * self.target.threads)))
        return Knobs(vectors, min(each, max(powers(self.columns, 14))))

    def loops(self, knobs: Knobs) -> Loops:
        """A step multiplies vectors of a panel with an element of each row."""
        p, vectors = self.product, knobs.vectors
        panels = ceildiv(self.columns, vectors)
        tiles = ceildiv(p.m, self.rows)
        panel = p.nbytes * vectors / self.columns
        return Loops(
            chunks=ceildiv(panels, knobs.panels),
            sums=self.rows * vectors,
            loads=self.rows + vectors,
            depth=p.block,
            steps=tiles * panels * p.k,
            work=p.m * self.columns * p.k,
            inner=FLOAT32.nbytes(p.k * self.rows) + panel,
            kept=FLOAT32.nbytes(p.k * self.rows),
            streamed=tiles * panels * panel,
            chunk=knobs.panels * panel,
        )
