"""Whole numbers of few bits as steps of a scale, and floats as the nearest of them.

A model's pairs of quantisation become these two, so that a tensor may stay narrow in memory: each
kernel widens what it reads, and rounds what it writes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.dtype import DTYPES, DType
from ..ir.workload import Node
from ..tvm_late import tirx
from .operator import Array, Elementwise, Expr, Let

# Floats of this size and a third more are a whole number apart, so that adding a smaller one rounds
# it half to even.
UNIT = 1.5 * 2.0**23
UNIT_BITS = 0x4B400000


def _quantize(node: Node, x: Array, zero: Array) -> Array:
    low, high = node.out.element.limits
    with np.errstate(all="ignore"):
        y = np.rint(x) + zero.astype(np.float32)
    y = np.where(y > low, y, np.float32(low))  # NaN becomes the lowest
    return np.where(y < high, y, np.float32(high)).astype(node.out.dtype)


def _emit_quantize(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    """The low bits of the sum."""
    x, zero = args
    bits = let(tirx.reinterpret("int32", _with_unit(node.out.element, x, zero, let)))
    return tirx.Cast(node.out.dtype, bits - (UNIT_BITS - tirx.Cast("int32", zero)))


def emit_returned(element: DType, x: Expr, zero: Expr, scale: Expr, let: Let) -> Expr:
    """What comes back of ``x`` after it was quantised to this type: it never leaves the floats."""
    limited = _limited(element, x, zero, let)
    rounded = tirx.call_llvm_pure_intrin("float32", "llvm.roundeven", limited)
    # Whole numbers have no zero with a sign, which a sum with 0 takes away.
    none = tirx.const(0, "float32")
    return tirx.call_llvm_pure_intrin("float32", "llvm.fmuladd", rounded, scale, none)


def _with_unit(element: DType, x: Expr, zero: Expr, let: Let) -> Expr:
    """``UNIT`` added, after limits: the sum's low bits are the rounded number's."""
    return _limited(element, x, zero, let) + tirx.const(UNIT, "float32")


def _limited(element: DType, x: Expr, zero: Expr, let: Let) -> Expr:
    """Within what the type holds, less the zero point; NaN is the lowest."""
    low, high = (_less(end, zero) for end in element.limits)
    x = let(x)
    x = let(tirx.Select(x > low, x, low))
    return tirx.Select(x < high, x, high)


def _less(end: int, zero: Expr) -> Expr:
    """A limit less the zero point, as a float."""
    if isinstance(zero, tirx.IntImm):
        return tirx.const(float(end - int(zero.value)), "float32")
    return tirx.Cast("float32", end - tirx.Cast("int32", zero))


def _dequantize(node: Node, x: Array, zero: Array, scale: Array) -> Array:
    centred = x.astype(np.int32) - zero.astype(np.int32)
    with np.errstate(all="ignore"):
        return np.asarray(centred.astype(np.float32) * scale)


def _emit_dequantize(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    x, zero, scale = args
    centred = tirx.Cast("int32", x)
    if not _is_zero(zero):
        centred = centred - tirx.Cast("int32", zero)
    return tirx.Cast("float32", centred) * scale


def _is_zero(zero: Expr) -> bool:
    return isinstance(zero, tirx.IntImm) and zero.value == 0


def is_step(dtype: str) -> bool:
    """Whether numbers of this type may be quantised ones of the graph's operators."""
    element = DTYPES[dtype]
    return element.is_whole and not element.is_narrow and element.bits <= 16


OPERATORS = (
    # x float32, zero of the result's type, of 8 or 16 bits: x rounded half to even, plus zero; what
    # the type does not hold becomes the nearest number that it does, NaN the lowest
    Elementwise("quantize", 2, _quantize, emit=_emit_quantize, is_costly=True),
    # x of 8 or 16 bits, zero of any such type, scale float32: (x - zero) * scale in float32
    Elementwise("dequantize", 3, _dequantize, emit=_emit_dequantize),
)
