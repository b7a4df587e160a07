"""Numbers as steps of a scale, composed of the graph's operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ops.quantization import is_step

from ..graph.emitter import Emitter
from .narrow import saturated

Spread: TypeAlias = Callable[[int], int]
"""Lays a scale or a zero point along what it belongs to."""


def quantize(
    t: Emitter, x: int, scale: int, zero: int | None, spread: Spread, dtype: str, precision: str
) -> int:
    """In float32, the quotient rounded to ``precision``; NaN becomes the lowest whole number, as in
    ONNX Runtime. What ``dtype`` does not hold becomes the number that is nearest."""
    scale = spread(t.cast(t.cast(scale, precision), "float32"))
    y = t.emit("divide", t.cast(t.cast(x, precision), "float32"), scale)
    y = t.cast(t.cast(y, precision), "float32")
    element = DTYPES[dtype]
    if element.is_float:
        return saturated(t, y, dtype)
    return rounded(t, y, None if zero is None else spread(zero), dtype)


def rounded(t: Emitter, x: int, zero: int | None, dtype: str) -> int:
    """Numbers in float32 rounded half to even, and the zero point, as whole numbers; saturates."""
    if is_step(dtype):
        return t.emit("quantize", x, t.number(0, dtype) if zero is None else t.cast(zero, dtype))
    y = t.emit("round", x)
    if zero is not None:
        y = t.emit("add", y, t.cast(zero, "float32"))
    low, high = (t.literal(end, y) for end in DTYPES[dtype].limits)
    y = t.emit("where", t.emit("greater", y, low), y, low)
    return t.cast(t.emit("where", t.emit("less", y, high), y, high), dtype)


def dequantize(t: Emitter, x: int, scale: int, zero: int | None, spread: Spread, dtype: str) -> int:
    """In float32; floats have no zero point but zero."""
    if is_step(t.dtype(x)):
        point = t.number(0, t.dtype(x)) if zero is None else spread(zero)
        scale = spread(t.cast(scale, "float32"))
        return t.cast(t.emit("dequantize", x, point, scale), dtype)
    if t.type(x).element.is_float:
        centred = t.cast(x, "float32")
    else:
        centred = t.cast(x, "int32")
        if zero is not None:
            centred = t.emit("subtract", centred, spread(t.cast(zero, "int32")))
        centred = t.cast(centred, "float32")
    return t.cast(t.emit("multiply", centred, spread(t.cast(scale, "float32"))), dtype)


def along(t: Emitter, vector: int, x: int, axis: int) -> int:
    """A scalar, or a vector laid along one axis of ``x``; raises where it does not fit."""
    size, rank = t.type(vector).size, len(t.shape(x))
    if size > 1 and (not -rank <= axis < rank or t.shape(vector) != (t.shape(x)[axis],)):
        raise t.unsupported(
            f"a scale of the shape {list(t.shape(vector))} along axis {axis} of {list(t.shape(x))}"
        )
    shape = [1] * rank
    if size > 1:
        shape[axis % rank] = size
    return t.reshape(vector, shape if rank else ())


def in_blocks(t: Emitter, scale: int, x: int, axis: int, block: int) -> int:
    """A scale for each ``block`` neighbours along an axis of ``x``, repeated for each of them."""
    shape, found = t.shape(x), t.shape(scale)
    wanted = tuple(-(-d // block) if i == axis else d for i, d in enumerate(shape))
    if found != wanted:
        raise t.unsupported(
            f"a scale of the shape {list(found)} in blocks of {block} along axis {axis} of "
            f"{list(shape)}"
        )
    block = min(block, shape[axis])
    split = (*found[: axis + 1], 1, *found[axis + 1 :])
    repeated = (*found[: axis + 1], block, *found[axis + 1 :])
    whole = (*found[:axis], found[axis] * block, *found[axis + 1 :])
    spread = t.reshape(t.broadcast(t.reshape(scale, split), repeated), whole)
    return t.slice(spread, [0] * len(shape), shape, [1] * len(shape))
