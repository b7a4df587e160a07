"""Storing a register tile's rows as quantised numbers of 8 bits.

Two instructions narrow four vectors of whole numbers to one, and limit what they narrow
(``packssdw``, ``packuswb``; Intel's SDM, volume 2). They do so in each 128 bits by themselves,
which one permutation of groups of four puts in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ir.dtype import DTYPES, INT32
from ..ir.workload import Node
from ..tir.indices import Expr, Index
from ..tir.point import Point
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .evaluator import Evaluator
from .tables import LANES
from .tile import RegisterTile, vector_index

# Beyond what 8 bits less a zero point hold, and within what conversions are right for.
_LIMIT = 32767.0
_NEAREST: Mapping[int, str] = {  # by lanes
    4: "llvm.x86.sse2.cvtps2dq",
    8: "llvm.x86.avx.cvt.ps2dq.256",
    16: "llvm.x86.avx512.mask.cvtps2dq.512",
}
_WORDS: Mapping[int, str] = {
    4: "llvm.x86.sse2.packssdw.128",
    8: "llvm.x86.avx2.packssdw",
    16: "llvm.x86.avx512.packssdw.512",
}
_BYTES: Mapping[tuple[str, int], str] = {
    ("uint8", 4): "llvm.x86.sse2.packuswb.128",
    ("uint8", 8): "llvm.x86.avx2.packuswb",
    ("uint8", 16): "llvm.x86.avx512.packuswb.512",
    ("int8", 4): "llvm.x86.sse2.packsswb.128",
    ("int8", 8): "llvm.x86.avx2.packsswb",
    ("int8", 16): "llvm.x86.avx512.packsswb.512",
}
_GROUP = 4  # lanes of 128 bits


def store_rows(
    register: RegisterTile,
    evaluator: Evaluator,
    columns: int,
    point: Callable[[Index, Index], Point],
    lanes: int,
) -> None:
    """Write what the workload makes of a tile's first ``columns``; ``point`` says where a row's
    column is. ``lanes`` are those of a vector of sums."""
    builder = register.builder
    if not _quantizes(evaluator):
        register.finish_rows(
            columns,
            lambda row, column, value: evaluator.store(point(row, column), value),
            4 * lanes,
        )
        return
    node = _computed(evaluator)
    x, zero = node.args
    for row, sums, offset, width in register.row_pieces(columns, 4 * lanes):
        if width < lanes:
            with builder.vector(width) as lane:
                value = builder.load(sums, offset + lane)
                evaluator.store(point(row, offset + lane), value)
            continue
        floats = builder.local(width)
        with builder.vector(width) as lane:
            value = builder.load(sums, offset + lane)
            found = builder.keep(evaluator.finish(point(row, offset + lane), value, x))
            limit = tirx.const(_LIMIT, "float32")
            builder.store(floats, lane, tirx.Select(limit < found, limit, found))  # NaN stays
        vectors = [
            builder.load(floats, vector_index(first, lanes)) for first in range(0, width, lanes)
        ]
        nothing = evaluator.element(zero, Point(()))
        place = point(row, offset).position(builder.pitch("out"))
        stored = _narrowed(builder, vectors, nothing, node.out.dtype, lanes)
        if evaluator.looks_up:
            stored = _looked_up(evaluator, stored, node.out.dtype, width)
        builder.store(builder["out"], vector_index(place, width), stored)


def _computed(evaluator: Evaluator) -> Node:
    """The last node that is computed."""
    workload = evaluator.workload
    return workload.nodes[evaluator.computed - len(workload.inputs)]


def _quantizes(evaluator: Evaluator) -> bool:
    """Whether the last node rounds to 8 bits with one zero point."""
    node = _computed(evaluator)
    return (
        node.op == "quantize"
        and node.out.element.bits == DTYPES["int8"].bits
        and evaluator.workload.tensor(node.args[1]).size == 1
    )


def _looked_up(evaluator: Evaluator, stored: Expr, dtype: str, width: int) -> Expr:
    """What a table has for so many numbers."""
    builder = evaluator.builder
    old = builder.local(LANES, dtype)
    new = builder.local(LANES, evaluator.workload.output.dtype)
    builder.store(old, vector_index(0, width), stored)
    evaluator.look_up(old, new, width)
    return builder.load(new, vector_index(0, width))


def _narrowed(
    builder: PhaseBuilder, floats: Sequence[Expr], zero: Expr, dtype: str, lanes: int
) -> Expr:
    """One, two or four vectors, rounded half to even, and the zero point added."""
    whole = [builder.let(_nearest(x, lanes)) for x in floats]
    pairs = zip(whole[::2], whole[1::2] or whole, strict=True)
    words = [_pack(_WORDS[lanes], f"int16x{2 * lanes}", *pair) for pair in pairs]
    if not (isinstance(zero, tirx.IntImm) and zero.value == 0):
        more = tirx.Broadcast(tirx.Cast("int16", zero), 2 * lanes)
        words = [_pack("llvm.sadd.sat", f"int16x{2 * lanes}", each, more) for each in words]
    narrow = _pack(_BYTES[dtype, lanes], f"{dtype}x{4 * lanes}", words[0], words[-1])
    groups = lanes // _GROUP  # of each vector, which lie _GROUP apart
    order = [group * _GROUP + i for i in range(len(floats)) for group in range(groups)]
    if order == list(range(lanes)):
        return narrow
    fours = builder.let(tirx.call_intrin(f"{INT32.name}x{lanes}", "tirx.reinterpret", narrow))
    ordered = tirx.Shuffle([fours], [tirx.const(i, "int32") for i in order])
    return tirx.call_intrin(f"{dtype}x{_GROUP * len(order)}", "tirx.reinterpret", ordered)


def _nearest(x: Expr, lanes: int) -> Expr:
    """The nearest whole numbers, the even one of two; the lowest one of NaN and what is below."""
    wide = f"int32x{lanes}"
    more: list[Any] = []
    if lanes == 16:  # what masked lanes are, the mask, and rounding as is set
        nothing = tirx.Broadcast(tirx.const(0, "int32"), lanes)
        more = [nothing, tirx.const(-1, "int16"), tirx.const(4, "int32")]
    return tirx.call_llvm_pure_intrin(wide, _NEAREST[lanes], x, *more)


def _pack(name: str, dtype: str, a: Expr, b: Expr) -> Expr:
    return tirx.call_llvm_pure_intrin(dtype, name, a, b)
