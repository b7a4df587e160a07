"""Where products as dot products fit, the knobs of their kernels, and their loop nests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD
from ...ir.dtype import FLOAT32
from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import Abilities, around
from ..form import Form
from ..gemm.form import Product, product
from ..loops import Loops
from ..powers import floor_power, powers

_ROWS = 2  # by how many times fewer than lanes rows of A must be
_LEAST_LANES = 4
_DEEP = 2  # vectors of the depth to a row, from which packing B is slower
_SUMS = 4  # hide the latency of one
_AT_ONCE = 4  # streams give what memory has; more give no more


class Knobs(NamedTuple):
    """See ``Dots.choices``."""

    columns: int
    groups: int


@dataclass(frozen=True)
class Dots(Form[Knobs]):
    """A float32 product of few rows with an elementwise epilogue; B is read as it lies."""

    product: Product

    name = "dots"
    version = 2
    knobs_type = Knobs
    follows = True
    anchors = around(matmul=Abilities(writes_apart=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Dots | None:
        """Of fixed sizes, whose columns of B are whole vectors."""
        p = product(workload)
        if p is None or workload.nodes[0].op != "matmul" or not p.transpose_b:
            return None
        if any(isinstance(n, Size) for n in (p.m, p.n, p.k, *p.batch)) or 0 in (p.m, p.n, p.k):
            return None
        form = cls(workload, target, p)
        few = p.m * _ROWS <= target.lanes(FLOAT32) and p.micro == FLOAT32_MULTIPLY_ADD
        return form if few and form.wide >= _LEAST_LANES else None

    @property
    def wide(self) -> int:
        """Lanes along the depth: so many that none is left, and as many columns at a time."""
        return math.gcd(self.product.k, self.lanes)

    @property
    def all_groups(self) -> int:
        """Groups of as many columns as lanes."""
        return ceildiv(self.product.n, self.wide)

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many groups a chunk may have."""
        return powers(self.all_groups, 14)

    def rows_at_once(self, knobs: Knobs) -> int:
        """Rows of A that share what is loaded of B: two, where registers hold their sums."""
        return 2 if 2 * knobs.columns + 3 <= self.target.vector_registers else 1

    @property
    def parts(self) -> int:
        """Vectors of the depth in a step."""
        return math.gcd(self.product.k // self.wide, _SUMS)

    def turns(self, columns: int) -> int:
        """Sums of so many columns each, of which every part of a step takes the next."""
        return min(self.parts, _SUMS // min(columns, _SUMS))

    def choices(self) -> tuple[Knob, ...]:
        """The columns that are read at once, the groups of a chunk."""
        at_once = tuple(n for n in (1, 2, 4, 8) if n <= self.all_groups)
        return (
            Knob("columns", at_once, "columns of B that are read at once, of as many groups"),
            Knob("groups", self.blocks, "vectors of results in a chunk"),
        )

    def estimate(self) -> float:
        """The best where B would be packed while the kernel runs, for so few rows: of each row
        and column lanes are added up, which takes as long as some vectors of the depth."""
        p = self.product
        deep = self.wide == self.lanes and p.k >= _DEEP * p.m * self.lanes
        return 0.0 if p.staged and (p.m == 1 or deep) else 1.0

    def default(self) -> Knobs:
        """Four columns, whose sums hide the latency of one. About eight chunks a thread."""
        wanted = 8 * self.target.threads
        groups = floor_power(max(1, self.all_groups * math.prod(self.product.batch) // wanted))
        groups = min(groups, max(self.blocks))
        return Knobs(min(_AT_ONCE, groups), groups)

    def loops(self, knobs: Knobs) -> Loops:
        """A step multiplies vectors of some columns with one of A."""
        p, columns, groups = self.product, knobs.columns, knobs.groups
        batch = math.prod(p.batch)
        vectors = batch * p.m * self.all_groups * self.wide * p.k // self.wide
        read = FLOAT32.nbytes(self.wide * p.k)  # by a group
        return Loops(
            chunks=batch * ceildiv(self.all_groups, groups),
            sums=np.minimum(columns * self.parts, np.maximum(columns, _SUMS)),
            loads=columns + 1,
            depth=p.k // self.wide,
            steps=vectors // columns,
            work=vectors,
            inner=FLOAT32.nbytes((columns + 1) * p.k),
            kept=FLOAT32.nbytes(p.k),
            streamed=batch * self.all_groups * read,
            chunk=groups * read,
        )
