"""The sums of one output channel, in tiles of rows below each other: see ``downwards``."""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...emit.tile import RegisterTile, column_parts
from ...tir.indices import Expr, Index
from ..window import even_widths
from .downwards import Downwards
from .form import ConvPlanes, Lines

_MOST_WRITTEN = 16  # taps with code of their own


def sum_down(
    builder: PhaseBuilder, form: ConvPlanes, lines: Lines, most: int, weights: Index
) -> None:
    """Of all places, into scratch; tiles have ``most`` rows at most, ``weights`` is where the
    channel's begin."""
    widths, first = even_widths(lines.rows, most), 0
    with builder.loop(lines.vectors, "across") as across:
        column = builder.let(across * form.lanes)
        for rows in dict.fromkeys(widths):
            count = widths.count(rows)
            with builder.loop(count, "tile") as tile:
                row = builder.let(first + tile * rows)
                to = builder.let(row * lines.between + column)
                _tile(builder, form, lines, rows, (row * lines.pitch + column, to, weights))
            first += count * rows


def _tile(
    builder: PhaseBuilder,
    form: ConvPlanes,
    lines: Lines,
    rows: int,
    at: tuple[Index, Index, Index],
) -> None:
    place, to, weights = at
    down, wide = Downwards(form.down), form.across.kernel
    register = RegisterTile(builder, rows, column_parts(form.lanes, form.lanes))
    apart = lines.turns[1] * lines.high * lines.pitch  # from one remainder of rows to the next
    source = builder[f"in{form.node.args[1]}"]

    def add(seen: Index, step0: Index, kw: Index) -> None:
        column = builder.let(lines.at(seen, kw * form.across.dilation))
        down.add(
            register,
            lambda kh: builder.load(source, step0 + kh * wide + kw),
            lambda turn, line: column + turn * apart + line * lines.pitch,
        )

    with builder.loop(form.depth, "channel") as channel:
        seen = builder.let(place + channel * lines.channel)
        step0 = builder.let(weights + channel * form.taps)
        if form.taps <= _MOST_WRITTEN:
            for kw in range(wide):
                add(seen, step0, kw)
        else:
            with builder.loop(wide, "kw") as kw:
                add(seen, step0, kw)

    def store(row: int, column: Index, value: Expr) -> None:
        builder.store(builder["sums"], to + row * lines.between + column, value)

    register.finish(form.lanes, store)
