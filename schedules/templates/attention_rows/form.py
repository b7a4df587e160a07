"""Where attention by rows fits, its knobs, and which are chosen without measuring."""

from __future__ import annotations

import math
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
from ..form import Form
from ..loops import Loops

_ROWS = 4  # by how many times fewer than lanes they must be: others are lanes themselves


class Knobs(NamedTuple):
    """See ``RowAttention.choices``."""

    columns: int
    keys: int


@dataclass(frozen=True)
class RowAttention(Form[Knobs]):
    """An attention node alone, whose rows would leave most lanes idle."""

    attention: Attention

    name = "attention_rows"
    version = 1
    knobs_type = Knobs
    follows = True
    anchors = around(attention=Abilities(epilogue=False))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> RowAttention | None:
        """With nothing before or after it, and few rows."""
        node = workload.nodes[0]
        if len(workload.nodes) != 1 or node.op != "attention":
            return None
        form = form_of(node, [workload.tensor(a) for a in node.args])
        if form is None or isinstance(form.rows, Size):
            return None
        few = form.rows * _ROWS <= target.lanes(FLOAT32)
        return cls(workload, target, form) if few else None

    @property
    def wide(self) -> int:
        """Lanes along the depth: so many that no column is left, and as many keys at a time."""
        return math.gcd(self.attention.depth, self.lanes)

    @property
    def parts(self) -> int:
        """Vectors that cover a row of values."""
        return ceildiv(self.attention.width, self.lanes)

    @property
    def columns(self) -> tuple[int, ...]:
        """How many vectors of a value a register tile may have."""
        fit = (n for n in (1, 2, 4, 8, 16) if fits_registers(1, n, self.target))
        return tuple(n for n in fit if n < 2 * self.parts)

    def choices(self) -> tuple[Knob, ...]:
        """The register tile of the weighted sum."""
        return (
            Knob("columns", self.columns, "vectors of values that are summed at once"),
            Knob("keys", (1, 2, 4, 8), "keys whose values are summed apart"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers."""
        return fits_registers(knobs.keys, knobs.columns, self.target)

    def default(self) -> Knobs:
        """All columns if they fit, with eight sums, which hide the latency of each."""
        columns = min(max(self.columns), 1 << (self.parts - 1).bit_length())
        fit = [n for n in (1, 2, 4, 8) if n * columns <= 8 and self.fits(Knobs(columns, n))]
        return Knobs(columns, max(fit, default=1))

    def loops(self, knobs: Knobs) -> Loops:
        """The weighted sum; scores are ``other``."""
        node = self.attention
        units = node.batch * node.heads * node.rows
        read = FLOAT32.nbytes(node.keys * (node.depth + node.width))
        steps = ceildiv(node.keys, knobs.keys) * ceildiv(self.parts, knobs.columns)
        return Loops(
            chunks=units,
            sums=knobs.keys * knobs.columns,
            loads=knobs.keys * (knobs.columns + 1),
            depth=ceildiv(node.keys, knobs.keys),
            steps=units * steps,
            work=units * node.keys * self.parts,
            inner=read,
            streamed=units * read,
            chunk=read + FLOAT32.nbytes(node.keys),
            other=units * node.keys * (1 + node.depth),
        )
