"""Functions in LLVM's language for blocks of comparisons of bytes, which kernels have in line."""

from __future__ import annotations

_PREFIX = "luthier_trees"
_REAL = {"float32": "float", "float64": "double"}
_BYTES = "<64 x i8>"


def choose(vectors: int) -> str:
    """Source of ``luthier_trees_choose``: for each byte of the last argument the one with this
    number of those before it, which are 1, 2 or 4 vectors."""
    one = f"{_BYTES} @llvm.x86.avx512.permvar.qi.512({_BYTES}"
    two = f"{_BYTES} @llvm.x86.avx512.vpermi2var.qi.512({_BYTES}"
    chosen = {
        1: f"%y = call {one} %x0, {_BYTES} %w)",
        2: f"%y = call {two} %x0, {_BYTES} %w, {_BYTES} %x1)",
        4: f"""%low = call {two} %x0, {_BYTES} %w, {_BYTES} %x1)
  %high = call {two} %x2, {_BYTES} %w, {_BYTES} %x3)
  %upper = icmp slt {_BYTES} %w, zeroinitializer
  %y = select <64 x i1> %upper, {_BYTES} %high, {_BYTES} %low""",
    }
    return f"""
declare {one}, {_BYTES})
declare {two}, {_BYTES}, {_BYTES})
define {_BYTES} @{_PREFIX}_choose_{vectors}({_row(vectors)}, {_BYTES} %w) alwaysinline {{
  {chosen[vectors]}
  ret {_BYTES} %y
}}
"""


def end_of_block(levels: int, vectors: int) -> tuple[str, str]:
    """Name and source of what gives the end of a block, an int32 from 0, for a row of so many
    vectors of bytes, which come first, the block's columns and its codes.

    All nodes are compared at once. Then each level is a bit of these, which ``bt`` carries into the
    place of the next node.
    """
    name, nodes = f"{_PREFIX}_end_{levels}_{vectors}", 1 << levels
    level = "\\0A\\09btq ${0:q}, $1\\0A\\09adcl ${0:k}, ${0:k}"
    wide = ", ".join(f"i32 {i}" if i < nodes else "i32 poison" for i in range(64))
    narrow = ", ".join(f"i32 {i}" for i in range(nodes))
    of_nodes = f"<{nodes} x i8>"
    return (
        name,
        f"""
{choose(vectors)}
define i32 @{name}({_row(vectors)}, {of_nodes} %column, {of_nodes} %code) alwaysinline {{
  %w = shufflevector {of_nodes} %column, {of_nodes} poison, <64 x i32> <{wide}>
  %g = call {_BYTES} @{_PREFIX}_choose_{vectors}({_row(vectors)}, {_BYTES} %w)
  %n = shufflevector {_BYTES} %g, {_BYTES} poison, <{nodes} x i32> <{narrow}>
  %c = icmp ule {of_nodes} %n, %code
  %b = bitcast <{nodes} x i1> %c to i{nodes}
  %m = {"add i64 %b, 0" if levels == 6 else f"zext i{nodes} %b to i64"}
  %p = call i64 asm "movl $$1, ${{0:k}}{level * levels}", "=&r,r,~{{flags}}"(i64 %m)
  %q = trunc i64 %p to i32
  %e = sub i32 %q, {nodes}
  ret i32 %e
}}
""",
    )


def not_at_most(dtype: str) -> tuple[str, str]:
    """Name and source of what counts, as an int32, the first 15 of 16 thresholds that a number, the
    first argument, is not at most."""
    name, real = f"{_PREFIX}_above_{dtype}", _REAL[dtype]
    vector = f"<16 x {real}>"
    return (
        name,
        f"""
declare i16 @llvm.ctpop.i16(i16)
define i32 @{name}({real} %x, {vector} %thresholds) alwaysinline {{
  %a = insertelement {vector} poison, {real} %x, i32 0
  %b = shufflevector {vector} %a, {vector} poison, <16 x i32> zeroinitializer
  %c = fcmp ugt {vector} %b, %thresholds
  %m = bitcast <16 x i1> %c to i16
  %n = and i16 %m, 32767
  %p = call i16 @llvm.ctpop.i16(i16 %n)
  %r = zext i16 %p to i32
  ret i32 %r
}}
""",
    )


def by_itself(dtype: str) -> tuple[str, str]:
    """Name and source of what gives a number back, which LLVM then leaves out of vectors: it would
    gather what ends of blocks hold."""
    name, real = f"{_PREFIX}_by_itself_{dtype}", _REAL[dtype]
    return (
        name,
        f"""
define {real} @{name}({real} %x) alwaysinline {{
  %y = call {real} asm "", "=v,0"({real} %x)
  ret {real} %y
}}
""",
    )


def _row(vectors: int) -> str:
    return ", ".join(f"{_BYTES} %x{i}" for i in range(vectors))
