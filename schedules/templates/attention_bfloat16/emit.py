"""Fused attention whose products are of bfloat16, by vectors or by whole tiles."""

from __future__ import annotations

from ..attention.form import Knobs
from ..form import Emitted
from .form import Bfloat16Attention
from .nest import Bfloat16Nest
from .tiled import TiledNest


def kernel(form: Bfloat16Attention, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, head, block of rows)."""
    nest = TiledNest if form.tiled else Bfloat16Nest
    return nest(form, knobs).build()
