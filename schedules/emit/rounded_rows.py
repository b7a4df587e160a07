"""Storing a register tile's rows as float32, or rounded to bfloat16 by the instruction for it.

That makes 0 of what is below float32's normal numbers, as products of bfloat16 do when they read
it; the last columns of a tile that are not a whole vector keep such numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.dtype import DTYPES, FLOAT32
from ..tir.indices import Expr, Index, tail
from ..tir.point import Point
from .bfloat16 import LANES, narrowed
from .evaluator import Evaluator
from .tile import RegisterTile, vector_index

_BFLOAT16 = DTYPES["bfloat16"]


def store_rows(
    register: RegisterTile,
    evaluator: Evaluator,
    columns: int,
    point: Callable[[Index, Index], Point],
) -> None:
    """Write what the workload makes of a tile's first ``columns``; ``point`` says where a row's
    column is."""
    workload = evaluator.workload
    last = workload.nodes[-1]
    rounds = (
        last.op == "cast"
        and last.out.element == _BFLOAT16
        and workload.tensor(last.args[0]).element == FLOAT32
    )
    if not rounds:

        def store(row: Index, column: Index, value: Expr) -> None:
            evaluator.store(point(row, column), value)

        register.finish(columns, store)
        return
    builder = register.builder
    for row in register.each_row():
        for part, (first, lanes) in enumerate(register.parts):
            begin = first - register.parts[0][0]
            for offset, width in tail(0, min(lanes, columns - begin), lanes):
                whole = width == LANES
                floats = builder.local(width) if whole else None
                with builder.vector(width) as lane:
                    at = point(row, first + offset + lane)
                    value = register.element(row, offset + lane, part)
                    if whole:
                        builder.store(floats, lane, evaluator.finish(at, value, last.args[0]))
                    else:
                        evaluator.store(at, value)
                if whole:
                    place = point(row, first + offset).position(builder.pitch("out"))
                    bits = narrowed(builder, builder.load(floats, vector_index(0, width)), width)
                    builder.store(builder["out"], vector_index(place, width), bits)
