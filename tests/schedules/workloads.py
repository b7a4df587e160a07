"""Short ways to write the workloads that the tests use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.workload import Input, Op
from luthier.schedules.ops.forest import Layout
from luthier.schedules.ops.verify import verify

Shape = tuple[int, ...]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Value:
    """An input or a node of a builder."""

    number: int
    tensor: Tensor


class Builder:
    """Collects inputs and nodes in any order."""

    def __init__(self) -> None:
        self._inputs: dict[int, Input] = {}
        self._ops: list[Op] = []

    def _value(self, tensor: Tensor) -> Value:
        return Value(len(self._inputs) + len(self._ops), tensor)

    def input(self, shape: Shape, dtype: str = "float32", constant: bool = False) -> Value:
        value = self._value(Tensor(shape, dtype))
        self._inputs[value.number] = value.tensor, constant
        return value

    def const(self, value: object, dtype: str = "float32") -> Value:
        return self.add("const", shape=(), dtype=dtype, value=value)

    def add(
        self, op: str, *args: Value, shape: Shape | None = None, dtype: str = "", **attrs: object
    ) -> Value:
        """A node; as large as its arguments broadcast, and of the last one's type, if not said."""
        if shape is None:
            shape = np.broadcast_shapes(*(a.tensor.shape for a in args))
        out = Tensor(shape, dtype or args[-1].tensor.dtype)
        value = self._value(out)
        made = node(op, tuple(arg.number for arg in args), out, **attrs)
        self._ops.append(Op(made, value.number))
        return value

    @property
    def workload(self) -> Workload:
        """What the last node needs, as a workload, which is verified."""
        region = Region((), tuple(self._ops), self._ops[-1].defines).pruned()
        inputs = {v: tensor for v, tensor in self._inputs.items() if v in region.free}
        workload = Workload.of(inputs, region.statements)
        verify(workload)
        return workload


Epilogue = Callable[[Builder, Value], Value]


def _bias(b: Builder, x: Value) -> Value:
    return b.add("add", x, b.input(x.tensor.shape[-1:], constant=True))


def _bias_relu(b: Builder, x: Value) -> Value:
    return b.add("relu", _bias(b, x))


def _residual(b: Builder, x: Value) -> Value:
    return b.add("relu", b.add("add", _bias(b, x), b.input(x.tensor.shape)))


def _clip(b: Builder, x: Value) -> Value:
    return b.add("clip", _bias(b, x), min=-0.25, max=0.5)


def _swish(b: Builder, x: Value) -> Value:
    biased = _bias(b, x)
    return b.add("multiply", biased, b.add("sigmoid", biased))


def _gelu(b: Builder, x: Value) -> Value:
    half = b.add("multiply", x, b.const(0.5))
    wave = b.add("erf", b.add("multiply", x, b.const(math.sqrt(0.5))))
    return b.add("multiply", half, b.add("add", wave, b.const(1.0)))


def _scaled(b: Builder, x: Value) -> Value:
    """Factors for each channel and for each image, and a condition for each element."""
    *outer, channels = x.tensor.shape
    per_channel = b.input((1,) * len(outer) + (channels,), constant=True)
    per_image = b.input((outer[0], *(1 for _ in outer)))
    scaled = b.add("multiply", b.add("multiply", x, per_channel), per_image)
    keep = b.input(x.tensor.shape, "bool")
    return b.add("where", keep, scaled, b.add("negative", x))


EPILOGUES: dict[str, Epilogue] = {
    "nothing": lambda b, x: x,
    "bias": _bias,
    "bias_relu": _bias_relu,
    "residual": _residual,
    "clip": _clip,
    "swish": _swish,
    "gelu": _gelu,
    "scaled": _scaled,
}


def window(size: int, kernel: int, stride: int, pads: int, dilation: int) -> int:
    """How many outputs a sliding window has along an axis; ``pads`` are those of both ends."""
    return (size + pads - (kernel - 1) * dilation - 1) // stride + 1


def places(x: Shape, kernel: Pair, strides: Pair, pads: Pads, dilations: Pair) -> Pair:
    """Rows and columns of what a window gives that slides over ``x``, (N, H, W, C)."""
    high, wide = (
        window(x[1 + i], kernel[i], strides[i], pads[i] + pads[i + 2], dilations[i])
        for i in range(2)
    )
    return high, wide


def conv(
    x: Shape,
    out_channels: int,
    kernel: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
    after: str = "nothing",
    constant: bool = True,
) -> Workload:
    """A convolution; ``x`` is (N, H, W, C)."""
    b = Builder()
    source = b.input(x)
    weight = b.input((out_channels, *kernel, x[3] // groups), constant=constant)
    high, wide = places(x, kernel, strides, pads, dilations)
    shape = (x[0], high, wide, out_channels)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "groups": groups}
    EPILOGUES[after](b, b.add("conv2d", source, weight, shape=shape, **attrs))
    return b.workload


def conv_planes(
    x: Shape,
    out_channels: int,
    kernel: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
    after: str = "nothing",
) -> Workload:
    """One of images channels first, with a bias of channels; ``x`` is (N, C, H, W)."""
    b = Builder()
    n, c, *sizes = x
    source, weight = b.input(x), b.input((out_channels, *kernel, c // groups), constant=True)
    high, wide = places((n, *sizes, c), kernel, strides, pads, dilations)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "groups": groups}
    shape = (n, out_channels, high, wide)
    y = b.add("conv2d_planes", source, weight, shape=shape, **attrs)
    EPILOGUES[after](b, b.add("add", y, b.input((out_channels, 1, 1), constant=True)))
    return b.workload


def separable(
    x: Shape,
    channels: int,
    kernel: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    between: str = "nothing",
    after: str = "nothing",
) -> Workload:
    """A 1x1 convolution and the depthwise one after it; ``x`` is (N, H, W, C)."""
    b = Builder()
    source, weight = b.input(x), b.input((channels, 1, 1, x[3]), constant=True)
    attrs = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}
    wide = b.add("conv2d", source, weight, shape=(*x[:3], channels), **attrs)
    wide = EPILOGUES[between](b, wide)
    taps = b.input((channels, *kernel, 1), constant=True)
    shape = (x[0], *places(x, kernel, strides, pads, dilations), channels)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "groups": channels}
    EPILOGUES[after](b, b.add("conv2d", wide, taps, shape=shape, **attrs))
    return b.workload


def conv_transpose(
    x: Shape,
    out_channels: int,
    kernel: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
    output_padding: Pair = (0, 0),
    after: str = "nothing",
) -> Workload:
    """A transposed convolution; ``x`` is (N, H, W, C)."""
    b = Builder()
    source = b.input(x)
    weight = b.input((x[3], *kernel, out_channels // groups), constant=True)
    high, wide = (
        (x[1 + i] - 1) * strides[i]
        + (kernel[i] - 1) * dilations[i]
        + 1
        - pads[i]
        - pads[i + 2]
        + output_padding[i]
        for i in range(2)
    )
    shape = (x[0], high, wide, out_channels)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "groups": groups}
    EPILOGUES[after](b, b.add("conv2d_transpose", source, weight, shape=shape, **attrs))
    return b.workload


def matmul(
    a: Shape,
    b: Shape,
    *,
    transpose_b: bool = False,
    constant: bool = True,
    after: str = "nothing",
) -> Workload:
    """A matrix product, batched where the shapes say so."""
    builder = Builder()
    left, right = builder.input(a), builder.input(b, constant=constant)
    columns = b[-2] if transpose_b else b[-1]
    shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], columns)
    attrs = {"transpose_b": True} if transpose_b else {}
    EPILOGUES[after](builder, builder.add("matmul", left, right, shape=shape, **attrs))
    return builder.workload


def pool(
    op: str,
    x: Shape,
    kernel: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    after: str = "nothing",
    dtype: str = "float32",
    **attrs: object,
) -> Workload:
    """``max_pool2d`` or ``avg_pool2d``; ``x`` is (N, H, W, C)."""
    b = Builder()
    source = b.input(x, dtype)
    high, wide = places(x, kernel, strides, pads, dilations)
    attrs |= {"kernel": kernel, "strides": strides, "pads": pads, "dilations": dilations}
    EPILOGUES[after](b, b.add(op, source, shape=(x[0], high, wide, x[3]), **attrs))
    return b.workload


def group_norm(x: Shape, groups: int, after: str = "nothing") -> Workload:
    """``x`` is (N, ..., C)."""
    b = Builder()
    source = b.input(x)
    gamma, beta = (b.input(x[-1:], constant=True) for _ in range(2))
    attrs = {"groups": groups, "epsilon": 1e-5}
    EPILOGUES[after](b, b.add("group_norm", source, gamma, beta, shape=x, **attrs))
    return b.workload


def unary(op: str, shape: Shape, dtype: str = "float32", **attrs: object) -> Workload:
    """One elementwise operator on one input."""
    b = Builder()
    b.add(op, b.input(shape, dtype), **attrs)
    return b.workload


def ensemble(
    rows: int,
    features: int = 7,
    trees: int = 9,
    depth: int = 3,
    targets: int = 1,
    dtype: str = "float32",
    leaves: int = 0,
    combine: str = "sum",
    negated: bool = False,
    equal: bool = False,
) -> Workload:
    """Trees of ``2 ** (depth + 1) - 1`` nodes each."""
    nodes = trees * (2 ** (depth + 1) - 1)
    layout = Layout(trees, nodes, leaves, targets, dtype)
    b = Builder()
    x, table = b.input((rows, features), dtype), b.input((layout.size,), "int32", constant=True)
    numbers = {"trees": trees, "nodes": nodes, "leaves": leaves, "targets": targets, "depth": depth}
    flags = {"combine": combine, "negated": negated, "equal": equal}
    b.add("tree_ensemble", x, table, shape=(rows, targets), dtype=dtype, **numbers, **flags)
    return b.workload
