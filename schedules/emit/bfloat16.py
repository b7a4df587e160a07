"""Products of bfloat16 with sums in float32: AVX512-BF16's ``vdpbf16ps``, AMX's ``tdpbf16ps``.

To each lane's sum the former adds two products of neighbours along the depth (Intel's SDM, volume
2): they are exact, sums are rounded to nearest, and what is below float32's normal numbers is 0.
TVM's code generator has no bfloat16, so memory holds its bits as whole numbers of 16 bits, and
functions in LLVM's language, which it inlines, hold the instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.dtype import DTYPES, FLOAT32
from ..ir.kernel import Array
from ..target.target import Target
from ..tir.elements import dtype_of
from ..tir.indices import Expr, Index, divide
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .dot_product import DotProduct
from .dot_products import Layout
from .lanes import Rows, load_columns
from .tile import RegisterTile, splat, vector_index
from .whole_tiles import TileProduct, step_groups

BITS = DTYPES["uint16"]
_FEATURE = "avx512_bf16"
LANES = 16  # of sums
_LATENCY = 6.0  # cycles of Zen 4's until a sum is ready for the next
_SHARED = 3  # registers of a tile for what all lanes share
SOURCE = """
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
declare <32 x bfloat> @llvm.x86.avx512bf16.cvtne2ps2bf16.512(<16 x float>, <16 x float>)
declare <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512(<16 x float>)

define <16 x float> @luthier_bf16_dot(<16 x float> %s, <16 x i32> %a, <32 x i16> %b) alwaysinline {
  %x = bitcast <16 x i32> %a to <32 x bfloat>
  %y = bitcast <32 x i16> %b to <32 x bfloat>
  %r = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(
    <16 x float> %s, <32 x bfloat> %x, <32 x bfloat> %y)
  ret <16 x float> %r
}

define <32 x i16> @luthier_bf16_two(<16 x float> %low, <16 x float> %high) alwaysinline {
  %x = call <32 x bfloat> @llvm.x86.avx512bf16.cvtne2ps2bf16.512(
    <16 x float> %high, <16 x float> %low)
  %r = bitcast <32 x bfloat> %x to <32 x i16>
  ret <32 x i16> %r
}

define <16 x i16> @luthier_bf16_one(<16 x float> %v) alwaysinline {
  %x = call <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512(<16 x float> %v)
  %r = bitcast <16 x bfloat> %x to <16 x i16>
  ret <16 x i16> %r
}

define i16 @luthier_bf16_scalar(float %v) alwaysinline {
  %x = insertelement <16 x float> zeroinitializer, float %v, i32 0
  %y = call <16 x i16> @luthier_bf16_one(<16 x float> %x)
  %r = extractelement <16 x i16> %y, i32 0
  ret i16 %r
}
"""


def multiplies_bfloat16(target: Target) -> bool:
    """Whether there is the instruction, at more than the pace of float32's."""
    return rounds_bfloat16(target) and 2 * target.costs.bfloat16 > 1


def rounds_bfloat16(target: Target) -> bool:
    """Whether there are instructions that round to it."""
    return _FEATURE in target.features


def rounded(array: Array) -> Array:
    """The bits of the nearest bfloat16, of two the even one."""
    return np.asarray(array, np.float32).astype(DTYPES["bfloat16"].numpy).view(np.uint16)


class _Rounding(DotProduct):
    """Operands are bits of bfloat16."""

    def packed(self, matrix: Array, width: int) -> Array:
        """As of whole numbers, of floats that are rounded first."""
        return super().packed(rounded(matrix), width)


class Bfloat16Tiles(_Rounding, TileProduct):
    """Of whole tiles."""


class Bfloat16Pairs(_Rounding):
    """Two steps at once."""

    def most_rows(self, vectors: int, target: Target) -> int:
        """Beside sums, a vector for each part, and some for what all lanes share."""
        return tile_rows(vectors, target)

    def cycles(self, rows: int, vectors: int, target: Target) -> float:
        """As measured on Zen 5: sums wait for those before them, and loads that begin together are
        a little late."""
        costs, loads = target.costs, rows + vectors
        products = rows * vectors / (costs.multiply_adds * costs.bfloat16)
        return max(products, loads / 1.8, costs.latency, _LATENCY) + loads / 50

    def step(
        self,
        register: RegisterTile,
        shared: tuple[Any, Index, Index],
        own: tuple[Any, Index],
    ) -> None:
        """As of whole numbers."""
        register.builder.define(SOURCE)
        super().step(register, shared, own)


def tile_rows(vectors: int, target: Target) -> int:
    """Rows of a register tile of so many vectors of columns, at most: sums, a vector for each of
    those, and some for what all lanes share."""
    return max(1, (target.vector_registers - _SHARED - vectors) // vectors)


def _dot(total: Expr, shared: Expr, group: Expr) -> Expr:
    return tirx.call_pure_extern("float32x16", "luthier_bf16_dot", total, shared, group)


PAIRS = Bfloat16Pairs(BITS, BITS, 2, _dot, FLOAT32, element=BITS)


def bfloat16_layouts(target: Target) -> tuple[Layout, ...]:
    """How packed numbers may lie where that gains anything: as whole tiles, or in pairs."""
    if not rounds_bfloat16(target):
        return ()
    tiles: tuple[Layout, ...] = ("tiles",) if "amx_bf16" in target.features else ()
    return (*tiles, "words") if multiplies_bfloat16(target) else tiles


def bfloat16_product(layout: Layout, depth: int) -> DotProduct:
    """What multiplies numbers that lie so, as many of them along the depth."""
    if layout == "words":
        return PAIRS
    groups = step_groups(depth, PAIRS.steps)
    own = (BITS, BITS, PAIRS.steps, _dot, FLOAT32)
    return Bfloat16Tiles(*own, element=BITS, groups=groups, name="tdpbf16ps")


def narrowed_pair(builder: PhaseBuilder, low: Expr, high: Expr) -> Expr:
    """The bits of two vectors of 16 floats, one after the other."""
    builder.define(SOURCE)
    return tirx.call_pure_extern("uint16x32", "luthier_bf16_two", low, high)


def narrowed(builder: PhaseBuilder, value: Expr, lanes: int) -> Expr:
    """The bits of a vector of 16 floats, or of one."""
    builder.define(SOURCE)
    name = "luthier_bf16_scalar" if lanes == 1 else "luthier_bf16_one"
    return tirx.call_pure_extern(f"{BITS.name}x{lanes}".removesuffix("x1"), name, value)


def widened(builder: PhaseBuilder, buffer: Any, first: Index, lanes: int) -> Expr:
    """So many neighbours of a buffer of bits, as floats."""
    kind = f"x{lanes}".removesuffix("x1")
    bits = tirx.Cast(f"uint32{kind}", builder.load(buffer, vector_index(first, lanes)))
    high = bits << splat(tirx.const(BITS.bits, "uint32"), lanes)
    return tirx.call_intrin(f"float32{kind}", "tirx.reinterpret", high)


def mixed_pair(builder: PhaseBuilder, low: Expr, high: Expr) -> Expr:
    """Two vectors lane by lane in turns, floats rounded: what the instruction reads second."""
    both = [low, high]
    if dtype_of(low).startswith(FLOAT32.name):
        both = [builder.let(narrowed_pair(builder, low, high))]
    order = [place for lane in range(LANES) for place in (lane, LANES + lane)]
    return tirx.Shuffle(both, [tirx.const(i, "int32") for i in order])


def load_pairs(builder: PhaseBuilder, buffer: Any, first: Index, lanes: int) -> Expr:
    """Pairs of neighbours, the first of which has this number, as that many floats of any value:
    what moves floats moves them."""
    read = builder.load(buffer, vector_index(first * 2, 2 * lanes))
    return tirx.call_intrin(f"float32x{lanes}".removesuffix("x1"), "tirx.reinterpret", read)


def as_bits(pairs: Expr, lanes: int) -> Expr:
    """What ``load_pairs`` read."""
    return tirx.call_intrin(f"{BITS.name}x{2 * lanes}", "tirx.reinterpret", pairs)


def bring_run(
    builder: PhaseBuilder, source: tuple[Any, Index], target: tuple[Any, Index], count: int
) -> None:
    """``count`` neighbours of a buffer as bits in another: floats are rounded, bits copied."""
    if source[0].dtype != BITS.name:
        narrow_run(builder, source, target, count)
        return
    for i in builder.strips(count, 2 * LANES):
        builder.store(target[0], target[1] + i, builder.load(source[0], source[1] + i))


def narrow_run(
    builder: PhaseBuilder, source: tuple[Any, Index], target: tuple[Any, Index], count: int
) -> None:
    """``count`` neighbours of a buffer of floats as bits in another."""
    (old, first), (new, begin) = source, target
    builder.define(SOURCE)

    def vector(at: Index) -> Expr:
        return builder.load(old, vector_index(first + at, LANES))

    def single(at: Index) -> None:
        bits = tirx.call_pure_extern("uint16x16", "luthier_bf16_one", vector(at))
        builder.store(new, vector_index(begin + at, LANES), bits)

    pairs, rest = divmod(count, 2 * LANES)
    if pairs:
        with builder.loop(pairs, "pair") as i:
            at = builder.let(i * (2 * LANES))
            bits = narrowed_pair(builder, vector(at), vector(at + LANES))
            builder.store(new, vector_index(begin + at, 2 * LANES), bits)
    if rest >= LANES:
        single(count - rest)
        rest -= LANES
    if rest and count >= LANES:
        single(count - LANES)  # some of them once more
    elif rest:
        with builder.loop(rest, "rest") as i:
            value = builder.load(old, first + i)
            bits = tirx.call_pure_extern("uint16", "luthier_bf16_scalar", value)
            builder.store(new, begin + i, bits)


def zeros(like: str = FLOAT32.name) -> Expr:
    """A vector of them."""
    return splat(tirx.const(0, like), LANES)


def load_some(builder: PhaseBuilder, buffer: Any, first: Index, count: int) -> Expr:
    """A vector of ``count`` neighbours, and zeros after them."""
    if count == LANES:
        return builder.let(builder.load(buffer, vector_index(first, LANES)))
    held = builder.local(LANES, buffer.dtype)
    builder.store(held, vector_index(0, LANES), zeros(buffer.dtype))
    for lane in range(count):
        builder.store(held, lane, builder.load(buffer, first + lane))
    return builder.load(held, vector_index(0, LANES))


def load_column_pairs(
    builder: PhaseBuilder,
    rows: Rows,
    keep: Callable[[Index, Expr, Expr], None],
    change: Callable[[Expr], Expr] = lambda x: x,
) -> None:
    """Call ``keep(pair, low, high)`` for each two neighbouring columns, once they are changed; the
    last may be alone, beside zeros. Lanes are as ``load_columns`` has them."""
    waiting: list[Expr] = []

    def one(column: Index, vector: Expr) -> None:
        waiting.append(builder.let(change(vector)))
        if len(waiting) == 2:
            keep(divide(column, 2), *waiting)
            waiting.clear()

    load_columns(builder, rows, LANES, one)
    if waiting:
        keep(divide(rows.columns, 2), waiting[0], zeros())
