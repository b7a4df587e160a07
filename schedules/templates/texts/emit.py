"""Texts one after the other; a chunk is some of them.

``grain``: bytes of the first input in a chunk, whole texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...emit.builder import PhaseBuilder, Slot
from ...ir.size import at_least
from ...ir.workload import Tensor
from ...tir.indices import Index, ceildiv, extent
from ..by_grain import Grain
from ..form import Emitted
from ..slots import phase_builder
from . import lookup, reading, splitting, tokens, writing
from .decimal import ROOM
from .form import Texts

_OF_ONE: Mapping[str, Callable[[PhaseBuilder, Texts, Index], None]] = {
    "text_clean": writing.clean,
    "text_join": writing.join,
    "text_map": writing.map_letters,
    "text_place": lookup.place,
    "text_match": lookup.match,
    "text_pieces": splitting.pieces,
    "text_count": splitting.count,
    "text_read": reading.number,
    "text_write": writing.number,
    "text_find": tokens.find,
    "text_cut": tokens.cut,
    "text_long": tokens.long,
    "text_tokens": tokens.tokens,
    "text_hash": tokens.hashed,
}


def kernel(form: Texts, knobs: Grain) -> Emitted:
    """One phase."""
    group = at_least(knobs.grain // form.width, 1)
    reads = form.node.op == "text_read"
    own = [Slot(None, "digits", Tensor((ROOM,), "uint8"))] if reads else []
    builder = phase_builder(form, {}, own)
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * group)
        with builder.loop(extent(first, group, form.texts), "text", first) as text:
            _OF_ONE[form.node.op](builder, form, text)
    phase = builder.finish(ceildiv(form.texts, group))
    return Emitted((phase,), scratch=ROOM if reads else 0)
