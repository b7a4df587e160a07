"""What a mask makes of a score."""

from __future__ import annotations

from collections.abc import Callable

from ...emit.builder import PhaseBuilder
from ...ops.attention_form import COVERED, Attention
from ...tir.indices import Expr, Index
from ...tvm_late import tirx


def masked(
    builder: PhaseBuilder,
    form: Attention,
    args: tuple[int, ...],
    score: Expr,
    place: tuple[Index, Index, Index],
    to_row: Callable[[Index], Index],
) -> Expr:
    """The score with the mask added, or replaced by it.

    ``args`` are the node's; ``place`` is (batch, head, key), and ``to_row`` moves an index from the
    first row of a mask that has several to the score's.
    """

    def element(position: int, shape: tuple[int, ...]) -> Expr:
        n, h, s, m = shape
        batch, head, key = place
        at = (0 if n == 1 else batch) * h + (0 if h == 1 else head)
        at = (at * s + (0 if s == 1 else key)) * m
        return builder.load(builder[f"in{args[position]}"], at if m == 1 else to_row(at))

    if form.mask is None:
        return score
    mask = element(3, form.mask)
    if form.cover is None:
        return score + mask
    mask = builder.keep(mask)
    cover = mask if args[3] == args[4] else element(4, form.cover)
    return tirx.Select(cover <= tirx.const(COVERED, "float32"), mask, score + mask)
