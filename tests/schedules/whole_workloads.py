"""Products of whole numbers, and what is made of them, as workloads."""

from __future__ import annotations

import numpy as np
from workloads import Builder, Pads, Pair, Shape, Value, places

from luthier.schedules import Workload


def _rescaled(b: Builder, total: Value, dtype: str) -> Value:
    """Times a number for each column, rounded, within the type; "" is the sum as it is."""
    if not dtype:
        return total
    columns = total.tensor.shape[-1:]
    wide = b.add("cast", total, dtype="float32")
    scaled = b.add("multiply", wide, b.input(columns, constant=True))
    info = np.iinfo(dtype)
    ends = {"min": int(info.min), "max": int(info.max)}
    bounded = b.add("clip", b.add("round", scaled), **ends)
    return b.add("cast", bounded, dtype=dtype)


def _quantised(b: Builder, total: Value, dtype: str, zero: int) -> Value:
    """With a bias, times a number for each column, as a step of this type."""
    columns = total.tensor.shape[-1:]
    biased = b.add("add", total, b.input(columns, "int32", constant=True))
    wide = b.add("cast", biased, dtype="float32")
    scaled = b.add("multiply", wide, b.input(columns, constant=True))
    return b.add("quantize", scaled, b.const(zero, dtype), dtype=dtype)


def whole_matmul(
    a: Shape,
    b: Shape,
    types: tuple[str, str] = ("uint8", "int8"),
    *,
    constant: bool = True,
    to: str = "",
    zero: int | None = None,
) -> Workload:
    """A product, rescaled to a type; with a ``zero`` point, quantised to it."""
    builder = Builder()
    left = builder.input(a, types[0])
    right = builder.input(b, types[1], constant=constant)
    shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    total = builder.add("matmul_integer", left, right, shape=shape, dtype="int32")
    if zero is None:
        _rescaled(builder, total, to)
    else:
        _quantised(builder, total, to, zero)
    return builder.workload


def whole_conv(
    x: Shape,
    out_channels: int,
    kernel: Pair,
    types: tuple[str, str] = ("int16", "int8"),
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
    to: str = "",
    outside: int = 0,
) -> Workload:
    """A convolution, rescaled to a type; ``x`` is (N, H, W, C), ``outside`` what lies around it."""
    b = Builder()
    source = b.input(x, types[0])
    weight = b.input((out_channels, *kernel, x[3] // groups), types[1], constant=True)
    shape = (x[0], *places(x, kernel, strides, pads, dilations), out_channels)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "groups": groups}
    if outside:
        attrs["pad_value"] = outside
    total = b.add("conv2d_integer", source, weight, shape=shape, dtype="int32", **attrs)
    _rescaled(b, total, to)
    return b.workload
