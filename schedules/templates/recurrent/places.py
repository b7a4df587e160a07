"""Where a recurrent layer's numbers lie."""

from __future__ import annotations

from dataclasses import dataclass

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr, Index
from .form import RecurrentLayer


@dataclass(frozen=True)
class Rows:
    """Rows of the batch: ``count`` from ``first`` on, in one direction."""

    direction: Index
    first: Index
    count: Index


@dataclass(frozen=True)
class Step:
    """Pass ``number`` of what is step ``step`` in order and is at ``time`` in the sequence, from
    which the next one is ``onward``: 1, or -1."""

    rows: Rows
    number: int
    step: Index
    time: Index
    onward: Index


@dataclass(frozen=True)
class Places:
    """Indices of first units; rows are counted from those of the chunk."""

    builder: PhaseBuilder
    form: RecurrentLayer

    def state(self, rows: Rows, row: Index, plane: Index) -> Index:
        """In the state."""
        return self._row(rows, row) * self.form.row_pitch + plane * self.form.pitch

    def initial(self, rows: Rows, row: Index) -> Index:
        """In an operand of the shape [D, batch, H]."""
        return self._row(rows, row) * self.form.layer.hidden

    def out(self, rows: Rows, row: Index, place: Index) -> Index:
        """In row ``place`` of the result."""
        layer = self.form.layer
        rows_of_place = layer.directions * layer.batch
        return (place * rows_of_place + self._row(rows, row)) * layer.hidden

    def given(self, step: Step, row: Index, after: Index = 0) -> Index:
        """In the input's products, of the first gate; ``after`` times later."""
        layer = self.form.layer
        place = (step.time + after) * layer.batch + step.rows.first + row
        place = place * layer.directions + step.rows.direction
        return place * (layer.gates * layer.hidden)

    def operand(self, name: str) -> Expr:
        """The buffer of an operand."""
        return self.builder[f"in{self.form.place(name)}"]

    def _row(self, rows: Rows, row: Index) -> Index:
        return rows.direction * self.form.layer.batch + rows.first + row
